// A question as concepts: each content word with the words that may stand for it in the answer. General English only.
import type { Aliases } from './aliases.ts';
import { KINDS } from './kinds.ts';
import { SYNONYMS } from './synonyms.ts';
import { terms } from './terms.ts';

export interface Alternative {
  readonly term: string;
  /** 16 for the word itself, less for a synonym or a member of the kind it names. */
  readonly weight: number;
}

/** The first alternative is the word itself. */
export type Concept = readonly Alternative[];

export const WORD_WEIGHT = 16;
const ALIAS_WEIGHT = 13;
const SYNONYM_WEIGHT = 8;
const KIND_WEIGHT = 7;

let table: ReadonlyMap<string, ReadonlyMap<string, number>> | undefined;

/** Concepts of a text in order of first mention, each word once; `people` links names and relations. */
export function concepts(text: string, people: Aliases = new Map()): readonly Concept[] {
  const others = (table ??= thesaurus());
  return [...new Set(terms(text))].map((term) => [
    { term, weight: WORD_WEIGHT },
    ...(people.get(term) ?? []).map((other) => ({ term: other, weight: ALIAS_WEIGHT })),
    ...[...(others.get(term) ?? [])].map(([other, weight]) => ({ term: other, weight })),
  ]);
}

function thesaurus(): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const found = new Map<string, Map<string, number>>();
  const link = (from: string, to: string, weight: number): void => {
    if (from === to) return;
    const known = found.get(from) ?? new Map<string, number>();
    known.set(to, Math.max(weight, known.get(to) ?? 0));
    found.set(from, known);
  };
  for (const line of SYNONYMS) {
    const group = terms(line);
    for (const from of group) for (const to of group) link(from, to, SYNONYM_WEIGHT);
  }
  for (const line of KINDS) {
    const [kind, ...members] = terms(line);
    if (kind !== undefined) for (const member of members) link(kind, member, KIND_WEIGHT);
  }
  return found;
}
