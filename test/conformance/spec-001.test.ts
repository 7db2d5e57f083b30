// The Context Runtime ABI (spec 001), statement by statement, on a real mount.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { get_encoding } from 'tiktoken';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { longSession, NEWEST_REQUEST, REPEATED_OUTPUT } from './long-session.ts';

interface Item {
  readonly kind: string;
  readonly source: string;
  readonly range?: string;
  readonly tokens: number;
}
interface Pack {
  readonly items: readonly Item[];
  readonly budget_tokens: number;
  readonly left_out: readonly { readonly source: string; readonly range?: string; readonly reason: string }[];
}

const BUDGET = 6000;
const history = longSession(60);
const historyLines = history.trimEnd().split('\n');

let mounted: MountedStore;
let session: string;
let inStore: string;

const read = (file: string): Promise<string> => mounted.must(`cat '${file}'`, { cwd: session });
const rows = async (file: string): Promise<readonly Record<string, unknown>[]> =>
  (await read(file))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const pack = async (): Promise<Pack> => JSON.parse(await read('context/pack.json')) as Pack;
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

beforeAll(async () => {
  mounted = await mountStore('spec-001');
  session = join(mounted.agents, 'coder/session/long');
  inStore = session.replace(mounted.root, mounted.store);
  await mounted.must(`ctx new coder/long --budget ${BUDGET} && ctx append coder/long --lines`, { input: history });
  await mounted.must("echo 'You are a careful coder.' > context/pinned/system.md", { cwd: session });
  await mounted.must('mkdir -p context/child/rev-123/artifact && cd context/child/rev-123 && echo reviewer > agent && echo done > status', {
    cwd: session,
  });
  await mounted.must("echo 'The review found one lock that is never released.' > context/child/rev-123/result.md", { cwd: session });
  await mounted.must("echo '{}' > context/child/rev-123/artifact/report.json", { cwd: session });
});
afterAll(() => mounted.end());

const DERIVED =
  'pack.json pack.md prompt.json summary.md facts.jsonl decisions.jsonl todo.md refs.jsonl swap/index.jsonl dedup/index.jsonl'.split(' ');
const allDerived = (): Promise<string> => mounted.must(`sha256sum ${DERIVED.map((name) => `context/${name}`).join(' ')}`, { cwd: session });

describe('session layout', () => {
  it('raw session history is durable and append-only: what was written is what is read, whatever was derived from it', async () => {
    await allDerived();
    expect(await read('messages.jsonl')).toBe(history);
    for (const attempt of [
      '> messages.jsonl',
      'truncate -s 0 messages.jsonl',
      'rm -f messages.jsonl',
      'mv messages.jsonl old',
      'sed -i s/a/b/ messages.jsonl',
    ]) {
      expect([attempt, (await mounted.sh(attempt, { cwd: session })).code === 0]).toEqual([attempt, false]);
    }
    expect(await read('messages.jsonl')).toBe(history);
  });

  it('events.jsonl is append-only runtime history', async () => {
    await mounted.must(`echo '{"type":"start","run":"r1"}' >> events.jsonl`, { cwd: session });
    expect((await mounted.sh('> events.jsonl', { cwd: session })).code).not.toBe(0);
    expect((await rows('events.jsonl')).at(-1)).toEqual({ type: 'start', run: 'r1' });
  });

  it('context files stay under the owning session: the root ABI has no name of them', async () => {
    expect((await mounted.must('ls -A')).split('\n')).not.toContain('context');
    expect((await mounted.must('ls -A context', { cwd: session })).split('\n')).toContain('pack.json');
  });

  it('latest.md is the newest assistant text', async () => {
    const { content } = JSON.parse(historyLines.at(-2) ?? '') as { content: string };
    expect(await read('latest.md')).toBe(`${content}\n`);
  });
});

describe('context pack', () => {
  it('identifies the source of every item, and the sources are there', async () => {
    const sources = (await pack()).items.map(({ source }) => source);
    expect(sources).not.toContain('');
    await mounted.must(`stat --format= ${[...new Set(sources)].map((source) => `'${source}'`).join(' ')}`, { cwd: session });
  });

  it('respects context/budget, counted as a whole by the real tokenizer, for pack.md and prompt.json', async () => {
    const tokenizer = get_encoding('o200k_base');
    try {
      for (const budget of [BUDGET, 2500]) {
        await mounted.must(`echo ${budget} > context/budget`, { cwd: session });
        expect((await pack()).budget_tokens).toBe(budget);
        expect(tokenizer.encode_ordinary(await read('context/pack.md')).length).toBeLessThanOrEqual(budget);
        const prompt = JSON.parse(await read('context/prompt.json')) as readonly { role: string; content?: string }[];
        const text = prompt.map(({ role, content }) => `<|im_start|>${role}\n${content ?? ''}<|im_end|>\n`).join('');
        expect(tokenizer.encode_ordinary(text).length).toBeLessThanOrEqual(budget * 1.1);
      }
    } finally {
      tokenizer.free();
      await mounted.must(`echo ${BUDGET} > context/budget`, { cwd: session });
    }
  });

  it('lets people see what is sent: pack.md has the newest request word for word, the pinned file and the child result', async () => {
    const text = await read('context/pack.md');
    for (const part of [NEWEST_REQUEST, 'You are a careful coder.', 'one lock that is never released']) expect(text).toContain(part);
    const messages = JSON.parse(await read('context/prompt.json')) as readonly { role: string; content: string }[];
    expect(messages.filter(({ role }) => role === 'user').at(-1)?.content).toContain(NEWEST_REQUEST);
  });

  it('says what was left out, and why', async () => {
    const { left_out: leftOut } = await pack();
    expect(leftOut.length).toBeGreaterThan(0);
    for (const { source, reason } of leftOut) expect([source, reason].every((text) => text !== '')).toBe(true);
  });

  it('has every kind of the specification that this session has content for', async () => {
    const kinds = new Set((await pack()).items.map(({ kind }) => kind));
    for (const kind of ['system', 'summary', 'facts', 'recent_messages', 'child_result']) expect(kinds).toContain(kind);
  });
});

describe('compression', () => {
  it('facts, decisions and refs have the fields of the specification, and their sources name real lines', async () => {
    const facts = await rows('context/facts.jsonl');
    expect(facts).toContainEqual(
      expect.objectContaining({ id: expect.any(String), text: expect.stringContaining('8443'), source: 'messages:9' }),
    );
    expect(await rows('context/decisions.jsonl')).toContainEqual(
      expect.objectContaining({ id: expect.any(String), decision: expect.stringContaining('SQLite') }),
    );
    expect(await rows('context/refs.jsonl')).toContainEqual(
      expect.objectContaining({ path: '/repo/src/module-1.ts', kind: 'file', summary: expect.any(String) }),
    );
    for (const { source } of [...facts, ...(await rows('context/decisions.jsonl'))]) {
      const line = Number(/^messages:(\d+)/.exec(String(source))?.[1]);
      expect(line).toBeGreaterThan(0);
      expect(line).toBeLessThanOrEqual(historyLines.length);
    }
  });

  it('todo.md holds open work, and summary.md is never the only copy of history', async () => {
    expect(await read('context/todo.md')).toMatch(/^- \[ \] .*changelog/im);
    expect((await read('context/summary.md')).length).toBeGreaterThan(100);
    expect(await read('messages.jsonl')).toBe(history);
  });
});

describe('swap', () => {
  it('every chunk is history outside the pack, byte for byte, under the digest that names it', async () => {
    const index = await rows('context/swap/index.jsonl');
    expect(index.length).toBeGreaterThan(0);
    for (const { id, kind, source, range, hash, summary, tokens } of index) {
      expect([typeof summary, typeof tokens, ['message_range', 'tool_output', 'file'].includes(String(kind))]).toEqual([
        'string',
        'number',
        true,
      ]);
      const bytes = await read(`context/swap/chunk/${String(id)}`);
      expect(id).toBe(`sha256-${sha256(bytes)}`);
      // Rows of a message range say the hash as the specification's chunk references do.
      if (kind === 'message_range') expect(hash).toBe(`sha256:${sha256(bytes)}`);
      const [first = 0, last = first] = String(range).split('-').map(Number);
      if (kind === 'message_range' && source === 'messages.jsonl')
        expect(bytes).toBe(
          historyLines
            .slice(first - 1, last)
            .map((line) => `${line}\n`)
            .join(''),
        );
    }
  });

  it('chunks are references: no file of the store holds a second copy of swapped history', async () => {
    const old = JSON.stringify((JSON.parse(historyLines[2] ?? '') as { content: string }).content).slice(1, 120);
    // By inode: names may be hard links of one segment.
    const line = `grep -rlF --null -e '${old.replaceAll("'", "'\\''")}' . | grep -zv recall | xargs -0 stat -c %i | sort -u`;
    expect((await mounted.must(line, { cwd: inStore })).trim().split('\n')).toHaveLength(1);
  });
});

describe('dedup', () => {
  it('repeated tool output is listed once with its places, and its blob is that text', async () => {
    const [row] = (await rows('context/dedup/index.jsonl')).filter(({ bytes }) => bytes === Buffer.byteLength(REPEATED_OUTPUT));
    expect(row).toMatchObject({ hash: `sha256-${sha256(REPEATED_OUTPUT)}`, refs: expect.any(Array), tokens: expect.any(Number) });
    expect(row?.['refs']).toHaveProperty('1');
    expect(await read(`context/dedup/blob/${String(row?.['hash'])}`)).toBe(REPEATED_OUTPUT);
  });

  it('large repeated tool output is referenced in the pack instead of copied', async () => {
    await mounted.must('echo 40000 > context/budget', { cwd: session });
    const text = await read('context/pack.md');
    await mounted.must(`echo ${BUDGET} > context/budget`, { cwd: session });
    expect(text.split("SETTING_7 = 'value number 7").length - 1).toBe(1);
  });

  it('a child result is merged as a result reference with its artifacts', async () => {
    const refs = await rows('context/refs.jsonl');
    expect(refs).toContainEqual(expect.objectContaining({ kind: 'child_result', path: expect.stringContaining('child/rev-123') }));
    expect((await pack()).items).toContainEqual(
      expect.objectContaining({ kind: 'child_result', source: 'context/child/rev-123/result.md' }),
    );
  });
});

describe('garbage collection', () => {
  it('may delete the pack, blobs and chunks, and everything reads the same afterwards', async () => {
    const before = await allDerived();
    await mounted.must('rm -f context/pack.json context/pack.md context/prompt.json && ctx gc .', { cwd: session });
    expect(await allDerived()).toBe(before);
  });

  it('never deletes messages.jsonl or events.jsonl, whatever the policy and the clock', async () => {
    const events = await read('events.jsonl');
    const [keep, policy] = [
      'pack_ttl=0s\nswap_ttl=0s\ndedup_min_refs=1\nkeep_messages=0\nkeep_events=0\n',
      await read('context/gc.policy'),
    ];
    await mounted.must('cat > context/gc.policy', { cwd: session, input: keep });
    await mounted.must('ctx gc .', { cwd: session });
    expect([await read('messages.jsonl'), (await read('events.jsonl')).startsWith(events)]).toEqual([history, true]);
    await mounted.must('cat > context/gc.policy', { cwd: session, input: policy });
  });

  it('never deletes a child result while the context references it', async () => {
    await mounted.must('ctx gc .', { cwd: session });
    expect(await read('context/child/rev-123/result.md')).toContain('never released');
    expect(await read('context/child/rev-123/artifact/report.json')).toBe('{}\n');
  });

  it('context is rebuildable: without any derived state in the store, the same bytes come back after a restart', async () => {
    const before = await allDerived();
    await mounted.must('ctx umount', { cwd: '/' });
    await mounted.must(`rm -rf '${inStore}/context/.cache'`, { cwd: '/' });
    await mounted.must('ctx mount', { cwd: '/' });
    expect(await allDerived()).toBe(before);
  });
});
