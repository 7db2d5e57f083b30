import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PASSAGE_UNITS, passages } from '../../src/search/passages.ts';
import { stem } from '../../src/search/stem.ts';
import { TermScan } from '../../src/search/term-scan.ts';
import { terms } from '../../src/search/terms.ts';

const words = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'parseMessageLine',
        'HTTPServer',
        'the',
        'ran',
        '007',
        'v2beta',
        'snake_case',
        'café',
        '東京銀行',
        'Straße',
        "don't",
        'x',
        '3.14',
        '\u0301',
        '😀',
        'ﬁne',
        'A'.repeat(60),
      ),
      fc.string({ maxLength: 12 }),
      fc.string({ unit: 'binary', maxLength: 8 }),
    ),
    { maxLength: 40 },
  )
  .map((list) => list.join(' '));

describe('terms', () => {
  test('IDX-7 the bulk form gives the same set and number of terms as the plain one', () => {
    const scans = [new TermScan(), new TermScan('hashed')];
    fc.assert(
      fc.property(words, fc.constantFrom(...scans), (text, scan) => {
        const wanted = terms(text);
        scan.scan(text);
        const found = [...scan.ids.subarray(0, scan.distinct)];
        const { count } = scan;
        expect(found).toEqual([...new Set(wanted.map((term) => scan.idOf(term)))]);
        expect(count).toBe(wanted.length);
        expect(wanted.every((term) => scan.has(scan.idOf(term)))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('IDX-7 the bulk form does not change when its cache of words starts again, nor when ids are given out anew', () => {
    const scan = new TermScan();
    const text = 'Parsing parsed parseLine twice, twice';
    const read = (): unknown => {
      scan.scan(text);
      return [scan.count, [...scan.ids.subarray(0, scan.distinct)].map((id) => [scan.top(id), scan.low(id)])];
    };
    const before = read();
    for (let i = 0; i < 70_000; i += 1) scan.scan(`w${i.toString(36)}`);
    expect(read()).toEqual(before);
    scan.clear();
    expect(read()).toEqual(before);
  });

  test('IDX-7 long numbers that are known by their hashes take no ids, and stay what they are when ids are given out anew', () => {
    const scan = new TermScan('hashed');
    const text = 'order 4711001 of 0004711001 in box42004711001 and 1234';
    const read = (): readonly number[] => {
      scan.scan(text);
      return [...scan.ids.subarray(0, scan.distinct)].filter((id) => id < 0);
    };
    const before = read();
    expect(before).toEqual([scan.idOf('4711001'), scan.idOf('42004711001')]);
    const { size } = scan;
    scan.scan(Array.from({ length: 1000 }, (_, n) => `${n + 10_000}`).join(' '));
    expect(scan.size).toBe(size);
    scan.clear();
    expect(read()).toEqual(before);
    expect(scan.size).toBe(size);
  });

  test('IDX-7 different terms have different hashes', () => {
    const scan = new TermScan();
    const all = new Set(Array.from({ length: 60_000 }, (_, i) => scan.idOf(i % 2 === 0 ? `${i}` : `w${i.toString(36)}`)));
    expect(all.size).toBe(60_000);
  });

  test('IDX-8 stems follow the published algorithm', () => {
    const pairs =
      'caresses caress ponies poni cats cat feed feed agreed agre plastered plaster motoring motor conflated conflat sized size hopping hop falling fall filing file happy happi ' +
      'relational relat conditional condit vietnamization vietnam triplicate triplic formative form hopefulness hope adjustable adjust replacement replac adoption adopt effective effect rate rate controll control roll roll';
    const list = pairs.split(' ');
    for (let i = 0; i < list.length; i += 2) expect(stem(list[i] as string), list[i]).toBe(list[i + 1]);
  });

  test('IDX-9 numbers, compounds, accents and unspaced scripts have the terms that are asked for', () => {
    expect(terms('007')).toEqual(['7']);
    expect(terms('parseMessageLine')).toEqual(expect.arrayContaining(['pars', 'messag', 'line']));
    expect(terms('Café')).toEqual(terms('cafe'));
    expect(terms('東京銀行')).toEqual(['東京', '京銀', '銀行']);
    expect(terms('went bought children')).toEqual(terms('go buy child'));
  });

  test('IDX-10 passages follow each other without a gap and are bounded', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(words, fc.constantFrom('\n', '. ', '😀'.repeat(400))), { maxLength: 60 }).map((list) => list.join('')),
        (text) => {
          const found = passages(text);
          expect(found.map(({ start, end }) => text.slice(start, end)).join('')).toBe(text);
          expect(found.every(({ start, end }) => end - start <= PASSAGE_UNITS)).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});
