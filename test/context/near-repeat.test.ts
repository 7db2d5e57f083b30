import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { differenceFrom, expandDifference, expandWith, RepeatIndex } from '../../src/context/near-repeat.ts';
import { codingSession, linesOf } from './history.ts';

const line = fc.oneof(
  fc.constantFrom(
    '',
    '}',
    'const answer = computeTheAnswer(42);',
    '  return answer;',
    '+plus',
    '=1-3',
    '=m1:2 +1',
    '-1→minus',
    '007→padded',
  ),
  fc
    .tuple(
      fc.integer({ min: 0, max: 120 }),
      fc.constantFrom('→', '\t', ':', '|', '.'),
      fc.constantFrom(' a line of the listing that repeats', 'b', ''),
    )
    .chain(([number, mark, text]) => fc.constantFrom(`${String(number).padStart(6)}${mark}${text}`, `${number}${mark}${text}`)),
  fc.string({ maxLength: 12 }),
);
const text = fc.array(line, { maxLength: 40 }).map((lines) => lines.join('\n'));

/** A later version of a listing: lines inserted, removed and renumbered. */
const edited = fc
  .tuple(text, fc.array(fc.tuple(fc.nat(), fc.nat(3), line), { maxLength: 4 }), fc.integer({ min: -3, max: 30 }))
  .map(([before, edits, shift]) => {
    const lines = before.split('\n');
    for (const [at, drop, insert] of edits) lines.splice(at % (lines.length + 1), drop, insert);
    return [
      before,
      lines
        .map((one) =>
          one.replace(
            /^( *)([0-9]+)([→\t:|])/,
            (_, pad: string, n: string, mark: string) => `${String(Number(n) + shift).padStart(pad.length + n.length)}${mark}`,
          ),
        )
        .join('\n'),
    ] as const;
  });

test('DED-3: a difference expands to exactly the later text', () => {
  let worthwhile = 0;
  fc.assert(
    fc.property(fc.oneof(edited, fc.tuple(text, text)), ([earlier, later]) => {
      const difference = differenceFrom(earlier, later);
      if (difference === undefined) return;
      worthwhile += 1;
      expect(expandDifference(earlier, difference)).toBe(later);
      expect(difference.length).toBeLessThan(later.length);
    }),
    { numRuns: 1500 },
  );
  expect(worthwhile).toBeGreaterThan(100);
});

test('DED-3: differences from several earlier texts expand to exactly the later text', () => {
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(), { minLength: 1, maxLength: 4 }), (texts, picks) => {
      const index = new RepeatIndex();
      texts.forEach((one, n) => index.add(`m${n}`, one));
      const later = picks.map((pick) => texts[pick % texts.length] ?? '').join('\n');
      const difference = index.encode(later, 1);
      if (difference === undefined) return;
      expect(expandWith((label) => texts[Number(label.slice(1))] ?? '', difference.text)).toBe(later);
      expect(difference.bases.every((label) => /^m[0-4]$/.test(label))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

describe('readable differences', () => {
  const [first, second] = [4, 10].map((n) => linesOf(codingSession)[n - 1]?.view.toolResults[0]?.text ?? '');

  test('a listing read again after an inserted line is two ranges and that line, numbers shifted', () => {
    expect(differenceFrom(first ?? '', second ?? '')?.split('\n')).toEqual([
      '=1-6',
      '+     7→  // one more retry: the close of the old holder may be late',
      '=7-46 +1',
    ]);
  });

  test('the same text again is one range of the one that stands first', () => {
    const index = new RepeatIndex();
    index.add('12', first ?? '');
    index.add('15.2', second ?? '');
    expect(index.encode(first ?? '')).toMatchObject({ text: '=12:1-46', bases: ['12'] });
  });

  test('unlike or short texts give no difference', () => {
    expect(differenceFrom('a\nb\nc', 'a\nb\nc')).toBeUndefined();
    expect(differenceFrom(first ?? '', 'quite another text, line one\nand line two of it\n'.repeat(4))).toBeUndefined();
  });
});

test('DED-4: references and differences save at least half of the bytes of repeated lines of tool output', () => {
  const outputs = linesOf(codingSession).flatMap(({ line, view }) =>
    view.toolResults.map((result, n) => [`${line}.${n}` as string, result.text] as const),
  );
  const index = new RepeatIndex();
  const seen = new Set<string>();
  let repeated = 0;
  let saved = 0;
  for (const [label, output] of outputs) {
    const difference = index.encode(output);
    if (difference !== undefined) {
      expect(expandWith((base) => new Map(outputs).get(base) ?? '', difference.text)).toBe(output);
      saved += Buffer.byteLength(output) - Buffer.byteLength(difference.text);
    }
    for (const one of output.split('\n')) {
      if (seen.has(one)) repeated += Buffer.byteLength(one) + 1;
      seen.add(one);
    }
    index.add(label, output);
  }
  expect(repeated).toBeGreaterThan(8000);
  expect(saved).toBeGreaterThan(repeated / 2);
});

test('the work of encoding is linear: equal lines are compared a bounded number of times', () => {
  const same = (count: number): string => Array.from({ length: count }, () => 'the very same line').join('\n');
  const index = new RepeatIndex();
  index.add('', same(200_000));
  expect(index.encode(same(100_000))?.text).toBe('=1-100000');
});

test.each(['', 'plain', '=0-3', '=2-1', '=1-99', '=x'])('%j is no difference of a three-line text', (bad) => {
  expect(() => expandDifference('a\nb\nc', bad)).toThrow(RangeError);
});

test('labels that a marker could not hold are refused', () => {
  expect(() => new RepeatIndex().add('a:b', 'text')).toThrow(RangeError);
});
