import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LineMark } from '../../src/abi/line-mark.ts';
import { finish } from '../../src/abi/steps.ts';
import { buildSegment, openRecallIndex } from '../../src/search/recall-index.ts';
import { SEGMENT_LINES } from '../../src/search/version.ts';
import type { SearchDoc } from '../../src/search/types.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-search-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const WORDS = ['river', 'bank', 'loan', 'boat', 'rowing', 'interest', 'the', 'rate', 'parseLine', '2024', '銀行', 'Ärger', 'café'];

function doc(line: number, text: string): SearchDoc {
  return { line, role: 'user', text };
}

function sentence(seed: number, length = 6): string {
  let state = seed * 2654435761 + 1;
  const words: string[] = [];
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    words.push(WORDS[(state >>> 8) % WORDS.length] as string);
  }
  return words.join(' ');
}

describe('recall index', () => {
  test('IDX-1 a query finds other forms of its words, parts of identifiers, unspaced scripts and accents', () => {
    const index = openRecallIndex(directory);
    index.add(
      [
        doc(1, 'She bought three bicycles'),
        doc(2, 'call parseMessageLine(buffer) first'),
        doc(4, '東京銀行で口座を開く'),
        doc(5, 'a naïve Café'),
      ],
      6,
    );
    const line = (text: string): number | undefined => index.query(text, 5)[0]?.line;
    expect(line('buying a bicycle')).toBe(1);
    expect(line('message lines')).toBe(2);
    expect(line('銀行')).toBe(4);
    expect(line('naive cafe')).toBe(5);
    expect(index.query('the of and', 5)).toEqual([]);
    expect(index.lastLine).toBe(6);
    index.close();
  });

  test('IDX-2 answers do not depend on how documents were batched, flushed or reopened', () => {
    let round = 0;
    fc.assert(
      fc.property(
        fc.array(fc.nat(500), { minLength: 1, maxLength: 30 }),
        fc.array(fc.nat(2), { maxLength: 30 }),
        fc.nat(500),
        (seeds, cuts, asked) => {
          const docs = seeds.map((seed, i) => doc(i * 2 + 1, sentence(seed)));
          const last = docs.length * 2;
          const whole = openRecallIndex(join(directory, `whole-${round}`));
          whole.add(docs, last);
          let parts = openRecallIndex(join(directory, `parts-${round}`));
          docs.forEach((one, i) => {
            parts.add([one], one.line + 1);
            if (cuts[i] === 1) parts.flush();
            if (cuts[i] === 2) {
              parts.close();
              parts = openRecallIndex(join(directory, `parts-${round}`));
            }
          });
          round += 1;
          const question = sentence(asked, 3);
          expect(parts.query(question, 50)).toEqual(whole.query(question, 50));
          whole.close();
          parts.close();
        },
      ),
      { numRuns: 15 },
    );
  });

  test('IDX-2 what questions leave in memory changes no later answer, also when parts of a segment were joined in between', () => {
    const words = (n: number): string => `${sentence(n, 4)} w${n % 97} v${n % 31} u${n % 7}`;
    const queries = Array.from({ length: 97 }, (_, n) => `w${n} v${n % 31} river`);
    const asked = openRecallIndex(join(directory, 'asked'));
    const silent = openRecallIndex(join(directory, 'silent'));
    for (let round = 0; round < 7; round += 1) {
      const docs = Array.from({ length: 400 }, (_, n) => doc(round * 400 + n + 1, words(round * 400 + n)));
      for (const index of [asked, silent]) {
        index.add(docs, (round + 1) * 400);
        index.flush();
      }
      for (const query of queries.filter((_, n) => n % 5 === round % 5)) expect(asked.query(query, 5)).not.toEqual([]);
    }
    for (const query of queries) expect(asked.query(query, 20)).toEqual(silent.query(query, 20));
    asked.close();
    silent.close();
  });

  test('IDX-3 a query through a line answers as if nothing later were indexed', () => {
    const docs = Array.from({ length: 300 }, (_, i) => doc(i + 1, sentence(i)));
    const long = openRecallIndex(join(directory, 'long'));
    const short = openRecallIndex(join(directory, 'short'));
    long.add(docs, 300);
    short.add(docs.slice(0, 120), 120);
    const query = [
      { term: 'river', weight: 16 },
      { term: 'loan', weight: 16 },
    ];
    expect(long.rank(query, 40, { throughLine: 120 })).toEqual(short.rank(query, 40));
    expect(long.rank(query, 40)).not.toEqual(short.rank(query, 40));
    long.close();
    short.close();
  });

  test('IDX-4 segments built apart answer like one index that grew, across segment borders', () => {
    const lines = SEGMENT_LINES + 2000;
    const docs = Array.from({ length: lines }, (_, i) => doc(i + 1, sentence(i, 3)));
    const grown = openRecallIndex(join(directory, 'grown'));
    for (let at = 0; at < lines; at += 5000) grown.add(docs.slice(at, at + 5000), Math.min(lines, at + 5000));
    buildSegment(join(directory, 'built'), 0, docs.slice(0, SEGMENT_LINES));
    const built = openRecallIndex(join(directory, 'built'));
    expect(built.lastLine).toBe(SEGMENT_LINES);
    built.add(docs.slice(SEGMENT_LINES), lines);
    for (const question of ['river', 'loan river', 'parse line', 'rowing the boat at a rate']) {
      const hits = grown.query(question, 30);
      expect(hits.length).toBe(30);
      expect(built.query(question, 30)).toEqual(hits);
    }
    // Sealing changes no answer, and gives the file that was built apart.
    const before = grown.query('rowing the boat at a rate', 30);
    expect(grown.unsealed).toBe(1);
    finish(grown.seal());
    expect(grown.unsealed).toBe(0);
    expect(grown.query('rowing the boat at a rate', 30)).toEqual(before);
    expect(readdirSync(join(directory, 'grown')).filter((name) => !name.startsWith('open-1.db'))).toEqual(['segment-0']);
    expect(readFileSync(join(directory, 'grown/segment-0')).equals(readFileSync(join(directory, 'built/segment-0')))).toBe(true);
    const query = [
      { term: 'boat', weight: 16 },
      { term: 'rate', weight: 16 },
    ];
    const short = openRecallIndex(join(directory, 'short'));
    short.add(docs.slice(0, 9000), 9000);
    expect(grown.rank(query, 30, { throughLine: 9000 })).toEqual(short.rank(query, 30));
    grown.close();
    built.close();
    short.close();
  });

  test('IDX-5 a damaged or foreign file is dropped and indexing goes on from there', () => {
    const index = openRecallIndex(directory);
    index.add([doc(1, 'river')], 1);
    index.close();
    for (const name of readdirSync(directory))
      writeFileSync(join(directory, name), 'not a database, by far not one, certainly not'.repeat(200));
    const again = openRecallIndex(directory);
    expect(again.lastLine).toBe(0);
    again.add([doc(1, 'river')], 1);
    expect(again.query('rivers', 3)).toEqual([{ line: 1, score: expect.any(Number) as number }]);
    again.close();
  });

  test('IDX-5 a sealed segment with a changed byte answers nothing: it is removed, and indexing goes on from there', () => {
    const docs = Array.from({ length: SEGMENT_LINES }, (_, i) => doc(i + 1, `${sentence(i, 2)} ${i}`));
    buildSegment(directory, 0, docs);
    const path = join(directory, 'segment-0');
    const good = readFileSync(path);
    // In the head, in a block of terms, in the directory and in the digest at the end.
    for (const [at, opens] of [
      [3, false],
      [90, true],
      [good.length - 5000, false],
      [good.length - 3, false],
    ] as const) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] as number) ^ 0x41;
      writeFileSync(path, bad);
      const index = openRecallIndex(directory);
      expect(index.lastLine).toBe(opens ? SEGMENT_LINES : 0);
      if (opens) {
        // The block is read for some of the numbers.
        expect(() => docs.forEach((_, i) => index.query(`${i}`, 3))).toThrow(/damaged/);
        expect(index.damaged).toBe(true);
      }
      expect(readdirSync(directory).includes('segment-0')).toBe(false);
      index.close();
    }
    writeFileSync(path, good);
    const index = openRecallIndex(directory);
    expect(index.lastLine).toBe(SEGMENT_LINES);
    index.close();
  });

  test('IDX-13 what could not be sealed is sealed when it is tried again', () => {
    const index = openRecallIndex(directory);
    index.add(
      Array.from({ length: SEGMENT_LINES }, (_, i) => doc(i + 1, `${sentence(i, 2)} ${i}`)),
      SEGMENT_LINES,
    );
    const before = index.query('river 77', 20);
    mkdirSync(join(directory, 'segment-0'));
    expect(() => finish(index.seal())).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect([index.unsealed, index.query('river 77', 20)]).toEqual([1, before]);
    rmSync(join(directory, 'segment-0'), { recursive: true });
    finish(index.seal());
    expect([index.unsealed, index.query('river 77', 20)]).toEqual([0, before]);
    index.close();
  });

  test('DRV-10 segments of another history are dropped with all later ones, sealed or growing', () => {
    const docsOf = (number: number): SearchDoc[] =>
      Array.from({ length: SEGMENT_LINES }, (_, i) => doc(number * SEGMENT_LINES + i + 1, `${sentence(i, 1)} ${i}`));
    /** History was cut behind a line, and went on otherwise. */
    const cutAt =
      (line: number): LineMark =>
      (through) =>
        `order:${through <= line ? 'a' : 'b'}${through}`;
    const before = cutAt(Infinity);
    for (const number of [0, 1, 2]) {
      const through = (number + 1) * SEGMENT_LINES;
      buildSegment(directory, number, docsOf(number), through, before(through));
    }
    let index = openRecallIndex(directory, before);
    index.add([doc(3 * SEGMENT_LINES + 1, 'violin')], 3 * SEGMENT_LINES + 300);
    index.close();
    const reopened = (markOf: LineMark): number => {
      index = openRecallIndex(directory, markOf);
      const { lastLine } = index;
      index.close();
      return lastLine;
    };
    expect(reopened(before)).toBe(3 * SEGMENT_LINES + 300);
    expect(reopened(cutAt(3 * SEGMENT_LINES + 299))).toBe(3 * SEGMENT_LINES);
    expect(reopened(cutAt(2 * SEGMENT_LINES - 1))).toBe(SEGMENT_LINES);
    expect(readdirSync(directory)).toEqual(['open-1.db', 'segment-0']);
    // History is shorter than what the index is of.
    expect(reopened((line) => (line < SEGMENT_LINES ? before(line) : undefined))).toBe(0);
  });

  test('IDX-11 an index that is closed while it seals leaves the segment as it was, and goes on when it is opened', () => {
    const docs = Array.from({ length: SEGMENT_LINES }, (_, i) => doc(i + 1, `${sentence(i, 2)} ${i}`));
    let index = openRecallIndex(directory);
    index.add(docs, SEGMENT_LINES + 10);
    const before = index.query('river 77', 20);
    const steps = index.seal();
    for (let i = 0; i < 3; i += 1) expect(steps.next().done).toBe(false);
    expect(index.query('river 77', 20)).toEqual(before);
    index.close();
    expect(steps.next().done).toBe(true);
    expect(readdirSync(directory)).toEqual(['open-0.db', 'open-1.db']);
    index = openRecallIndex(directory);
    expect([index.lastLine, index.unsealed]).toEqual([SEGMENT_LINES + 10, 1]);
    expect(index.query('river 77', 20)).toEqual(before);
    finish(index.seal());
    expect(index.query('river 77', 20)).toEqual(before);
    index.close();
    expect(readdirSync(directory)).toEqual(['open-1.db', 'segment-0']);
  });

  test('IDX-5 a segment that grows answers nothing wrong whichever of its bits changed', () => {
    const docs = Array.from({ length: 600 }, (_, i) => doc(i + 1, `${sentence(i, 4)} ${i}`));
    const first = openRecallIndex(directory);
    for (const each of docs) {
      first.add([each], each.line);
      if (each.line % 150 === 0) first.flush();
    }
    first.close();
    const path = join(directory, 'open-0.db');
    const good = readFileSync(path);
    const questions = [...WORDS, ...docs.slice(0, 10).map((_, i) => `${i * 60}`)];
    const answers = (): unknown => {
      const index = openRecallIndex(directory);
      try {
        if (index.lastLine < docs.length) return 'built again';
        return questions.map((question) => index.query(question, 5));
      } catch (error) {
        // Of the index itself, or of SQLite.
        expect((error as NodeJS.ErrnoException).code).toMatch(/^search\.damaged$|^SQLITE_(?:CORRUPT|NOTADB)/);
        return 'noticed';
      } finally {
        index.close();
      }
    };
    const wanted = answers();
    const outcomes = { same: 0, noticed: 0, 'built again': 0 };
    fc.assert(
      fc.property(fc.integer({ min: 0, max: good.length * 8 - 1 }), (bit) => {
        const bad = Buffer.from(good);
        bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
        rmSync(directory, { recursive: true });
        mkdirSync(directory);
        writeFileSync(path, bad);
        const got = answers();
        if (got === 'noticed' || got === 'built again') outcomes[got] += 1;
        else {
          expect(got).toEqual(wanted);
          outcomes.same += 1;
        }
      }),
      { numRuns: 100 },
    );
    expect(outcomes.noticed + outcomes['built again']).toBeGreaterThan(0);
  });

  test('IDX-5 an index whose cache was deleted while it is open goes on at the end of a segment, and makes no session again', () => {
    const docs = Array.from({ length: SEGMENT_LINES }, (_, i) => doc(i + 1, `${sentence(i, 2)} ${i}`));
    const context = join(directory, 'context');
    const recall = join(context, '.cache/recall');
    let index = openRecallIndex(recall);
    index.add(docs.slice(0, 100), 100);
    rmSync(join(context, '.cache'), { recursive: true });
    index.add(docs.slice(100), SEGMENT_LINES);
    index.add([doc(SEGMENT_LINES + 1, 'river 77')], SEGMENT_LINES + 1);
    const answers = index.query('river 77', 20);
    expect(answers[0]?.line).toBe(SEGMENT_LINES + 1);
    finish(index.seal());
    expect(index.query('river 77', 20)).toEqual(answers);
    index.close();
    // What was made anew is an index like any other.
    index = openRecallIndex(recall);
    expect(index.lastLine).toBe(SEGMENT_LINES + 1);
    expect(index.query('river 77', 20)).toEqual(answers);
    rmSync(context, { recursive: true });
    expect(() => index.add([], 2 * SEGMENT_LINES)).toThrow(/ENOENT/);
    expect(existsSync(context)).toBe(false);
    index.close();
  });

  test('IDX-6 lines out of order are refused', () => {
    const index = openRecallIndex(directory);
    index.add([doc(3, 'river')], 4);
    expect(() => index.add([doc(4, 'bank')], 5)).toThrow(/does not follow/);
    expect(() => index.add([doc(6, 'bank'), doc(5, 'loan')], 6)).toThrow(/does not follow/);
    index.close();
  });
});
