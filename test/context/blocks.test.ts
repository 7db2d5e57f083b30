import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { mapBlock } from '../../src/context/blocks.ts';
import { decodeRecord, encodeRecord } from '../../src/context/record-codec.ts';
import { SWAP_LINE_BYTES } from '../../src/context/swap.ts';
import { codingSession, journal, linesOf, message } from './history.ts';

const sha = (bytes: Uint8Array | string): string => `sha256-${createHash('sha256').update(bytes).digest('hex')}`;
const record = mapBlock(linesOf(codingSession));

describe('mapBlock on a transcript in both message shapes', () => {
  test('a block is its lines, bytes and the digest of exactly those bytes', () => {
    expect([record.firstLine, record.lines, record.bytes, record.digest]).toEqual([1, 21, codingSession.length, sha(codingSession)]);
  });

  test('facts are what somebody stated, not questions, system text, reasoning or code', () => {
    expect(record.facts).toEqual([
      { line: 2, text: 'the CI machine has only two cores.' },
      { line: 5, text: 'The root cause is that the old holder closes late.' },
      { line: 12, text: 'I prefer tabs over spaces.' },
      { line: 12, text: 'From now on run the linter before you commit.' },
    ]);
  });

  test('decisions are stated or confirmed', () => {
    expect(record.decisions).toEqual([
      { line: 6, decision: 'Confirmed: The root cause is that the old holder closes late. Should I add one more retry before giving up?' },
      { line: 12, decision: "Let's use SQLite for the lock table." },
      { line: 13, decision: 'We agreed that EAGAIN is the only errno the caller sees.' },
      { line: 21, decision: 'ship it as 0.4.1.' },
    ]);
  });

  test('todos come from lists, boxes, planning tools and requests', () => {
    expect(record.todos.map(({ line, text, done }) => `${line} ${done ? 'x' : '-'} ${text}`)).toEqual([
      '11 - document the retry in README.md',
      '11 - raise the CI timeout',
      '12 - add a bench for lock contention',
      '12 x raise the CI timeout',
      '13 - Write the bench',
      '13 x Add a bench for lock contention',
      '21 - tag the release.',
    ]);
  });

  test('refs name files of tool calls once and large outputs by their chunk', () => {
    expect(
      record.refs.map(({ line, path, kind, summary }) => [line, path.replace(/[0-9a-f]{64}/, '…'), kind, summary.slice(0, 24)]),
    ).toEqual([
      [3, '/repo/src/lock.ts', 'file', 'Read, edit_file'],
      [13, '/repo/bench/lock.ts', 'artifact', 'Write'],
      [17, 'context/swap/chunk/sha256-…', 'tool_output', 'Bash npm test -- lock: o'],
      [19, 'context/swap/chunk/sha256-…', 'tool_output', 'Bash npm test -- lock: o'],
    ]);
  });

  test('outputs carry the digest of their text, and of their line where it has a row of its own', () => {
    const lines = linesOf(codingSession);
    expect(record.outputs.map((output) => output.line)).toEqual([4, 10, 17, 19]);
    for (const output of record.outputs) {
      const line = lines[output.line - 1];
      const text = line?.view.toolResults[0]?.text ?? '';
      expect(output).toMatchObject({
        digest: sha(text),
        bytes: Buffer.byteLength(text),
        lineDigest: (line?.bytes.length ?? 0) >= SWAP_LINE_BYTES ? sha(line?.bytes ?? '') : '',
        lineBytes: line?.bytes.length,
      });
    }
    expect(record.outputs[2]?.digest).toBe(record.outputs[3]?.digest);
  });

  test('the summary holds the first request and the last answer', () => {
    expect(record.summary).toMatch(/^Asked: Please fix the flaky lock test/);
    expect(record.summary).toContain('Answered: All 159 rounds pass');
  });
});

test('a long message that is no tool output is a large line', () => {
  const history = journal([
    { role: 'user', content: 'a' },
    { role: 'user', content: 'é'.repeat(5000) },
  ]);
  const [, second] = linesOf(history);
  expect(mapBlock(linesOf(history)).large).toEqual([{ line: 2, digest: sha(second?.bytes ?? ''), bytes: second?.bytes.length }]);
});

test('a block of tool calls alone is summed up by its tools', () => {
  const call = (name: string): object => ({
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name, arguments: '{}' } }],
  });
  expect(mapBlock(linesOf(journal([call('ls'), call('cat'), call('ls')]))).summary).toBe('Tools: ls ×2, cat');
});

test('markdown and marks for a harness do not reach a summary; numbers of a listing do not reach a row', () => {
  const listing = Array.from({ length: 300 }, (_, n) => `${String(n + 1).padStart(6)}→const value${n} = ${n};`).join('\n');
  const history = journal([
    { role: 'user', content: '**Please** fix `redact.go` and __init__.' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'Read', arguments: '{"path":"a.ts"}' } }],
    },
    { role: 'tool', tool_call_id: 'c1', content: listing },
    { role: 'assistant', content: '**Decision (corrected):** `/healthz` is always 200 while the process lives.' },
    { role: 'user', content: 'Thank you! ###STOP###' },
  ]);
  const record = mapBlock(linesOf(history));
  expect(record.summary).toBe(
    'Asked: Please fix `redact.go` and __init__. · Answered: Decision (corrected): `/healthz` is always 200 while the process lives.',
  );
  expect(record.decisions.map((entry) => entry.decision)).toEqual(['`/healthz` is always 200 while the process lives.']);
  expect(record.outputs[0]?.summary).toMatch(/^Read a\.ts: const value0 = 0; const value1/);
});

test('a confirmed proposal keeps its words', () => {
  const history = journal([
    { role: 'assistant', content: 'The total is $305. Please confirm if you would like to proceed.' },
    { role: 'user', content: 'Yes, please proceed.' },
  ]);
  expect(mapBlock(linesOf(history)).decisions.map((entry) => entry.decision)).toEqual([
    'Confirmed: The total is $305. Please confirm if you would like to proceed.',
  ]);
});

test('"okay, thank you" confirms nothing', () => {
  const history = journal([
    { role: 'assistant', content: 'I recommend that you call the airline. Should I wait?' },
    { role: 'user', content: 'Okay, thank you.' },
  ]);
  expect(mapBlock(linesOf(history)).decisions).toEqual([]);
});

test('EXT-1: what the first messages of a block state is a prefix of what the block states', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 24 }), fc.nat(), (messages, pick) => {
      const lines = linesOf(journal(messages));
      const count = 1 + (pick % lines.length);
      const whole = mapBlock(lines);
      const part = mapBlock(lines.slice(0, count));
      for (const kind of ['facts', 'decisions', 'todos', 'outputs', 'large'] as const)
        expect(whole[kind].slice(0, part[kind].length)).toEqual(part[kind]);
      expect(whole.refs.slice(0, part.refs.length).map((ref) => ref.path)).toEqual(part.refs.map((ref) => ref.path));
    }),
    { numRuns: 200 },
  );
});

test('EXT-2: a record is bounded, one line a text, valid UTF-8, and the same however its bytes lie in memory', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 64 }), (messages) => {
      const lines = linesOf(journal(messages));
      const apart = lines.map((line) => ({ ...line, bytes: Buffer.from(Uint8Array.from(line.bytes)) }));
      const mapped = mapBlock(lines);
      expect(mapBlock(apart)).toEqual(mapped);
      expect(mapped.summary.length).toBeLessThanOrEqual(400);
      const texts = [
        mapped.summary,
        ...mapped.facts.map((f) => f.text),
        ...mapped.decisions.map((d) => d.decision),
        ...mapped.todos.map((t) => t.text),
        ...mapped.refs.map((r) => r.summary + r.path),
      ];
      for (const text of texts) {
        expect(text).not.toMatch(/[\n\r]/);
        expect(Buffer.from(text).toString()).toBe(text);
      }
    }),
    { numRuns: 100 },
  );
});

test('REC-1: an encoded record decodes to the same record', () => {
  expect(decodeRecord(encodeRecord(record))).toEqual(record);
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 64 }), fc.integer({ min: 1, max: 1e6 }), (messages, firstLine) => {
      const mapped = mapBlock(linesOf(journal(messages), firstLine));
      expect(decodeRecord(encodeRecord(mapped))).toEqual(mapped);
    }),
    { numRuns: 100 },
  );
});

test.each(['', '[]', '[9,1,1]', '{"v":1}', '[1,', 'null'])('REC-1: %j is no record of this version', (text) => {
  expect(decodeRecord(text)).toBeUndefined();
});

test('EXT-3: hostile text costs linear time: every pattern is bounded or anchored', () => {
  const hostile = [
    `TODO${' '.repeat(1000)}\u2028`,
    `- [ ]${' '.repeat(2000)}`,
    `${'*'.repeat(900)} `,
    `remember ${'a '.repeat(4000)}`,
    '<ab>'.repeat(2000),
    '```'.repeat(2700),
    'we decided '.repeat(700),
    'my aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa '.repeat(200),
    `next:${'\n'.repeat(8000)}`,
    '. '.repeat(4000),
    '[x] '.repeat(2000),
    'ok '.repeat(2700),
  ];
  const lines = linesOf(
    journal(
      hostile.flatMap((content) => [
        { role: 'user', content },
        { role: 'assistant', content },
        { role: 'user', content: `${content}\n`.repeat(20) },
      ]),
    ),
  );
  for (let round = 0; round < 20; round += 1) mapBlock(lines);
  expect(lines).toHaveLength(36);
}, 4000);
