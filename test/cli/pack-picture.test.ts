import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { bar, countWords, shareWords, sizeWords } from '../../src/cli/figures.ts';
import { drawPack } from '../../src/cli/pack-picture.ts';
import { wantsColour } from '../../src/cli/terminal.ts';

const plain = { style: (_: unknown, text: string): string => text, columns: 100 };

describe('ctx pack draws where the budget goes', () => {
  const pack = {
    session: 'default',
    agent: 'coder',
    budget_tokens: 32_000,
    tokens: 10_900,
    tokenizer: 'o200k_base',
    epoch: { id: '7.241.0', cut: 131, reason: 'the budget was reached' },
    stable_prefix_tokens: 5_450,
    items: [
      { kind: 'system', source: 'context/pinned/system.md', tokens: 1_200 },
      { kind: 'summary', source: 'context/summary.md', tokens: 1_800 },
      { kind: 'facts', source: 'context/facts.jsonl', tokens: 900 },
      { kind: 'recent_messages', source: 'messages.jsonl', range: 'tail:30', tokens: 6_000 },
      { kind: 'recent_messages', source: 'messages.jsonl', range: 'tail:1', tokens: 1_000 },
    ],
    left_out: [
      { reason: 'below the cut', source: 'messages.jsonl', range: '1-120', tokens: 18_000 },
      { reason: 'below the cut', source: 'messages.jsonl', range: '121-130', tokens: 2_000 },
    ],
  };
  const lines = drawPack(pack, plain, false);

  it('the head names session, tokens and budget', () => {
    expect(lines[0]).toBe('coder/default  10,900 tokens of 32,000 (34.1 %)');
  });

  it('each kind has one bar, with its tokens and share of the budget', () => {
    const recent = lines.filter((line) => line.startsWith('recent_messages'));
    expect(recent).toHaveLength(1);
    expect(recent[0]).toMatch(/█+.* 7,000 +21\.9 % +2 items$/);
    expect(lines.find((line) => line.startsWith('free'))).toMatch(/21,100 +65\.9 %/);
  });

  it('left-out reasons are summed, with places and tokens', () => {
    expect(lines).toContain('  messages.jsonl 1-120, 121-130: below the cut (20,000 tokens)');
  });

  it('what prompt.json takes beyond pack.md is not free', () => {
    const drawn = drawPack({ ...pack, prompt_tokens: 12_000 }, plain, false);
    expect(drawn[0]).toBe('coder/default  10,900 tokens of 32,000 (34.1 %); 12,000 as prompt.json (37.5 %)');
    expect(drawn.find((line) => line.startsWith('free'))).toMatch(/20,000 +62\.5 %/);
  });

  it('epoch, stable prefix and tokenizer are told', () => {
    expect(lines).toContain(
      'epoch 7.241.0 from line 131 (the budget was reached), stable prefix 5,450 tokens (50.0 % of the pack), counted by o200k_base',
    );
  });

  it('an empty pack and an unlimited budget are drawn', () => {
    expect(drawPack({ budget_tokens: 0, items: [] }, plain, true)[0]).toContain('0 tokens, no limit');
  });
});

describe('figures', () => {
  it('a bar never grows past its columns and is never empty for a share above zero', () => {
    const law = fc.property(fc.double({ min: -1, max: 2, noNaN: true }), fc.integer({ min: 1, max: 80 }), (share, columns) => {
      const drawn = bar(share, columns);
      expect(drawn.length).toBeLessThanOrEqual(columns);
      if (share > 0) expect(drawn.length).toBeGreaterThan(0);
    });
    fc.assert(law);
  });

  it('sizes have three digits and the unit that fits', () => {
    expect([0, 1023, 1024, 1536, 12 * 2 ** 20, 999 * 2 ** 20, 1023 * 2 ** 20].map(sizeWords)).toEqual([
      '0 B',
      '1023 B',
      '1.00 KiB',
      '1.50 KiB',
      '12.0 MiB',
      '999 MiB',
      '1.00 GiB',
    ]);
  });

  it('counts and shares are grouped and bounded', () => {
    expect([countWords(1_234_567), shareWords(1, 3), shareWords(0, 0)]).toEqual(['1,234,567', '33.3 %', '0 %']);
  });
});

describe('colour', () => {
  it('only on a terminal, and never with NO_COLOR', () => {
    expect(wantsColour({ isTTY: true }, {})).toBe(true);
    expect(wantsColour({}, {})).toBe(false);
    expect(wantsColour({ isTTY: true }, { NO_COLOR: '1' })).toBe(false);
    expect(wantsColour({ isTTY: true }, { NO_COLOR: '' })).toBe(true);
    expect(wantsColour({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
  });
});
