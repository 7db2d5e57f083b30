import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { remembering } from '../../src/session/count-memo.ts';
import { openCounter } from '../../src/tokens/counter.ts';

describe('remembered counts', () => {
  test('TOK-1 a remembered count is the count, lone surrogates and generations that pass included', () => {
    const counter = openCounter('o200k_base');
    const memo = remembering(counter);
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.string({ unit: 'grapheme', maxLength: 300 }));
    fc.assert(
      fc.property(text, fc.nat(2), (piece, again) => {
        const said = `${piece} \ud800 ${'and so on '.repeat(again * 400)}`;
        expect(memo.count(said)).toBe(counter.count(said));
        expect(memo.count(said)).toBe(counter.count(said));
      }),
      { numRuns: 100 },
    );
  });

  test('a text is counted once while it is near in use, and no longer', () => {
    let counted = 0;
    const counter = openCounter('o200k_base');
    const count = (said: string): number => {
      counted += 1;
      return counter.count(said);
    };
    const memo = remembering({ name: counter.name, count, encode: (said) => counter.encode(said) });
    const text = 'a sentence that is long enough to be worth remembering';
    for (let i = 0; i < 3; i += 1) expect(memo.count(text)).toBe(counter.count(text));
    expect(counted).toBe(1);
    for (let i = 0; i < 400; i += 1) memo.count(`${i} ${'x'.repeat(8000)}`);
    counted = 0;
    memo.count(text);
    expect(counted).toBe(1);
  });
});
