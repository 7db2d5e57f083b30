import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { lineFault } from '../../src/abi/records.ts';
import { describeSource } from '../../src/interop/index.ts';
import { formerName } from '../../src/interop/plan.ts';
import type { TranscriptSource } from '../../src/interop/types.ts';
import { CASES, fixture, imported, SessionLines } from './session-lines.ts';

describe.each(CASES)('%s', (name, path, format, layout) => {
  test('detection finds the format in the content', () => {
    const about = describeSource(fixture(name), '/somewhere/file', { complete: true });
    expect([about.format, about.layout]).toEqual([format, layout]);
  });

  test('every imported line may be stored', async () => {
    const session = await imported(name, path);
    for (const file of ['messages', 'events'] as const) {
      for (const line of session[file]) expect([lineFault(file, Buffer.from(line)), line.includes('\n')]).toEqual([undefined, false]);
    }
    expect(session.messages.length).toBeGreaterThan(0);
  });

  test('the original comes back byte for byte', async () => {
    const session = await imported(name, path);
    expect((await session.original()).equals(fixture(name))).toBe(true);
  });

  test('importing again adds nothing, also after a restart', async () => {
    const session = await imported(name, path);
    expect(await session.import(path, fixture(name))).toBe(0);
    session.forget();
    expect(await session.import(path, fixture(name))).toBe(0);
  });

  test('without the mark (an import that was killed) importing again adds only the mark', async () => {
    const session = await imported(name, path);
    const whole = [...session.events];
    session.events.pop();
    session.forget();
    expect(await session.import(path, fixture(name))).toBe(1);
    expect(session.events).toEqual(whole);
  });
});

describe.each(CASES.filter(([, , , layout]) => layout === 'lines'))('%s grows', (name, path) => {
  test('a prefix and then the whole equals the whole', async () => {
    const bytes = fixture(name);
    const whole = (await imported(name, path)).records;
    const firstLine = bytes.indexOf(10) + 1;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: firstLine, max: bytes.length }), { maxLength: 3 }),
        fc.boolean(),
        async (cuts, restart) => {
          const session = new SessionLines();
          // A cut between a whole value and its \r\n is a test of its own below.
          for (const cut of [...cuts.sort((a, b) => a - b).filter((at) => bytes[at] !== 13), bytes.length]) {
            await session.import(path, bytes.subarray(0, cut));
            expect((await session.original()).equals(bytes.subarray(0, cut))).toBe(true);
            if (restart) session.forget();
          }
          expect(session.records).toEqual(whole);
        },
      ),
      { numRuns: 60 },
    );
  });
});

test('a last line that was whole but had no end is not said twice when its end comes', async () => {
  for (const end of ['\r\n', '  \n', ' ']) {
    const session = new SessionLines();
    await session.import('/o/chat.jsonl', Buffer.from('{"role":"user","content":"a"}\n{"role":"user","content":"b"}'));
    session.forget();
    const bytes = Buffer.from(`{"role":"user","content":"a"}\n{"role":"user","content":"b"}${end}`);
    await session.import('/o/chat.jsonl', bytes);
    expect(session.messages).toHaveLength(2);
    expect((await session.original()).equals(bytes)).toBe(true);
  }
});

test("the project's sample is a whole session of its format", async () => {
  const bytes = readFileSync(new URL('../../samples/dockd.jsonl', import.meta.url));
  const session = new SessionLines();
  await session.import('/samples/dockd.jsonl', bytes);
  expect(session.messages.length).toBeGreaterThan(150);
  expect(session.events.some((line) => line.includes('invalid-json'))).toBe(false);
  expect((await session.original()).equals(bytes)).toBe(true);
});

test('a grown text adds its new bytes as new messages', async () => {
  const session = new SessionLines();
  await session.import('/t/log.txt', Buffer.from('one\ntwo\n'));
  await session.import('/t/log.txt', Buffer.from('one\ntwo\nthree'));
  expect(session.messages.map((line) => (JSON.parse(line) as { content: string }).content)).toEqual(['one\ntwo\n', 'three']);
  expect((await session.original()).toString()).toBe('one\ntwo\nthree');
});

test('a grown chat array adds only its new messages', async () => {
  const chat = JSON.parse(fixture('openai-array.json').toString()) as unknown[];
  const session = new SessionLines();
  for (let size = 1; size <= chat.length; size++) {
    const bytes = Buffer.from(JSON.stringify(chat.slice(0, size), null, 2));
    await session.import('/o/chat.json', bytes);
    expect(session.messages).toHaveLength(size);
    expect((await session.original()).equals(bytes)).toBe(true);
    session.forget();
  }
});

// Sources made of arbitrary lines: objects, values, broken JSON, bytes that are no text.
const anyLine = fc.oneof(
  fc
    .record({
      role: fc.constantFrom('user', 'assistant', 'tool', 'system', 'narrator'),
      content: fc.oneof(fc.string({ unit: 'binary' }), fc.constant(null)),
      more: fc.json(),
    })
    .map((value) => Buffer.from(JSON.stringify(value))),
  fc
    .record({
      type: fc.constantFrom('user', 'assistant', 'progress'),
      uuid: fc.uuid(),
      sessionId: fc.constant('s'),
      message: fc.record({ role: fc.constantFrom('user', 'assistant'), content: fc.string({ maxLength: 120 }) }),
    })
    .map((value) => Buffer.from(JSON.stringify(value, null, fc.sample(fc.constant(0), 1)[0]))),
  fc.json().map((text) => Buffer.from(text)),
  fc.string().map((text) => Buffer.from(text.replaceAll('\n', ' '))),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 10))),
);

test.each(['openai', 'claude-code', 'codex', 'gemini', 'pi', 'text'] as const)(
  'any bytes read as %s come back, grown in any steps',
  async (from) => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyLine, { maxLength: 12 }), fc.boolean(), fc.nat(), async (lines, newline, cut) => {
        const text = Buffer.concat([
          Buffer.from('{"role":"user","content":"first"}\n'),
          ...lines.flatMap((line) => [line, Buffer.from('\n')]),
        ]);
        const bytes = newline ? text : text.subarray(0, -1);
        const session = new SessionLines();
        await session.import('/any.jsonl', bytes.subarray(0, 34 + (cut % (bytes.length - 33))), { from });
        session.forget();
        await session.import('/any.jsonl', bytes, { from });
        for (const file of ['messages', 'events'] as const) {
          for (const line of session[file]) expect(lineFault(file, Buffer.from(line))).toBe(undefined);
        }
        expect((await session.original()).equals(bytes)).toBe(true);
      }),
      { numRuns: 120 },
    );
  },
);

test('a source that was rewritten comes back as it is now, and nothing said is said again', async () => {
  const line = (content: string): string => `{"role":"user","content":${JSON.stringify(content)}}\n`;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 5 }),
      async (versions) => {
        const session = new SessionLines();
        for (const version of versions) {
          const bytes = Buffer.from(version.map(line).join(''));
          await session.import('/o/rotated.jsonl', bytes);
          session.forget();
          expect((await session.original()).toString()).toBe(bytes.toString());
          expect(await session.import('/o/rotated.jsonl', bytes)).toBe(0);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('an older copy of a source adds nothing, and leaves the newer one as the original', async () => {
  const [name, path] = CASES[0];
  const [older, newer] = [fixture(name).subarray(0, fixture(name).indexOf(10, fixture(name).length >> 1) + 1), fixture(name)];
  const session = new SessionLines();
  await session.import('/backup/a.jsonl', older);
  expect(await session.import(path, newer)).toBeGreaterThan(0);
  for (let round = 0; round < 2; round++) {
    session.forget();
    expect(await session.import('/backup/a.jsonl', older)).toBe(0);
    expect(await session.import(path, newer)).toBe(0);
  }
  expect((await session.original()).equals(newer)).toBe(true);
});

test('a file without a conversation id that was renamed while nobody followed it adds only what is new', async () => {
  const root = mkdtempSync(join(tmpdir(), 'ctx-renamed-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [before, after, copy] = ['chat.jsonl', 'old-chat.jsonl', 'copy.jsonl'].map((name) => join(root, name)) as [string, string, string];
  const bytes = fixture('openai-lines.jsonl');
  const more = Buffer.concat([bytes, Buffer.from('\n{"role":"user","content":"And after the move?"}\n')]);
  const session = new SessionLines();
  writeFileSync(before, bytes);
  await session.import(before, bytes);
  renameSync(before, after);
  session.forget();
  expect(await session.import(after, bytes)).toBe(0);
  // The message and the mark.
  expect(await session.import(after, more)).toBe(2);
  writeFileSync(after, more);
  session.forget();
  expect(await session.import(after, more)).toBe(0);
  // What it was read from is still there: another conversation that begins alike.
  const messages = session.messages.length;
  writeFileSync(copy, more);
  await session.import(copy, more);
  expect(session.messages.length).toBe(2 * messages);
});

test('INT-5 of two renamed sources that a file begins with, it is the one that holds most of it', async () => {
  const root = mkdtempSync(join(tmpdir(), 'ctx-renamed-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const [short, long] = ['short.jsonl', 'long.jsonl'].map((name) => join(root, name)) as [string, string];
  const bytes = fixture('openai-lines.jsonl');
  const more = Buffer.concat([bytes, Buffer.from('\n{"role":"user","content":"And in the copy?"}\n')]);
  for (const order of [
    [short, long],
    [long, short],
  ]) {
    const session = new SessionLines();
    for (const path of order) {
      const content = path === short ? bytes : more;
      writeFileSync(path, content);
      await session.import(path, content);
    }
    for (const path of order) renameSync(path, `${path}.moved`);
    session.forget();
    // Both in any order: nothing of either is said again.
    for (const path of [long, short]) expect(await session.import(`${path}.moved`, path === short ? bytes : more)).toBe(0);
  }
});

test('INT-5 a directory of renamed sources is read once, not once for each name that was there', async () => {
  const root = mkdtempSync(join(tmpdir(), 'ctx-renamed-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const session = new SessionLines();
  const contentOf = (n: number): Buffer =>
    Buffer.from(Array.from({ length: 20 + n }, (_, i) => `${JSON.stringify({ role: 'user', content: `file ${n} says ${i}` })}\n`).join(''));
  const count = 40;
  for (let n = 0; n < count; n += 1) await session.import(join(root, `gone-${n}.jsonl`), contentOf(n));
  session.forget();
  const bytes = contentOf(count - 1);
  const name = join(root, 'moved.jsonl');
  let read = 0;
  const source: TranscriptSource = {
    path: name,
    async *open(startBytes = 0) {
      await Promise.resolve();
      // In small pieces: marks end inside of them, and at their edges.
      for (let at = startBytes; at < bytes.length; at += 97) {
        read += Math.min(97, bytes.length - at);
        yield bytes.subarray(at, at + 97);
      }
    },
  };
  const former = await formerName(source, `path:${name}`, session.state);
  expect(former?.name).toBe(`path:${join(root, `gone-${count - 1}.jsonl`)}`);
  expect(former?.start.bytes).toBe(bytes.length);
  expect(read).toBe(bytes.length);
});

const LEVELS = 50_000;
const DEEP = `${'['.repeat(LEVELS)}${']'.repeat(LEVELS)}`;
const CODEX = '{"timestamp":"x","type":"response_item","payload":';

test.each([
  ['claude-code', `{"parentUuid":null,"sessionId":"s","type":"user","uuid":"u","message":{"role":"user","content":${DEEP}}}\n`],
  ['codex', `${CODEX}{"type":"custom_tool_call","name":"p","call_id":"z","input":${DEEP}}}\n`],
  [
    'gemini',
    `{"sessionId":"g","startTime":"x","messages":[{"id":"1","type":"gemini","content":"x","toolCalls":[{"id":"t","args":${DEEP}}]}]}`,
  ],
  ['openai', `[{"role":"user","content":${DEEP}}]`],
  ['swe-agent', `{"history":[{"role":"user","content":${DEEP}}],"trajectory":[]}`],
])('a %s record of any depth is imported, and comes back byte for byte', async (format, text) => {
  const session = new SessionLines();
  const bytes = Buffer.from(text);
  await session.import('/deep/file', bytes);
  expect(describeSource(bytes, '/deep/file', { complete: true }).format).toBe(format);
  expect(session.messages.length).toBeGreaterThan(0);
  expect((await session.original()).equals(bytes)).toBe(true);
});
