import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestBase, commonPrefix, LINK_TOKENS, prefixChain, sharedLinks, tokenBytes, tokensOf } from '../../src/engine/prefix.ts';

const ids = (length: number, seed = 1): Uint32Array => Uint32Array.from({ length }, (_, index) => (index * 7919 * seed + seed) % 50_000);

/** Long enough for several links without writing them out: a shared beginning, then something of its own. */
const sequence = fc
  .tuple(fc.integer({ min: 0, max: 3 * LINK_TOKENS }), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }))
  .map(([shared, own]) => Uint32Array.of(...ids(shared), ...own));

describe('token ids as bytes', () => {
  test('tokens.bin is u32 little-endian, and reads back', () => {
    expect([...tokenBytes(Uint32Array.of(1, 0x01020304))]).toEqual([1, 0, 0, 0, 4, 3, 2, 1]);
    fc.assert(
      fc.property(fc.uint32Array({ maxLength: 64 }), (tokens) => {
        expect(tokensOf(tokenBytes(tokens))).toEqual(Uint32Array.from(tokens));
      }),
    );
    expect(tokensOf(Buffer.alloc(7))).toBeUndefined();
  });

  test('ids that begin anywhere in a larger buffer read back', () => {
    const bytes = Buffer.concat([Buffer.alloc(3), tokenBytes(Uint32Array.of(5, 6))]).subarray(3);
    expect(tokensOf(bytes)).toEqual(Uint32Array.of(5, 6));
  });
});

describe('chains', () => {
  test('ENG-4 a chain has a link each 1,024 tokens and one for the rest', () => {
    expect(prefixChain(ids(0))).toEqual([]);
    expect(prefixChain(ids(1024)).map(({ tokens }) => tokens)).toEqual([1024]);
    expect(prefixChain(ids(2500)).map(({ tokens }) => tokens)).toEqual([1024, 2048, 2500]);
  });

  test('ENG-4 links of two chains agree as far as whole links of the tokens do', () => {
    fc.assert(
      fc.property(sequence, sequence, (a, b) => {
        const shared = sharedLinks(prefixChain(a), prefixChain(b));
        const common = commonPrefix(a, b);
        expect(shared).toBeLessThanOrEqual(common);
        const same = a.length === b.length && common === a.length;
        expect(shared).toBe(same ? common : common - (common % LINK_TOKENS));
      }),
    );
  });
});

describe('the best base', () => {
  const choose = async (
    wanted: Uint32Array,
    candidates: readonly Uint32Array[],
  ): Promise<{ shared: number; index: number; read: number }> => {
    let read = 0;
    const best = await bestBase(
      wanted,
      candidates.map((value) => ({ value, tokens: value.length, chain: prefixChain(value) })),
      async (value, from, to) => {
        expect(to - from).toBeLessThanOrEqual(LINK_TOKENS);
        read += to - from;
        return Promise.resolve(value.slice(from, to));
      },
    );
    return { shared: best?.shared ?? 0, index: best === undefined ? -1 : candidates.indexOf(best.value), read };
  };

  test('ENG-4 no candidate shares more tokens than the one that is chosen', async () => {
    await fc.assert(
      fc.asyncProperty(sequence, fc.array(sequence, { maxLength: 6 }), async (wanted, candidates) => {
        const { shared } = await choose(wanted, candidates);
        expect(shared).toBe(Math.max(0, ...candidates.map((candidate) => commonPrefix(candidate, wanted))));
      }),
    );
  });

  test('ENG-4 a longer one that holds all tokens is found, and the shortest of equals is taken', async () => {
    const wanted = ids(1500);
    const { index, shared } = await choose(wanted, [ids(4000), ids(2000), ids(1000), ids(1500, 3)]);
    expect({ index, shared }).toEqual({ index: 1, shared: 1500 });
  });

  test('ENG-4 only ids around the place where prompts part are read', async () => {
    const long = ids(20_000);
    const other = Uint32Array.from(long, (id, index) => (index < 10_000 ? id : id + 1));
    const { shared, read } = await choose(long, [other, ids(20_000, 2), ids(20_000, 3)]);
    expect(shared).toBe(10_000);
    expect(read).toBeLessThanOrEqual(LINK_TOKENS);
  });

  test('ENG-4 candidates that cannot be better are not read: many that hold all tokens cost one read', async () => {
    const many = Array.from({ length: 50 }, (_, index) => Uint32Array.of(...ids(3000), index));
    const { shared, read } = await choose(ids(3000), many);
    expect(shared).toBe(3000);
    expect(read).toBeLessThanOrEqual(LINK_TOKENS);
  });

  test('a candidate that cannot be read is passed over', async () => {
    const wanted = ids(100);
    const candidates = [ids(100), ids(80)].map((value) => ({ value, tokens: value.length, chain: prefixChain(value) }));
    const best = await bestBase(wanted, [...candidates, { value: ids(90), tokens: 90, chain: prefixChain(ids(90)) }], (value, from, to) =>
      Promise.resolve(value.length === 90 ? undefined : value.slice(from, to)),
    );
    expect(best?.shared).toBe(100);
    const without = await bestBase(wanted, candidates.slice(0, 0), () => Promise.resolve(undefined));
    expect(without).toBeUndefined();
  });
});
