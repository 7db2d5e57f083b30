// What runs and what does not: one "fresh is not rebuilt" test for every derived file, and the edits around us.
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { DERIVED_FIXED } from '../../src/abi/session-files.ts';
import { TestSession } from './session-fixture.ts';

const open: TestSession[] = [];
function session(controls: Readonly<Record<string, string>> = {}): TestSession {
  const made = new TestSession(controls);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.end();
});
const ran = (s: TestSession): string[] => s.deriver.engine.log.map((entry) => entry.rule);

describe('what is rebuilt', () => {
  test.each([...DERIVED_FIXED])('fresh is not rebuilt: %s', async (name) => {
    const s = session();
    s.append({ role: 'user', content: 'Remember: the port is 8080.' });
    const first = await s.read(name);
    s.deriver.engine.clearLog();
    expect(await s.read(name)).toBe(first);
    expect(s.deriver.engine.log).toEqual([]);
    const why = await s.deriver.explain(name, s.revision);
    expect(why).toMatchObject({ file: `context/${name}`, why: ['there is no earlier build'] });
  });

  test('appending a message makes the pack stale and not what it did not touch', async () => {
    const s = session();
    s.append({ role: 'user', content: 'hello' });
    for (const name of ['pack.json', 'swap/index.jsonl']) await s.read(name);
    s.append({ role: 'assistant', content: 'hi' });
    s.deriver.engine.clearLog();
    for (const name of ['pack.json', 'swap/index.jsonl']) await s.read(name);
    expect(ran(s)).toEqual(['pack.json']);
  });

  test('an event that says nothing to the context rebuilds nothing', async () => {
    const s = session();
    s.append({ role: 'user', content: 'hello' });
    const names = ['pack.json', 'pack.md', 'prompt.json', 'facts.jsonl', 'decisions.jsonl'];
    const before = await s.read('pack.md');
    for (const name of names) await s.read(name);
    s.event({ type: 'usage', input_tokens: 3 });
    s.deriver.engine.clearLog();
    for (const name of names) await s.read(name);
    expect(ran(s)).toEqual([]);
    expect(await s.read('pack.md')).toBe(before);
  });

  test('a contribution reaches its file and the pack', async () => {
    const s = session();
    s.append({ role: 'user', content: 'hello' });
    await s.read('pack.json');
    s.event({ type: 'context.decision', decision: 'use NATS' });
    expect(await s.read('decisions.jsonl')).toContain('use NATS');
    expect(await s.read('pack.md')).toContain('use NATS');
  });

  test('explain says of what no rule builds where it comes from', async () => {
    const s = session({ 'context/budget': '600\n', 'context/pinned/rules.md': 'be kind\n' });
    s.append({ role: 'assistant', content: 'hi' });
    const explain = (name: string): Promise<Record<string, unknown>> => s.deriver.explain(name, s.revision);
    const bytes = { name: 'messages.jsonl', version: `${s.revision.messagesBytes} bytes` };
    expect(await explain('latest.md')).toMatchObject({ file: 'latest.md', inputs: [bytes] });
    expect(await explain('updated_at')).toMatchObject({ inputs: [bytes, { name: 'events.jsonl' }] });
    expect(await explain('messages.jsonl')).toMatchObject({ why: [expect.stringContaining('history')] });
    expect(await explain('kv/manifest.json')).toMatchObject({ why: [expect.stringContaining('ctx inspect')] });
    for (const name of ['budget', 'pinned/rules.md'])
      expect(await explain(name)).toMatchObject({ file: `context/${name}`, digest: expect.stringMatching(/^sha256-/) as string });
    await expect(explain('nothing')).rejects.toThrow(/no such derived file/);
  });

  test('explain says each reason in one sentence', async () => {
    const s = session({ 'context/budget': '600\n' });
    const why = async (name: string): Promise<unknown> => (await s.deriver.explain(name, s.revision))['why'];
    s.append({ role: 'user', content: 'hello' });
    for (const name of ['pack.json', 'facts.jsonl', 'refs.jsonl', 'swap/index.jsonl']) await s.read(name);
    s.append({ role: 'assistant', content: 'hi' });
    s.event({ type: 'context.fact', text: 'the port is 8080' });
    s.put('context/child/rev-1/result.md', 'done\n');
    s.notify();
    expect(await why('facts.jsonl')).toEqual(['messages.jsonl grew from 1 to 2 lines', 'one contribution was added']);
    expect(await why('refs.jsonl')).toContain('files of a child agent changed');
    expect(await why('pack.json')).toEqual(['3 items were appended to the 1 of this epoch']);
    s.append({ role: 'assistant', content: [{ type: 'thinking', thinking: 'hm' }] });
    s.notify();
    expect(await why('pack.json')).toEqual(['a message without text was appended']);
    s.append({ role: 'assistant', content: 'words and more words '.repeat(100) });
    s.append({ role: 'user', content: 'and now a long one, '.repeat(60) });
    s.notify();
    expect(await why('pack.json')).toEqual(['a new epoch began at message 5: the budget is used up']);
    for (let n = 0; n < 20; n++) s.append({ role: 'assistant', content: `turn ${n}: ${'words '.repeat(40)}` });
    s.notify();
    expect(await why('swap/index.jsonl')).toEqual([expect.stringMatching(/^the pack's tail now begins at message \d+ \(before: 1\)$/)]);
  });

  test('CTX-13: refs.jsonl has a row for each child result, its artifacts and its refs; a retraction removes one', async () => {
    const s = session();
    s.append({ role: 'user', content: 'ask the reviewer' });
    s.put('context/child/rev-1/agent', 'reviewer\n');
    s.put('context/child/rev-1/status', 'done\n');
    s.put('context/child/rev-1/result.md', '# Review\n\nTwo names are wrong.\n');
    s.put('context/child/rev-1/artifact/names.patch', 'diff');
    s.put('context/child/rev-1/refs.jsonl', '{"path":"/repo/lock.ts","kind":"file","summary":"reviewed"}\n');
    const rows = async (): Promise<Record<string, string>[]> =>
      (await s.read('refs.jsonl'))
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, string>);
    const found = await rows();
    expect(found.map(({ id, kind, path, summary }) => [id, kind, path, summary])).toEqual([
      ['c-rev-1', 'child_result', 'context/child/rev-1/result.md', 'done reviewer: Review'],
      ['c-rev-1:names.patch', 'artifact', 'context/child/rev-1/artifact/names.patch', 'from child rev-1'],
      ['c-rev-1:ref-1', 'file', '/repo/lock.ts', 'reviewed'],
    ]);
    for (const row of found) expect([row['id'], s.deriver.resolve(row['source'] ?? '')]).toEqual([row['id'], expect.anything()]);
    s.put('context/child/rev-1/artifact/more.patch', 'diff');
    expect((await rows()).map(({ id }) => id)).toContain('c-rev-1:more.patch');
    s.event({ type: 'context.retract', target: 'c-rev-1', file: 'refs.jsonl' });
    expect((await rows()).map(({ id }) => id)).not.toContain('c-rev-1');
    s.remove('context/child/rev-1');
    expect(await rows()).toEqual([]);
  });

  test('DRV-7: a session that is renamed or removed while it is open leaves nothing at its old place', async () => {
    for (const how of ['rename', 'replace', 'remove'] as const) {
      const s = new TestSession();
      for (let n = 0; n < 140; n++) s.append({ role: n % 2 === 0 ? 'user' : 'assistant', content: `turn ${n}` });
      for (const name of DERIVED_FIXED) await s.read(name);
      s.append({ role: 'user', content: 'one more' });
      const moved = `${s.directory}-moved`;
      if (how === 'remove') rmSync(s.directory, { recursive: true });
      else renameSync(s.directory, moved);
      if (how === 'replace') mkdirSync(join(s.directory, 'context/.cache'), { recursive: true });
      await s.deriver.close();
      expect([how, existsSync(s.directory) ? readdirSync(join(s.directory, 'context/.cache')) : 'gone']).toEqual([
        how,
        how === 'replace' ? [] : 'gone',
      ]);
      s.journals.close();
      rmSync(s.root, { recursive: true });
    }
  });

  test('touching mtime alone does not rebuild anything', async () => {
    const s = session({ 'context/pinned/system.md': 'Be brief.\n' });
    s.append({ role: 'user', content: 'hello' });
    await s.read('pack.json');
    utimesSync(join(s.directory, 'context/pinned/system.md'), new Date(), new Date());
    s.deriver.engine.clearLog();
    await s.read('pack.json');
    expect(ran(s)).toEqual([]);
  });

  test('an edit of a pinned file around us is noticed at the next fetch and starts an epoch', async () => {
    const s = session({ 'context/pinned/system.md': 'Be brief.\n' });
    s.append({ role: 'user', content: 'hello' });
    await s.read('pack.md');
    s.put('context/pinned/system.md', 'Be thorough.\n');
    expect(await s.read('pack.md')).toContain('Be thorough.');
    const pack = JSON.parse(await s.read('pack.json')) as { epoch: { reason: string } };
    expect(pack.epoch.reason).toBe('context/pinned/system.md changed');
    s.remove('context/pinned/system.md');
    expect(await s.read('pack.md')).not.toContain('thorough');
  });

  test('a pinned file that could lead out of the session is not packed', async () => {
    const s = session();
    const { symlinkSync } = await import('node:fs');
    symlinkSync('/etc/hostname', join(s.directory, 'context/pinned/link.md'));
    s.append({ role: 'user', content: 'hello' });
    expect(JSON.parse(await s.read('pack.json'))).toMatchObject({ items: [{ kind: 'recent_messages' }] });
  });

  test('an unknown tokenizer is an error, never another tokenizer', async () => {
    const s = session({ 'context/policy.yaml': 'tokenizer: nobody_knows_this\n' });
    s.append({ role: 'user', content: 'hello' });
    await expect(s.read('pack.json')).rejects.toThrow(/nobody_knows_this/);
  });

  test('a restart serves the pack without running anything', async () => {
    const s = session();
    for (let n = 0; n < 80; n++) s.append({ role: n % 2 === 0 ? 'user' : 'assistant', content: `turn ${n}` });
    const before = await s.read('pack.json');
    await s.reopen();
    expect(await s.read('pack.json')).toBe(before);
    expect(s.deriver.engine.log).toEqual([]);
  });

  test('deleting any one cache file while running or between runs changes no byte', async () => {
    const s = session({ 'context/budget': '900\n' });
    for (let n = 0; n < 150; n++)
      s.append({
        role: n % 2 === 0 ? 'user' : 'assistant',
        content: `turn ${n} about topic ${n % 9}: ${'words and more words '.repeat(n % 7)}`,
      });
    const names = ['pack.json', 'pack.md', 'prompt.json', 'summary.md', 'swap/index.jsonl'];
    const want: string[] = [];
    for (const name of names) want.push(await s.read(name));
    const cache = join(s.directory, 'context/.cache');
    for (const file of readdirSync(cache)) {
      for (const restart of [false, true]) {
        rmSync(join(cache, file), { recursive: true, force: true });
        if (restart) await s.reopen();
        const got: string[] = [];
        for (const name of names) got.push(await s.read(name));
        expect([file, restart, got]).toEqual([file, restart, want]);
      }
    }
  });
});

describe('garbage collection', () => {
  const policy = (text: string): Record<string, string> => ({ 'context/gc.policy': text });

  test('a dry run removes nothing, a run removes only what the plan named, and everything comes back', async () => {
    const s = session(policy('pack_ttl=1d\nswap_ttl=30d\ndedup_min_refs=1\nkeep_messages=1\nkeep_events=1\n'));
    for (let n = 0; n < 130; n++) s.append({ role: n % 2 === 0 ? 'user' : 'assistant', content: `turn ${n}` });
    s.put('context/child/rev-1/result.md', 'done\n');
    const before = await s.read('pack.json');
    const summary = await s.read('summary.md');
    const later = Date.now() + 2 * 86_400_000;
    const files = (): string[] =>
      readdirSync(s.directory, { recursive: true, encoding: 'utf8' })
        .filter((path) => !path.includes('.cache'))
        .sort();
    const kept = files();
    const plan = await s.deriver.gc({ dryRun: true, nowMs: later });
    expect(plan.length).toBeGreaterThan(0);
    expect(plan.every((entry) => entry.path.startsWith('context/.cache/') && entry.bytes >= 0 && entry.reason === 'pack_ttl')).toBe(true);
    expect(await s.deriver.gc({ dryRun: false, nowMs: later })).toEqual(plan);
    expect(files()).toEqual(kept);
    expect(await s.read('pack.json')).toBe(before);
    const all = await s.deriver.gc({ dryRun: false, nowMs: Date.now() + 60 * 86_400_000 });
    expect(new Set(all.map((entry) => entry.reason))).toEqual(new Set(['pack_ttl', 'swap_ttl']));
    expect(files()).toEqual(kept);
    expect(await s.read('pack.json')).toBe(before);
    expect(await s.read('summary.md')).toBe(summary);
  });

  test('GCP-6: each key of gc.policy lets its own files go, and everything reads as before', async () => {
    const s = session();
    const output = 'a line of output\n'.repeat(400);
    for (let n = 0; n < 70; n++) {
      s.append({ role: 'assistant', content: null, tool_calls: [{ id: `c${n}`, function: { name: 'sh', arguments: '{}' } }] });
      s.append({ role: 'tool', tool_call_id: `c${n}`, content: n < 3 ? output : `result ${n}` });
    }
    const names = async (): Promise<string[]> => [
      ...DERIVED_FIXED,
      ...(await s.deriver.list('dedup/blob', s.revision)).map((id) => `dedup/blob/${id}`),
      ...(await s.deriver.list('swap/chunk', s.revision)).map((id) => `swap/chunk/${id}`),
    ];
    const all = async (): Promise<string[][]> => {
      const read: string[][] = [];
      for (const name of await names()) read.push([name, await s.read(name)]);
      return read;
    };
    const before = await all();
    expect(before.some(([name]) => name?.startsWith('dedup/blob/'))).toBe(true);
    const collect = async (policyText: string): Promise<string[]> => {
      s.put('context/gc.policy', policyText);
      s.deriver.inputChanged('context/gc.policy');
      const plan = await s.deriver.gc({ dryRun: false, nowMs: Date.now() + 1000 });
      expect([policyText, await all()]).toEqual([policyText, before]);
      return [...new Set(plan.map((entry) => entry.reason))].sort();
    };
    const never = 'pack_ttl=never\nswap_ttl=never\n';
    expect(await collect(`${never}dedup_min_refs=3\n`)).toEqual([]);
    expect(await collect(`${never}dedup_min_refs=4\n`)).toEqual(['dedup_min_refs']);
    expect(await collect('pack_ttl=0\nswap_ttl=never\n')).toEqual(['pack_ttl']);
    expect(await collect('pack_ttl=never\nswap_ttl=0\n')).toEqual(['swap_ttl']);
    expect(await collect(`${never}keep_messages=0\nkeep_events=0\n`)).toEqual([]);
  });

  test('nothing that was used within its time goes', async () => {
    const s = session(policy('pack_ttl=1d\nswap_ttl=30d\n'));
    s.append({ role: 'user', content: 'hello' });
    await s.read('pack.json');
    expect(await s.deriver.gc({ dryRun: false, nowMs: Date.now() + 3_600_000 })).toEqual([]);
  });
});

describe('the pack of before', () => {
  test('pack --at a line is the pack as it was then', async () => {
    const s = session({ 'context/budget': '700\n' });
    const then: string[] = [];
    for (let n = 1; n <= 90; n++) {
      s.append({ role: n % 2 === 1 ? 'user' : 'assistant', content: `turn ${n}: ${'some words '.repeat(n % 11)}` });
      then.push(await s.read('pack.json'));
    }
    for (const line of [1, 2, 33, 64, 65, 89, 90])
      expect(await s.deriver.packAt(`msg-${line}`, s.revision)).toEqual(JSON.parse(then[line - 1] as string));
    const { digestOf } = await import('../../src/abi/digest.ts');
    s.event({ type: 'context.pack', digest: digestOf(then[41] as string), messages: 42 });
    expect(await s.deriver.packAt(digestOf(then[41] as string), s.revision)).toEqual(JSON.parse(then[41] as string));
    await expect(s.deriver.packAt('msg-91', s.revision)).rejects.toThrow(/no pack is known/);
  });
});
