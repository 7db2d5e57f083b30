// What a pack says, case by case.
import { readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { viewMessage } from '../../src/abi/records.ts';
import { contributionEvent } from '../../src/context/contributions.ts';
import { expandWith } from '../../src/context/near-repeat.ts';
import { differenceBody } from '../../src/context/pack-repeats.ts';
import { parseBlocks } from '../../src/context/render.ts';
import { readContent } from '../../src/session/session-deriver.ts';
import { TestSession } from './session-fixture.ts';

const open: TestSession[] = [];
function session(budget: string, controls: Readonly<Record<string, string>> = {}): TestSession {
  const made = new TestSession({ 'context/budget': `${budget}\n`, ...controls });
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.end();
});

interface Item {
  kind: string;
  source: string;
  range?: string;
  role?: string;
  form?: string;
  bases?: string[];
  for?: string;
  tokens: number;
  digest: string;
}
interface Pack {
  items: Item[];
  left_out: { source: string; range?: string; reason: string; score?: number }[];
  tokens: number;
  epoch: { id: string; cut: number; start_tokens: number; reason: string };
  stable_prefix_tokens: number;
}
function linesOf(range: string | undefined): number[] {
  const [first = 0, last = first] = (range ?? '').split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}
const packOf = async (s: TestSession): Promise<Pack> => JSON.parse(await s.read('pack.json')) as Pack;
const bodies = async (s: TestSession): Promise<string[]> => parseBlocks(await s.read('pack.md')).map((item) => item.body);
const call = (id: string, path: string): Record<string, unknown> => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name: 'read', arguments: JSON.stringify({ path }) } }],
});
const result = (id: string, content: string): Record<string, unknown> => ({ role: 'tool', tool_call_id: id, content });
const file = (edit: number): string =>
  Array.from({ length: 120 }, (_, n) => `${n + 1}: const value${n} = compute(${n === edit ? 'changed' : n});`).join('\n');

describe('repeats', () => {
  test('an exact repeat names the message that says it, and resolves to the same bytes', async () => {
    const s = session('32000');
    s.append({ role: 'user', content: 'read it twice' });
    for (const id of ['a', 'b']) {
      s.append(call(id, 'x.ts'));
      s.append(result(id, file(-1)));
    }
    const pack = await packOf(s);
    const repeat = pack.items.at(-1) as Item;
    expect(repeat).toMatchObject({ form: 'repeat', bases: ['3'] });
    expect((await bodies(s)).at(-1)).toBe('[same as messages:3 above]');
    const said = (line: number): string =>
      viewMessage(JSON.parse(s.deriver.resolve(`messages:${line}`)?.bytes.toString('utf8') as string) as Record<string, unknown>)
        .toolResults[0]?.text as string;
    expect(said(Number(repeat.bases?.[0]))).toBe(said(5));
  });

  test('a near repeat is said by its difference, which expands to the exact bytes', async () => {
    const s = session('32000');
    s.append(call('a', 'x.ts'));
    s.append(result('a', file(-1)));
    s.append(call('b', 'x.ts'));
    s.append(result('b', file(60)));
    const pack = await packOf(s);
    expect(pack.items.at(-1)).toMatchObject({ form: 'difference', bases: ['2'] });
    const texts = await bodies(s);
    const difference = differenceBody(texts.at(-1) as string);
    expect(expandWith(() => texts[1] as string, difference)).toBe(file(60));
    expect(difference.length).toBeLessThan(file(60).length / 10);
  });

  test('what a person wrote is never reduced', async () => {
    const s = session('32000');
    s.append({ role: 'assistant', content: file(-1) });
    s.append({ role: 'user', content: file(-1) });
    expect((await bodies(s)).at(-1)).toBe(file(-1));
  });
});

describe('what is swapped out', () => {
  test('an oversized result keeps its head and tail and names a chunk that gives back the whole line', async () => {
    const s = session('2000');
    s.append(call('a', 'big.log'));
    s.append(result('a', `first line\n${Array.from({ length: 3000 }, (_, n) => `noise ${n * 7919}`).join('\n')}\nlast line`));
    const pack = await packOf(s);
    expect(pack.items.at(-1)?.form).toBe('partial');
    const body = (await bodies(s)).at(-1) as string;
    expect(body.startsWith('first line\n')).toBe(true);
    expect(body.endsWith('\nlast line')).toBe(true);
    const id = /whole: swap\/chunk\/(sha256-[0-9a-f]{16}) /.exec(body)?.[1] as string;
    const chunk = await s.deriver.fetch(`swap/chunk/${id}`, s.revision);
    expect(chunk.digest.startsWith(id)).toBe(true);
    expect(readContent(chunk).equals(s.deriver.resolve('messages:2')?.bytes as Buffer)).toBe(true);
    expect(s.deriver.resolve(`swap:${id.slice(0, 20)}`)?.digest).toBe(chunk.digest);
  });

  test('every row of the swap index names a chunk with exactly its bytes, and what was cut is in it', async () => {
    const s = session('600');
    for (let n = 1; n <= 150; n++) s.append({ role: n % 2 === 1 ? 'user' : 'assistant', content: `turn ${n}: ${'words '.repeat(20)}` });
    const rows = (await s.read('swap/index.jsonl'))
      .trim()
      .split('\n')
      .map((row) => JSON.parse(row) as { id: string; range: string });
    const pack = await packOf(s);
    expect(rows.map((row) => row.range)).toEqual(['1-64', '65-128', ...(pack.epoch.cut > 129 ? [`129-${pack.epoch.cut - 1}`] : [])]);
    for (const row of rows) {
      const chunk = await s.deriver.fetch(`swap/chunk/${row.id}`, s.revision);
      expect(readContent(chunk).equals(s.deriver.resolve(`messages:${row.range}`)?.bytes as Buffer)).toBe(true);
    }
    expect(await s.deriver.list('swap/chunk', s.revision)).toEqual(expect.arrayContaining(rows.map((row) => row.id)));
    await expect(s.read('swap/chunk/sha256-0000000000000000')).rejects.toMatchObject({ errno: 'ENOENT' });
  });

  test('dedup rows name content that occurs twice, and its blob is that content', async () => {
    const s = session('32000');
    for (const id of ['a', 'b']) {
      s.append(call(id, 'x.ts'));
      s.append(result(id, file(-1)));
    }
    const rows = (await s.read('dedup/index.jsonl'))
      .trim()
      .split('\n')
      .map((row) => JSON.parse(row) as { hash: string; refs: string[] });
    expect(rows).toMatchObject([{ refs: ['tool:a', 'tool:b'] }]);
    expect(await s.read(`dedup/blob/${rows[0]?.hash}`)).toBe(file(-1));
    expect(s.deriver.resolve('tool:b')?.bytes.toString('utf8')).toBe(file(-1));
    expect(await s.deriver.list('dedup/blob', s.revision)).toEqual([rows[0]?.hash]);
  });

  test('left_out says what is not there and why', async () => {
    const s = session('400');
    for (let n = 1; n <= 60; n++) s.append({ role: n % 2 === 1 ? 'user' : 'assistant', content: `turn ${n}: ${'words '.repeat(12)}` });
    s.append({ role: 'assistant', content: [{ type: 'thinking', thinking: 'hm' }] });
    const pack = await packOf(s);
    // But for what was recalled, everything below the cut.
    const recalled = pack.items.filter((item) => item.kind === 'recall').flatMap((item) => linesOf(item.range));
    expect(recalled.length).toBeGreaterThan(0);
    const below = pack.left_out.filter((entry) => entry.reason === 'before the cut: in summary and swap');
    expect(below.flatMap((entry) => linesOf(entry.range))).toEqual(
      Array.from({ length: pack.epoch.cut - 1 }, (_, n) => n + 1).filter((line) => !recalled.includes(line)),
    );
    expect(pack.left_out.at(-1)).toEqual({ source: 'messages.jsonl', range: '61', reason: 'only reasoning or no text' });
  });
});

describe('the system messages at the head of history', () => {
  const turns = (s: TestSession, from: number, to: number): void => {
    for (let n = from; n <= to; n++) s.append({ role: n % 2 === 1 ? 'user' : 'assistant', content: `turn ${n}: ${'words '.repeat(12)}` });
  };
  const shown = (pack: Pack): number[] =>
    pack.items.filter((item) => item.source === 'messages.jsonl').flatMap((item) => linesOf(item.range));

  test('PCK-19: they stay after the pinned files, the same bytes in every epoch, and a later one does not', async () => {
    const s = session('700', { 'context/pinned/rules.md': 'Be brief.\n' });
    s.append({ role: 'system', content: 'You are a careful engineer.' });
    s.append({ role: 'developer', content: 'Answer in English.' });
    turns(s, 1, 5);
    const first = { pack: await packOf(s), md: await s.read('pack.md') };
    s.append({ role: 'system', content: 'The weather is fine.' });
    turns(s, 6, 80);
    const later = { pack: await packOf(s), md: await s.read('pack.md') };
    expect(later.pack.epoch.cut).toBeGreaterThan(20);
    expect(later.pack.items.slice(0, 4)).toMatchObject([
      { kind: 'system', source: 'context/pinned/rules.md' },
      { kind: 'system', source: 'messages.jsonl', range: '1', role: 'system' },
      { kind: 'system', source: 'messages.jsonl', range: '2', role: 'developer' },
      { kind: 'summary' },
    ]);
    const lead = `<system context/pinned/rules.md>\nBe brief.\n</system>\n<system messages:1>\nYou are a careful engineer.\n</system>\n<developer messages:2>\nAnswer in English.\n</developer>\n`;
    expect([first.md.startsWith(lead), later.md.startsWith(lead)]).toEqual([true, true]);
    expect(later.pack.stable_prefix_tokens).toBeGreaterThanOrEqual(
      later.pack.items.slice(0, 3).reduce((sum, item) => sum + item.tokens, 0),
    );
    expect((JSON.parse(await s.read('prompt.json')) as { role: string; content: string }[]).slice(0, 4)).toEqual([
      { role: 'system', content: '<system context/pinned/rules.md>\nBe brief.\n</system>\n' },
      { role: 'system', content: 'You are a careful engineer.' },
      { role: 'developer', content: 'Answer in English.' },
      { role: 'system', content: expect.stringMatching(/^<summary /) as unknown },
    ]);
    for (const item of later.pack.items) expect(s.deriver.resolve(item.source, item.range)?.digest).toBe(item.digest);
    // Every line is in the pack or left out, once.
    const out = later.pack.left_out.filter((entry) => entry.score === undefined).flatMap((entry) => linesOf(entry.range));
    const lines = [...shown(later.pack), ...out];
    expect(lines.sort((a, b) => a - b)).toEqual(Array.from({ length: 83 }, (_, n) => n + 1));
    expect(out).toContain(8);
  });

  test('one that is too long keeps its head and tail within the share; without room it is left out by name', async () => {
    for (const [budget, form] of [
      ['700', 'partial'],
      ['40', undefined],
    ] as const) {
      const s = session(budget);
      s.append({ role: 'system', content: `Begin. ${'rule after rule '.repeat(900)} End.` });
      turns(s, 1, 60);
      const pack = await packOf(s);
      expect(pack.tokens).toBeLessThanOrEqual(Number(budget));
      if (form === undefined) {
        expect(shown(pack)).not.toContain(1);
        expect(pack.left_out.some((entry) => linesOf(entry.range).includes(1))).toBe(true);
        continue;
      }
      expect(pack.items[0]).toMatchObject({ kind: 'system', range: '1', form });
      expect(pack.items[0]?.tokens).toBeLessThanOrEqual(175);
      expect(await s.read('pack.md')).toMatch(/^<system messages:1>\nBegin\. [^]* End\.\n<\/system>\n/);
    }
    const s = session('300');
    for (let n = 1; n <= 3; n++) s.append({ role: 'system', content: `${n}: ${'a rule to keep '.repeat(12)}` });
    turns(s, 1, 60);
    const pack = await packOf(s);
    expect(shown(pack).slice(0, 1)).toEqual([1]);
    expect(pack.left_out).toContainEqual({
      source: 'messages.jsonl',
      range: '2-3',
      reason: 'no room in the share of system messages: in summary and swap',
    });
  });

  test('a history of nothing but system messages is packed like any other', async () => {
    const s = session('600');
    for (let n = 1; n <= 120; n++) s.append({ role: 'system', content: `note ${n}: ${'words '.repeat(6)}` });
    const pack = await packOf(s);
    expect(pack.tokens).toBeLessThanOrEqual(600);
    const lines = shown(pack);
    expect(lines).toEqual([...new Set(lines)].sort((a, b) => a - b));
    expect([lines[0], lines.at(-1)]).toEqual([1, 120]);
  });
});

describe('recorded inputs', () => {
  test('what lies in pinned/ and is not packed is named with the reason, until it is gone', async () => {
    const s = session('1000');
    s.put('context/pinned/rules.md', 'Be careful.\n');
    s.put('context/pinned/huge.md', 'x'.repeat((4 << 20) + 1));
    s.put('context/pinned/more/nested.md', 'nested\n');
    s.put('context/pinned/photo.png', `\x89PNG\0\0${'\x01\ufffd'.repeat(50_000)}`);
    s.put('context/pinned/.hidden', 'hidden\n');
    symlinkSync('rules.md', join(s.directory, 'context/pinned/link.md'));
    s.append({ role: 'user', content: 'hello' });
    const pack = await packOf(s);
    expect(pack.items.map((item) => item.source)).toEqual(['context/pinned/rules.md', 'messages.jsonl']);
    expect(pack.left_out).toEqual([
      { source: 'context/pinned/huge.md', reason: 'larger than 4 MiB' },
      { source: 'context/pinned/link.md', reason: 'a symbolic link: only files are packed' },
      { source: 'context/pinned/more', reason: 'a directory: only files directly in pinned/ are packed' },
      { source: 'context/pinned/photo.png', reason: 'binary: it holds NUL bytes' },
    ]);
    for (const name of ['huge.md', 'link.md', 'more', 'photo.png']) s.remove(`context/pinned/${name}`);
    expect((await packOf(s)).left_out).toEqual([]);
  });

  test('a pinned file whose name is not UTF-8 is packed, under its name with escapes', async () => {
    const s = session('4000');
    const pinned = Buffer.from(join(s.directory, 'context/pinned/'));
    writeFileSync(Buffer.concat([pinned, Buffer.from([0x63, 0xe9, 0x5c, 0x2e, 0x6d])]), 'Reply in French.\n');
    s.append({ role: 'user', content: 'hello' });
    const [item] = (await packOf(s)).items;
    expect(item).toMatchObject({ kind: 'system', source: 'context/pinned/c\\xe9\\x5c.m' });
    expect(await s.read('pack.md')).toContain('<system context/pinned/c\\xe9\\x5c.m>\nReply in French.\n</system>');
    expect(s.deriver.resolve(item?.source ?? '')?.digest).toBe(item?.digest);
    // A file that is really called so has the name.
    s.put('context/pinned/c\\xe9\\x5c.m', 'Reply in Dutch.\n');
    expect(await s.read('pack.md')).toContain('\nReply in Dutch.\n</system>');
    expect((await packOf(s)).items).toHaveLength(2);
  });

  test('a damaged recorded input is stored again from the file, and the pack has the same bytes', async () => {
    const s = session('4000', { 'context/pinned/rules.md': 'Be brief.\n' });
    s.put('context/child/rev-1/result.md', 'Looks good.\n');
    s.append({ role: 'user', content: 'hello' });
    const before = [await s.read('pack.json'), await s.read('refs.jsonl')];
    const inputs = join(s.directory, 'inputs');
    const names = readdirSync(inputs);
    expect(names.length).toBeGreaterThan(4);
    for (const [at, name] of names.entries()) {
      if (at === 0) rmSync(join(inputs, name));
      else
        writeFileSync(
          join(inputs, name),
          readFileSync(join(inputs, name)).map((byte) => byte ^ 1),
        );
    }
    await s.reopen(true);
    expect([await s.read('pack.json'), await s.read('refs.jsonl')]).toEqual(before);
    expect((await packOf(s)).left_out).toEqual([]);
    for (const item of (await packOf(s)).items) expect(s.deriver.resolve(item.source, item.range)?.digest).toBe(item.digest);
  });

  test('a recorded input that nobody has any more is left out by name; the read succeeds', async () => {
    const s = session('4000', { 'context/pinned/rules.md': 'Be brief.\n' });
    s.append({ role: 'user', content: 'hello' });
    await packOf(s);
    const [, digest = ''] = (await packOf(s)).items[0]?.digest.split('-') ?? [];
    s.put('context/pinned/rules.md', 'Be long.\n');
    s.append({ role: 'user', content: 'again' });
    expect((await packOf(s)).left_out).toEqual([]);
    writeFileSync(join(s.directory, 'inputs', digest), 'Be cruel.\n');
    const then = (await s.deriver.packAt('1', s.revision)) as unknown as Pack;
    expect(then.left_out).toEqual([
      { source: 'context/pinned/rules.md', reason: 'its recorded bytes are damaged, and the file has others now' },
    ]);
    expect(then.items.map((item) => item.kind)).toEqual(['recent_messages']);
    expect((await packOf(s)).items[0]).toMatchObject({ source: 'context/pinned/rules.md' });
  });
});

describe('repeats beside what a person wrote', () => {
  test('an exact repeat names its base, in the epoch as at the start of the next', async () => {
    const s = session('8000');
    const output = Array.from({ length: 40 }, (_, n) => `line ${n} of the file, with the number ${n * 7}`).join('\n');
    for (const id of ['a', 'b']) {
      s.append({ role: 'assistant', content: [{ type: 'tool_use', id, name: 'Read', input: {} }] });
      s.append({
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: id, content: output },
          { type: 'text', text: `go on after ${id}` },
        ],
      });
      await packOf(s);
    }
    const growing = (await packOf(s)).items.at(-1);
    expect(growing).toMatchObject({ range: '4', form: 'repeat' });
    expect(growing?.bases).toHaveLength(1);
    s.put('context/pinned/rules.md', 'Be careful.\n');
    const begun = (await packOf(s)).items.at(-1);
    expect([begun?.range, begun?.form, begun?.bases]).toEqual([growing?.range, growing?.form, growing?.bases]);
  });
});

describe('recall', () => {
  test('what a user message needs from before the cut stands just before it', async () => {
    const s = session('1500');
    s.append({ role: 'user', content: 'The staging database password rotates every Thursday at noon.' });
    for (let n = 2; n <= 120; n++)
      s.append({
        role: n % 2 === 0 ? 'assistant' : 'user',
        content: `chatter ${n} about gardens, rivers and bicycles, nothing else to see here at all`,
      });
    s.append({ role: 'user', content: 'When does the staging database password rotate?' });
    const pack = await packOf(s);
    const at = pack.items.findIndex((item) => item.kind === 'recall' && item.range?.split('-')[0] === '1');
    expect(at).toBeGreaterThan(0);
    const user = pack.items.findIndex((item) => item.range === '121');
    expect(pack.items.slice(at, user).every((item) => item.kind === 'recall' && item.for === 'messages:121')).toBe(true);
    expect(await s.read('pack.md')).toContain('rotates every Thursday at noon');
  });

  test('an epoch that begins in the middle of a turn leaves a quarter of the budget to what comes next', async () => {
    const budget = 2000;
    const s = session(String(budget));
    for (let n = 1; n <= 40; n++)
      s.append({ role: 'user', content: `The staging password of region ${n} rotates at ${n} minutes past noon, every Thursday.` });
    for (let n = 1; n <= 120; n++)
      s.append({ role: 'assistant', content: `chatter ${n} about gardens, rivers and bicycles, nothing else to see here` });
    s.append({ role: 'user', content: 'When do the staging passwords of the regions rotate?' });
    const first = await packOf(s);
    expect(first.items.some((item) => item.kind === 'recall')).toBe(true);
    let turned = first;
    for (let n = 1; turned.epoch.id === first.epoch.id; n++) {
      s.append({ role: 'assistant', content: `Reading on, step ${n}: nothing new in this chapter of the almanac.` });
      turned = await packOf(s);
    }
    expect(turned.items.some((item) => item.kind === 'recall')).toBe(true);
    expect(turned.epoch.start_tokens).toBeLessThanOrEqual(budget * 0.75);
  });
});

describe('between the messages', () => {
  test('a contribution reads as it was written: a line, a retraction, a whole file', async () => {
    const s = session('4000');
    s.append({ role: 'user', content: 'hello' });
    s.event({ type: 'context.decision', decision: 'use NATS', time: '2026-01-01T00:00:00.000Z' });
    s.event({ type: 'context.retract', file: 'decisions.jsonl', target: 'de1' });
    s.event({ type: 'context.todo', content: '- [ ] one\n- [x] two\n' });
    const blocks = parseBlocks(await s.read('pack.md')).slice(1);
    expect(blocks).toEqual([
      { tag: 'decisions', head: 'events:1', body: '{"decision":"use NATS"}' },
      { tag: 'decisions', head: 'events:2', body: '{"retract":"de1","file":"decisions.jsonl"}' },
      { tag: 'todo', head: 'events:3', body: '- [ ] one\n- [x] two' },
    ]);
  });

  test('a child result stands where it arrived, and at the next epoch in its section', async () => {
    const s = session('900');
    s.append({ role: 'user', content: 'ask the reviewer' });
    await packOf(s);
    s.put('context/child/rev-1/result.md', 'Looks good, ship it.\n');
    s.append({ role: 'assistant', content: 'waiting' });
    expect((await packOf(s)).items.map((item) => item.kind)).toEqual(['recent_messages', 'recent_messages', 'child_result']);
    for (let n = 0; n < 40; n++) s.append({ role: 'assistant', content: `step ${n} ${'words '.repeat(20)}` });
    const pack = await packOf(s);
    const child = pack.items.findIndex((item) => item.kind === 'child_result');
    expect(pack.items[child]).toMatchObject({ source: 'context/child/rev-1/result.md' });
    expect(child).toBeLessThan(pack.items.findIndex((item) => item.kind === 'recent_messages'));
  });

  test('an unlimited budget keeps all of history', async () => {
    const s = session('');
    for (let n = 1; n <= 300; n++) s.append({ role: n % 2 === 1 ? 'user' : 'assistant', content: `turn ${n}: ${'words '.repeat(30)}` });
    const pack = await packOf(s);
    expect(pack.items.length).toBe(300);
    expect(pack.left_out).toEqual([]);
  });

  test('an epoch starts with at least half the budget, and its stable prefix grows with it', async () => {
    const s = session('1000');
    let before: Pack | undefined;
    for (let n = 1; n <= 150; n++) {
      s.append({ role: n % 4 === 1 ? 'user' : 'assistant', content: `turn ${n}: ${'several words here '.repeat(3 + (n % 5))}` });
      const pack = await packOf(s);
      if (before?.epoch.id === pack.epoch.id) expect(pack.stable_prefix_tokens).toBe(before.tokens);
      else if (before !== undefined && before.tokens > 500) expect(pack.tokens).toBeGreaterThanOrEqual(500);
      before = pack;
    }
  });
});

test('PCK-21 a message or contribution of a hundred thousand levels is packed, its depth said as [part]', async () => {
  const levels = 100_000;
  const deep = (open: string, close: string): string => `${open.repeat(levels)}1${close.repeat(levels)}`;
  const s = session('32000');
  const raw = (file: 'messages' | 'events', line: string): void => {
    s.journals[file].write(`${file}:deep`, Buffer.from(`${line}\n`));
  };
  raw('messages', `{"role":"user","content":${deep('[', ']')}}`);
  raw('messages', `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"ls","input":${deep('{"a":', '}')}}]}`);
  raw('messages', `{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":${deep('[', ']')}}]}`);
  raw('messages', `{"role":"assistant","tool_calls":[{"id":"b","function":{"name":"ls","arguments":${deep('[', ']')}}}]}`);
  raw('messages', `{"role":"tool","tool_call_id":"b","content":"done","extra":${deep('[', ']')}}`);
  raw('events', `{"type":"context.fact","text":"it is deep","why":${deep('[', ']')}}`);
  raw('messages', '{"role":"user","content":"and now?"}');
  const prompt = await s.read('prompt.json');
  expect(prompt).toContain('[part]');
  expect((JSON.parse(prompt) as { content: string }[]).at(-1)?.content).toBe('and now?');
  for (const name of ['pack.json', 'pack.md', 'summary.md', 'facts.jsonl', 'decisions.jsonl', 'todo.md', 'refs.jsonl', 'swap/index.jsonl'])
    expect([name, typeof (await s.read(name))]).toEqual([name, 'string']);
  expect(await s.read('facts.jsonl')).toContain('it is deep');
  expect(() => contributionEvent('facts.jsonl', Buffer.from(`{"text":"x","why":${deep('[', ']')}}`))).toThrow('nested too deep');
});
