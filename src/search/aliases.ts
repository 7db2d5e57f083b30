// Who is who: "our daughter Hanna" or "Judith is my sister", said anywhere in history, links a person's name and what
// the person is. A question that uses one then also finds the other.
import type { TermIndex } from './recall-index.ts';
import { terms } from './terms.ts';

/** Words for people (and animals of the house) that take a name. */
const RELATIONS: ReadonlySet<string> = new Set(
  (
    'mother mom mum father dad parent son daughter kid child boy girl baby brother sister twin wife husband spouse partner boyfriend girlfriend fiance fiancee ' +
    'aunt uncle cousin nephew niece grandmother grandma gran grandfather grandpa godson goddaughter stepson stepdaughter friend neighbour neighbor roommate flatmate ' +
    'boss manager supervisor lead cto ceo founder colleague coworker teammate assistant intern trainee client customer landlord tenant lawyer accountant doctor dentist vet ' +
    'physio therapist teacher tutor coach trainer nanny babysitter cleaner gardener mechanic plumber electrician contractor builder designer dog puppy cat kitten horse parrot rabbit hamster'
  ).split(' '),
);

const MAX_ASKED = 4;
const LINES_READ = 24;
const NAME = "[A-Z][\\p{L}'-]+";

/** For a term of the question, the terms of the names (or relations) that history links it with, most often first. */
export type Aliases = ReadonlyMap<string, readonly string[]>;

export function aliases(index: TermIndex, question: string, throughLine: number, textOf: (line: number) => string | undefined): Aliases {
  const found = new Map<string, readonly string[]>();
  for (const word of askedPeople(question)) {
    const [term] = terms(word);
    if (term === undefined || found.size >= MAX_ASKED) continue;
    const counts = new Map<string, number>();
    for (const { line } of index.rank([{ term, weight: 16 }], LINES_READ, { throughLine })) {
      for (const other of linked(word, textOf(line) ?? '')) counts.set(other, (counts.get(other) ?? 0) + 1);
    }
    const best = [...counts]
      .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      .slice(0, 2)
      .map(([other]) => other);
    if (best.length > 0) found.set(term, best);
  }
  return found;
}

/** Relation words and names in the question. */
function askedPeople(question: string): readonly string[] {
  const words = question.match(/[\p{L}'-]+/gu) ?? [];
  return [
    ...new Set(
      words.map((word) => word.replace(/'s?$/, '')).filter((word, i) => RELATIONS.has(word) || (i > 0 && /^\p{Lu}\p{Ll}/u.test(word))),
    ),
  ];
}

function linked(word: string, text: string): readonly string[] {
  const others: string[] = [];
  if (RELATIONS.has(word)) {
    // "my daughter Hanna", "our dog, Pixel"; "Judith is my sister", "Judith, my sister"
    for (const [, name] of text.matchAll(
      new RegExp(
        `\\b(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er|[Tt]he|[Aa]|[Tt]heir) (?:[a-z]+ )?${word},? (?:is called |called |named |is )?(${NAME})`,
        'gu',
      ),
    ))
      others.push(...terms(name as string));
    for (const [, name] of text.matchAll(
      new RegExp(`(${NAME})(?:,| is| was|, who is) (?:my|our|his|her|the|their) (?:[a-z]+ )?${word}\\b`, 'gu'),
    ))
      others.push(...terms(name as string));
    return others;
  }
  const name = word.replace(/[^\p{L}]/gu, '');
  for (const [, relation] of text.matchAll(
    new RegExp(`\\b(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er|[Tt]heir) (?:[a-z]+ )?([a-z]+),? (?:is called |called |named |is )?${name}\\b`, 'gu'),
  ))
    if (RELATIONS.has(relation as string)) others.push(...terms(relation as string));
  for (const [, relation] of text.matchAll(
    new RegExp(`\\b${name}(?:,| is| was|, who is) (?:my|our|his|her|their) (?:[a-z]+ )?([a-z]+)\\b`, 'gu'),
  ))
    if (RELATIONS.has(relation as string)) others.push(...terms(relation as string));
  return others;
}
