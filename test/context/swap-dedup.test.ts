import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { mapBlock } from '../../src/context/blocks.ts';
import { dedupFold } from '../../src/context/dedup.ts';
import { swapChunks, swapRows } from '../../src/context/swap.ts';
import type { BlockRecord, OutputRecord } from '../../src/context/types.ts';
import { blocksOf, codingSession, journal, linesOf, message } from './history.ts';

const sha = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const rows = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const session = mapBlock(linesOf(codingSession));

test('swap rows have the fields of the specification', () => {
  const [range, output] = rows(swapRows(session));
  expect(range).toMatchObject({
    id: session.digest,
    kind: 'message_range',
    source: 'messages.jsonl',
    range: '1-21',

    tokens: Math.ceil(codingSession.length / 4),
    tokens_estimated: true,
    start_event: 'msg-1',
    end_event: 'msg-21',
    hash: `sha256:${sha(codingSession)}`,
  });
  expect(output).toMatchObject({ kind: 'tool_output', source: 'messages.jsonl', event: 'msg-17' });
  expect(output?.['summary']).toMatch(/^Bash npm test -- lock: ok 1 - lock/);
});

test('SWP-1: a chunk id is the sha256 of exactly the raw bytes of its lines', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 150 }), (messages) => {
      const history = journal(messages);
      const lines = linesOf(history);
      for (const block of blocksOf(lines)) {
        const named = new Map(swapChunks(block).map((chunk) => [chunk.id, chunk]));
        for (const row of rows(swapRows(block))) {
          const chunk = named.get(String(row['id']));
          expect(chunk).toBeDefined();
          const bytes = Buffer.concat(lines.slice((chunk?.firstLine ?? 0) - 1, chunk?.lastLine).map((line) => line.bytes));
          expect(row).toMatchObject({ id: `sha256-${sha(bytes)}`, bytes: bytes.length });
          if (row['kind'] === 'message_range') expect(row['hash']).toBe(`sha256:${sha(bytes)}`);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('SWP-2: the index only grows as blocks complete', () => {
  const lines = linesOf(journal(Array.from({ length: 200 }, (_, n) => ({ role: 'user', content: `message ${n}` }))));
  const index = (count: number): string =>
    blocksOf(lines.slice(0, count))
      .filter((block) => block.lines === 64)
      .map(swapRows)
      .join('');
  expect(index(200).startsWith(index(150))).toBe(true);
  expect(index(150).startsWith(index(100))).toBe(true);
  expect(rows(index(200)).map((row) => row['range'])).toEqual(['1-64', '65-128', '129-192']);
});

test('dedup rows list what occurs at least twice, in order of first occurrence', () => {
  const state = dedupFold.initial();
  dedupFold.addBlock(state, session);
  const output = session.outputs.at(-1) as OutputRecord;
  expect(rows(dedupFold.text(state))).toEqual([
    {
      hash: output.digest,
      refs: ['tool:call_b1', 'tool:call_b2'],
      bytes: output.bytes,
      tokens: Math.ceil(output.bytes / 4),
      tokens_estimated: true,
    },
  ]);
  expect(dedupFold.digests(state)).toEqual([output.digest]);
  expect(dedupFold.find(state, output.digest)).toEqual({ line: 17, callId: 'call_b1' });
  expect(dedupFold.find(state, session.outputs[0]?.digest ?? '')).toEqual({ line: 4, callId: 'toolu_01A' });
  for (const unknown of [`sha256-${'0'.repeat(64)}`, 'sha256-abc', '']) expect(dedupFold.find(state, unknown)).toBeUndefined();
});

test('DED-1: the dedup index equals a plain grouping of outputs by digest', () => {
  const output = fc.record({
    digest: fc.nat(700).map((n) => `sha256-${sha(String(n))}`),
    callId: fc.constantFrom('', 'call_1', 'toolu_x', 'bad id'),
  });
  fc.assert(
    fc.property(fc.array(fc.array(output, { maxLength: 400 }), { minLength: 1, maxLength: 6 }), (blocks) => {
      const state = dedupFold.initial();
      const groups = new Map<string, string[]>();
      blocks.forEach((outputs, b) => {
        const records = outputs.map((one, n): OutputRecord => ({
          ...one,
          line: b * 64 + n + 1,
          bytes: 2000,
          lineDigest: '',
          lineBytes: 2100,
          summary: '',
        }));
        dedupFold.addBlock(state, { ...session, outputs: records } satisfies BlockRecord);
        for (const { digest, callId, line } of records) {
          groups.set(digest, [...(groups.get(digest) ?? []), /^\w+$/.test(callId) ? `tool:${callId}` : `messages:${line}`]);
        }
      });
      const expected = [...groups].filter(([, refs]) => refs.length > 1);
      expect(rows(dedupFold.text(state)).map((row) => [row['hash'], row['refs']])).toEqual(
        expected.map(([hash, refs]) => [hash, refs.slice(0, 64)]),
      );
      expect(dedupFold.digests(state)).toEqual(expected.map(([hash]) => hash));
    }),
    { numRuns: 40 },
  );
});

test('an output that occurs very often is listed with a bounded number of references', () => {
  const state = dedupFold.initial();
  const output = session.outputs[0] as OutputRecord;
  dedupFold.addBlock(state, { ...session, outputs: Array.from({ length: 500 }, (_, n) => ({ ...output, line: n + 1, callId: `c${n}` })) });
  const [row] = rows(dedupFold.text(state));
  expect(row?.['refs']).toHaveLength(64);
  expect(row?.['occurrences']).toBe(500);
});
