// The thesaurus asked by term. At the first question its groups are noted by how their words begin; they are
// split and brought to stems only as they are asked for, so that a process which never recalls pays nothing.
import type { Steps } from '../abi/steps.ts';
import { KINDS } from './kinds.ts';
import { lightnessOf } from './light.ts';
import { SYNONYMS } from './synonyms.ts';
import { wordTerms } from './terms.ts';
import { FAMILIES, FAMILIES_MORE, PLAIN, TOPICS } from './thesaurus/index.ts';
import { IRREGULAR } from './words.ts';

interface Related {
  readonly term: string;
  readonly weight: number;
}

/** Of 16, the weight of the word itself. */
const WEIGHTS = { family: 12, synonym: 8, member: 7, second: 6, kind: 4, phrase: 4, topic: 1 };
/** Parts of a weight while ways are added up. */
const UNIT_BITS = 6;
const UNIT = 1 << UNIT_BITS;
/** Alternatives of a term at most. */
const MOST_ALTERNATIVES = 80;
/** What stands between the words of a group. */
const MARKS: ReadonlySet<string> = new Set(['>', '>>', '|']);
/** Characters. */
const LONGEST_GROUP = 4096;
/** Terms whose relations are kept. */
const MOST_KEPT = 2048;

type Relation = 'family' | 'synonym' | 'kind' | 'phrase' | 'topic';

interface Group {
  readonly relation: Relation;
  /** Its words; `>` or `>>` ends those that name a kind, a bar a group of a topic. */
  readonly text: string;
  /** Stems, made when the group is first met; undefined for a word of no content. */
  terms?: readonly (string | undefined)[];
  /** Words at the start that name a kind. */
  heads: number;
}

interface Thesaurus {
  readonly groups: readonly Group[];
  /** Where words begin so: group and offset in its text, ascending; by the number of the beginning. */
  readonly beginnings: ReadonlyMap<number, readonly number[]>;
  /** Irregular forms by how their base begins. */
  readonly irregular: ReadonlyMap<number, readonly string[]>;
  /** Groups of a term, place by place as they are asked for. */
  readonly places: Map<number, ReadonlyMap<string, readonly number[]>>;
}

let thesaurus: Thesaurus | undefined;
const kept = new Map<string, readonly Related[]>();

/** Other terms that may stand for this one, the nearest first. */
export function related(term: string): readonly Related[] {
  let found = kept.get(term);
  if (found === undefined) {
    found = expand((thesaurus ??= read()), term);
    // A word that the thesaurus does not have is known to be so at once, and there are many of those.
    if (found.length === 0) return found;
    if (kept.size >= MOST_KEPT) kept.clear();
    kept.set(term, found);
  }
  return found;
}

/** Brings every word of the thesaurus to its stem, so that no question pays for it. About 80 ms and 5 MB. */
export function* readThesaurus(): Steps<void> {
  const all = (thesaurus ??= read());
  yield;
  for (const key of all.beginnings.keys()) {
    placeOf(all, key);
    yield;
  }
}

function expand(all: Thesaurus, term: string): readonly Related[] {
  const best = new Map<string, number>();
  const sum = new Map<string, number>();
  visit(all, term, true, (other, weight) => {
    if (other === term) return;
    best.set(other, Math.max(best.get(other) ?? 0, weight));
    sum.set(other, (sum.get(other) ?? 0) + weight);
  });
  const found = new Map<string, number>();
  const forms = new Map<string, number>();
  const second = new Map<string, number>();
  for (const [other, weight] of best) {
    found.set(other, both(weight * UNIT, ((sum.get(other) as number) - weight) * UNIT));
    if (weight < WEIGHTS.kind) continue;
    // One step more: the other forms of a word at hardly less; what stands for what stands for it at little, by each of
    // the ways that lead there, and less through a word of many meanings.
    const share = Math.floor((weight * UNIT * lightnessOf(other).instead) / (256 + 16 * groupsOf(all, other).length));
    visit(all, other, false, (next, step) => {
      if (next === term) return;
      if (step === WEIGHTS.family) forms.set(next, Math.max(forms.get(next) ?? 0, (weight - 1) * UNIT));
      else if (weight === WEIGHTS.family) forms.set(next, Math.max(forms.get(next) ?? 0, (step - 1) * UNIT));
      else second.set(next, (second.get(next) ?? 0) + share * step);
    });
  }
  for (const [other, weight] of forms) found.set(other, Math.max(found.get(other) ?? 0, weight));
  for (const [other, weight] of second) {
    const far = Math.min(WEIGHTS.second * UNIT, weight);
    const near = found.get(other) ?? 0;
    found.set(other, both(Math.max(near, far), Math.min(near, far)));
  }
  return [...found]
    .map(([other, weight]) => ({ term: other, weight: (weight + UNIT / 2) >> UNIT_BITS }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, MOST_ALTERNATIVES);
}

/** Several ways that lead to a word: the best counts in full, the rest for half; together less than a form of the word. */
function both(best: number, rest: number): number {
  return Math.max(best, Math.min((WEIGHTS.family - 1) * UNIT, best + (rest >> 1)));
}

/** Tells the terms of every group that has this one. */
function visit(all: Thesaurus, term: string, topics: boolean, tell: (other: string, weight: number) => void): void {
  for (const number of groupsOf(all, term)) {
    const group = all.groups[number] as Group;
    if (group.relation === 'topic' && !topics) continue;
    const terms = (group.terms ??= termsOf(group));
    const head = group.heads > 0 && terms.indexOf(term) < group.heads;
    for (let i = 0; i < terms.length; i += 1) {
      const other = terms[i];
      if (other === undefined) continue;
      if (group.heads === 0) tell(other, WEIGHTS[group.relation]);
      else if (head !== i < group.heads) tell(other, head && group.relation === 'kind' ? WEIGHTS.member : WEIGHTS[group.relation]);
    }
  }
}

function termsOf(group: Group): readonly (string | undefined)[] {
  const words = group.text.split(' ');
  if (group.relation === 'kind' || group.relation === 'phrase') group.heads = words.findIndex((word) => word.startsWith('>'));
  return words.filter((word) => !MARKS.has(word)).map((word) => wordTerms(word)[0]);
}

/** A place is brought to stems when one of its terms is first asked for. */
function groupsOf(all: Thesaurus, term: string): readonly number[] {
  return placeOf(all, beginning(term, 0, term.length)).get(term) ?? [];
}

function placeOf(all: Thesaurus, key: number): ReadonlyMap<string, readonly number[]> {
  let place = all.places.get(key);
  if (place === undefined) {
    const made = new Map<string, number[]>();
    collect(all, key, (word) => !IRREGULAR.has(word), made);
    // Irregular forms lie where their base begins.
    for (const form of all.irregular.get(key) ?? []) collect(all, beginning(form, 0, form.length), (word) => word === form, made);
    place = made;
    all.places.set(key, place);
  }
  return place;
}

function collect(all: Thesaurus, key: number, takes: (word: string) => boolean, into: Map<string, number[]>): void {
  for (const spot of all.beginnings.get(key) ?? []) {
    const number = Math.floor(spot / LONGEST_GROUP);
    const { text } = all.groups[number] as Group;
    const from = spot % LONGEST_GROUP;
    const end = text.indexOf(' ', from);
    const word = text.slice(from, end < 0 ? text.length : end);
    const stem = takes(word) ? wordTerms(word)[0] : undefined;
    if (stem === undefined) continue;
    const known = into.get(stem);
    if (known === undefined) into.set(stem, [number]);
    else if (known.at(-1) !== number) known.push(number);
  }
}

function read(): Thesaurus {
  const groups: Group[] = [];
  const beginnings = new Map<number, number[]>();
  const add = (relation: Relation, text: string): void => {
    const number = groups.push({ relation, text, heads: 0 }) - 1;
    for (let from = 0; from < text.length;) {
      let end = text.indexOf(' ', from);
      if (end < 0) end = text.length;
      const key = beginning(text, from, end);
      const known = beginnings.get(key);
      if (known === undefined) beginnings.set(key, [number * LONGEST_GROUP + from]);
      else known.push(number * LONGEST_GROUP + from);
      from = end + 1;
    }
  };
  const addGroup = (group: string): void => {
    add(group.includes('>>') ? 'phrase' : group.includes('>') ? 'kind' : 'synonym', group);
  };
  for (const group of SYNONYMS) addGroup(group);
  // The first word is the kind.
  for (const group of KINDS) add('kind', group.replace(' ', ' > '));
  for (const text of [FAMILIES, FAMILIES_MORE]) for (const group of groupsIn(text)) add('family', group);
  for (const text of PLAIN) for (const group of groupsIn(text)) addGroup(group);
  for (const text of TOPICS) {
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      for (const group of groupsIn(line)) addGroup(group);
      add('topic', line);
    }
  }
  const irregular = new Map<number, string[]>();
  for (const [form, base] of IRREGULAR) {
    const key = beginning(base, 0, base.length);
    irregular.set(key, [...(irregular.get(key) ?? []), form]);
  }
  return { groups, beginnings, irregular, places: new Map() };
}

function groupsIn(text: string): readonly string[] {
  return text.split(/ \| |\n/).filter((group) => group !== '' && !group.startsWith('#'));
}

/** Of a word in a text. The stemmer keeps the first two letters, and of the third all but y, which may become i. */
function beginning(text: string, from: number, end: number): number {
  const third = end > from + 2 ? text.charCodeAt(from + 2) : 0;
  const second = end > from + 1 ? text.charCodeAt(from + 1) : 0;
  return (text.charCodeAt(from) * 128 + second) * 128 + (third === 0x79 ? 0x69 : third);
}
