// A question as concepts: each content word with the words that may stand for it in the answer. General English only.
import type { Aliases } from './aliases.ts';
import { isFaint, lightnessOf } from './light.ts';
import { terms } from './terms.ts';
import { related } from './thesaurus.ts';

export interface Alternative {
  readonly term: string;
  /** 16 for the word itself, less for a common word, a synonym or a member of the kind it names. An integer. */
  readonly weight: number;
}

/** The first alternative is the word itself. */
export type Concept = readonly Alternative[];

const ALIAS_WEIGHT = 13;

/** Concepts of a text in order of first mention, each word once; `people` links names and relations. */
export function concepts(text: string, people: Aliases = new Map()): readonly Concept[] {
  return [...new Set(terms(text))].map((term) => {
    const { asked } = lightnessOf(term);
    const others = isFaint(term) ? [] : related(term);
    // What stands for a light word counts for half.
    const share = asked === 16 ? 16 : 8;
    return [
      { term, weight: asked },
      ...(people.get(term) ?? []).map((other) => ({ term: other, weight: ALIAS_WEIGHT })),
      ...others
        .map((other) => ({ term: other.term, weight: Math.round((other.weight * share * lightnessOf(other.term).instead) / 256) }))
        .filter(({ weight }) => weight > 0),
    ];
  });
}
