import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Gathering } from '../../src/search/gathering.ts';
import { finish } from '../../src/abi/steps.ts';
import { HOT, HOT_ROWS, RowList } from '../../src/search/postings.ts';
import { commonRows } from '../../src/search/rank.ts';
import type { Ranked } from '../../src/search/rank.ts';
import { SealedSegment } from '../../src/search/sealed-segment.ts';
import { Segment } from '../../src/search/segment.ts';
import { termKey } from '../../src/search/term-key.ts';
import type { SearchDoc } from '../../src/search/types.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-segment-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Terms as they are said: word n is in every n-th line, so the first ones are hot. */
const WORDS = ['river', 'boat', 'loan', 'harbor', 'kettle', 'violin', 'zeppelin'];

function docOf(line: number): SearchDoc {
  const said = WORDS.filter((_, n) => line % (n * n * 3 + 1) === 0);
  return { line, role: 'user', text: [...said, `word${line % 211}`, `${line}`].join(' ') };
}

const LINES = 4000;
/** Lines of each word. */
const SAID = new Map<string, number[]>();
for (let line = 1; line <= LINES; line += 1)
  for (const word of docOf(line).text.split(' ')) SAID.set(word, [...(SAID.get(word) ?? []), line]);

/** Rows of a term; undefined when it is hot. */
function found(segment: Ranked, term: string, through: number): number[] | undefined {
  const into = new RowList();
  into.push(7);
  const count = segment.find(termKey(term), through, into);
  expect(into.used).toBe(1 + Math.max(0, count));
  return count === HOT ? undefined : [...into.rows.subarray(1, into.used)];
}

function common(segment: Ranked, terms: readonly string[], through: number): number[] {
  return [...commonRows(segment, terms.map(termKey), through)];
}

function rowsWith(word: string, through: number): number[] {
  return (SAID.get(word) ?? []).filter((line) => line <= through);
}

describe('a segment', () => {
  test('IDX-11 rows of a term are all rows that have it, or it is hot, however the segment was written', () => {
    let round = 0;
    fc.assert(
      fc.property(
        fc.array(fc.record({ step: fc.integer({ min: 1, max: 700 }), end: fc.constantFrom('keep', 'flush', 'reopen') }), { maxLength: 30 }),
        fc.integer({ min: 1, max: LINES }),
        (steps, through) => {
          const path = join(directory, `segment-${(round += 1)}.db`);
          let segment = new Segment(path, 0, 'open');
          let line = 0;
          for (const { step, end } of steps) {
            const to = Math.min(LINES, line + step);
            segment.add(
              Array.from({ length: to - line }, (_, i) => docOf(line + i + 1)),
              to,
            );
            line = to;
            if (end === 'flush') segment.flush();
            if (end === 'reopen') {
              segment.close();
              segment = new Segment(path, 0, 'open');
              expect(segment.lastLine).toBe(line);
            }
          }
          const shown = Math.min(through, line);
          for (const [word, term] of [...WORDS.map((said, n) => [said, TERMS[n] as string] as const), ['word7', 'word7'] as const]) {
            const wanted = rowsWith(word, shown);
            expect(found(segment, term, shown)).toEqual(wanted.length > HOT_ROWS ? undefined : wanted);
          }
          const boat = new Set(rowsWith('boat', shown));
          const both = rowsWith('river', shown).filter((row) => boat.has(row));
          expect(common(segment, ['river', 'boat'], shown)).toEqual(both.slice(-HOT_ROWS));
          segment.close();
        },
      ),
      { numRuns: 12 },
    );
  });

  test('IDX-11 a write that failed leaves nothing to the next one', () => {
    const written = (fails: boolean, first: number): string => {
      const gathering = new Gathering();
      for (let line = first; line < first + 700; line += 1) gathering.add(line, docOf(line).text);
      const parts: string[] = [];
      try {
        gathering.write({
          block: (bytes, firstTop) => {
            if (fails) throw new Error('the disk is full');
            parts.push(`${firstTop} ${bytes.toString('hex')}`);
          },
          run: (bytes) => parts.push(bytes.toString('hex')),
        });
      } finally {
        gathering.close();
      }
      return parts.join('\n');
    };
    const before = written(false, 1);
    expect(before.length).toBeGreaterThan(2000);
    expect(() => written(true, 300)).toThrow('the disk is full');
    expect(written(false, 1)).toBe(before);
  });

  test('IDX-11 a sealed segment answers as the open one did', () => {
    const open = new Segment(join(directory, 'open-0.db'), 0, 'open');
    for (let line = 1; line <= 3000; line += 300) {
      open.add(
        Array.from({ length: 300 }, (_, i) => docOf(line + i)),
        line + 299,
      );
      open.flush();
    }
    const answers = (segment: Ranked): unknown =>
      TERMS.map((term) => [found(segment, term, 3000), found(segment, term, 1234), common(segment, [term], 2000)]);
    const before = answers(open);
    expect(finish(open.seal(join(directory, 'segment-0')))).toBe(true);
    expect(answers(open)).toEqual(before);
    const sealed = new SealedSegment(join(directory, 'segment-0'), 0);
    expect(answers(sealed)).toEqual(before);
    expect(sealed.map.lineOf(2999)).toBe(2999);
    sealed.close();
    open.close();
  });

  test('IDX-11 a segment that cannot get its name says why, leaves nothing, and answers as before', () => {
    const open = new Segment(join(directory, 'open-0.db'), 0, 'open');
    open.add(
      Array.from({ length: 300 }, (_, i) => docOf(i + 1)),
      300,
    );
    const before = found(open, 'loan', 300);
    const path = join(directory, 'segment-0');
    mkdirSync(path);
    // The error of the rename, not that of closing a file twice.
    expect(() => finish(open.seal(path))).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect(readdirSync(directory).filter((name) => name.startsWith('segment'))).toEqual(['segment-0']);
    expect(found(open, 'loan', 300)).toEqual(before);
    rmSync(path, { recursive: true });
    expect(finish(open.seal(path))).toBe(true);
    open.close();
  });
});

/** The same words as the index knows them. */
const TERMS = ['river', 'boat', 'loan', 'harbor', 'kettl', 'violin', 'zeppelin'];
