import { describe, expect, test } from 'vitest';
import { finish } from '../../src/abi/steps.ts';
import { concepts } from '../../src/search/concepts.ts';
import { terms } from '../../src/search/terms.ts';
import { readThesaurus, related } from '../../src/search/thesaurus.ts';
import { FAMILIES, FAMILIES_MORE, PLAIN, TOPICS } from '../../src/search/thesaurus/index.ts';

function weight(from: string, to: string): number {
  const [term, other] = [terms(from)[0] as string, terms(to)[0] as string];
  return related(term).find((each) => each.term === other)?.weight ?? 0;
}

describe('the thesaurus', () => {
  test('RCL-3 a word leads to its family, to what stands for it, and between a kind and its members', () => {
    for (const [from, to] of [
      ['decision', 'decide'],
      ['allergic', 'allergies'],
      ['flat', 'apartments'],
      ['fractured', 'broke'],
      ['instrument', 'cellos'],
      ['cello', 'instrument'],
      ['deployment', 'rollout'],
      ['database', 'Postgres'],
    ] as const)
      expect(weight(from, to), `${from} → ${to}`).toBeGreaterThanOrEqual(4);
    expect(weight('decision', 'decide')).toBeGreaterThan(weight('flat', 'apartments'));
    expect(weight('cello', 'mortgage')).toBe(0);
  });

  test('RCL-3 common words of a question count less, and stand for little', () => {
    const [get, apartment] = concepts('get apartment');
    expect(get).toHaveLength(1);
    expect(get?.[0]?.weight).toBeLessThan(apartment?.[0]?.weight as number);
    for (const { weight: each } of concepts('which payment did the landlord of this apartment request').flat()) {
      expect(Number.isInteger(each) && each >= 1 && each <= 16).toBe(true);
    }
  });

  test('RCL-3 a thesaurus that was read beforehand says the same', () => {
    const words = ['garden', 'payments', 'running', 'mice', 'flight', 'xyzzy'];
    const before = words.map((word) => related(terms(word)[0] as string));
    expect(before.filter((found) => found.length > 0).length).toBeGreaterThan(3);
    finish(readThesaurus());
    // More words than are kept, so that these are looked up anew.
    for (const word of [FAMILIES, FAMILIES_MORE].join(' ').split(/\s+/).slice(0, 2600)) for (const term of terms(word)) related(term);
    expect(words.map((word) => related(terms(word)[0] as string))).toEqual(before);
  });

  test('every group is of lower-case words, and every kind has a name and members', () => {
    // A place in a group is kept in twelve bits.
    for (const line of TOPICS.flatMap((text) => text.split('\n'))) expect(line.length).toBeLessThan(4096);
    for (const text of [FAMILIES, FAMILIES_MORE, ...PLAIN, ...TOPICS]) {
      for (const group of text.split(/ \| |\n/)) {
        if (group === '' || group.startsWith('#')) continue;
        expect(group.length).toBeLessThan(4096);
        expect(group).toMatch(/^[a-z0-9]+( [a-z0-9]+)*( >>?( [a-z0-9]+)+)?$/);
      }
    }
  });
});
