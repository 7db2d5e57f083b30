// The thesaurus asked by term. Its words are split at the first question and brought to stems only as they are asked for,
// so that a process which never recalls pays nothing, and the first question a few milliseconds.
import { KINDS } from './kinds.ts';
import { SYNONYMS } from './synonyms.ts';
import { wordTerms } from './terms.ts';
import { FAMILIES, PLAIN, TOPICS } from './thesaurus/index.ts';
import { IRREGULAR } from './words.ts';

interface Related {
  readonly term: string;
  readonly weight: number;
}

/** Of 16, the weight of the word itself. */
const WEIGHTS = { family: 12, synonym: 8, member: 7, kind: 4, second: 2, topic: 1, limit: 40 };
/** Terms whose relations are kept. */
const MOST_KEPT = 2048;

type Relation = 'family' | 'synonym' | 'kind' | 'topic';

interface Group {
  readonly relation: Relation;
  readonly words: readonly string[];
  /** Words at the start that name a kind. */
  readonly heads: number;
  /** Stems, made when the group is first met; undefined for a word of no content. */
  terms?: readonly (string | undefined)[];
}

interface Thesaurus {
  readonly groups: readonly Group[];
  /** Groups of a word. */
  readonly groupsOf: ReadonlyMap<string, readonly number[]>;
  /** Words by how they begin, irregular forms by how their base begins: all words of a stem are in one place. */
  readonly words: ReadonlyMap<string, readonly string[]>;
  /** Groups of a term, place by place as they are asked for. */
  readonly places: Map<string, ReadonlyMap<string, readonly number[]>>;
}

let thesaurus: Thesaurus | undefined;
const kept = new Map<string, readonly Related[]>();

/** Other terms that may stand for this one, the nearest first. */
export function related(term: string): readonly Related[] {
  let found = kept.get(term);
  if (found === undefined) {
    found = expand((thesaurus ??= read()), term);
    if (kept.size >= MOST_KEPT) kept.clear();
    kept.set(term, found);
  }
  return found;
}

function expand(all: Thesaurus, term: string): readonly Related[] {
  const found = new Map<string, number>();
  const note = (other: string, weight: number): void => {
    if (other !== term && weight > (found.get(other) ?? 0)) found.set(other, weight);
  };
  visit(all, term, true, note);
  const near = [...found];
  for (const [other, weight] of near) {
    if (weight < WEIGHTS.synonym) continue;
    // One step more: the other forms of a word at hardly less, what stands for what stands for it at little.
    visit(all, other, false, (next, step) => {
      if (step === WEIGHTS.family) note(next, weight - 1);
      else if (weight === WEIGHTS.family) note(next, step - 1);
      else if (weight === WEIGHTS.synonym) note(next, Math.floor((WEIGHTS.second * step) / WEIGHTS.synonym));
    });
  }
  return [...found]
    .sort((a, b) => b[1] - a[1])
    .slice(0, WEIGHTS.limit)
    .map(([other, weight]) => ({ term: other, weight }));
}

/** Tells the terms of every group that has this one. */
function visit(all: Thesaurus, term: string, topics: boolean, tell: (other: string, weight: number) => void): void {
  for (const number of groupsOf(all, term)) {
    const group = all.groups[number] as Group;
    if (group.relation === 'topic' && !topics) continue;
    const terms = (group.terms ??= group.words.map((each) => wordTerms(each)[0]));
    const head = group.heads > 0 && terms.indexOf(term) < group.heads;
    for (let i = 0; i < terms.length; i += 1) {
      const other = terms[i];
      if (other === undefined) continue;
      if (group.relation !== 'kind') tell(other, WEIGHTS[group.relation]);
      else if (head !== i < group.heads) tell(other, head ? WEIGHTS.member : WEIGHTS.kind);
    }
  }
}

/** A place is brought to stems when one of its terms is first asked for. */
function groupsOf(all: Thesaurus, term: string): readonly number[] {
  const key = beginning(term);
  let place = all.places.get(key);
  if (place === undefined) {
    const made = new Map<string, number[]>();
    for (const word of all.words.get(key) ?? []) {
      const stem = wordTerms(word)[0];
      if (stem === undefined) continue;
      const numbers = all.groupsOf.get(word) as readonly number[];
      const known = made.get(stem);
      if (known === undefined) made.set(stem, [...numbers]);
      else known.push(...numbers);
    }
    place = made;
    all.places.set(key, place);
  }
  return place.get(term) ?? [];
}

function read(): Thesaurus {
  const groups: Group[] = [];
  const groupsOf = new Map<string, number[]>();
  const words = new Map<string, string[]>();
  const add = (relation: Relation, members: readonly string[], heads: number): void => {
    const number = groups.push({ relation, words: members, heads }) - 1;
    for (const word of members) {
      const known = groupsOf.get(word);
      if (known !== undefined) {
        known.push(number);
        continue;
      }
      groupsOf.set(word, [number]);
      const key = beginning(IRREGULAR.get(word) ?? word);
      const place = words.get(key);
      if (place === undefined) words.set(key, [word]);
      else place.push(word);
    }
  };
  const addGroup = (group: string): readonly string[] => {
    const members = group.split(' ');
    const heads = members.indexOf('>');
    if (heads > 0) members.splice(heads, 1);
    add(heads > 0 ? 'kind' : 'synonym', members, Math.max(0, heads));
    return members;
  };
  for (const group of SYNONYMS) addGroup(group);
  for (const group of KINDS) add('kind', group.split(' '), 1);
  for (const group of groupsIn(FAMILIES)) add('family', group.split(' '), 0);
  for (const text of PLAIN) for (const group of groupsIn(text)) addGroup(group);
  for (const text of TOPICS) {
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      add('topic', groupsIn(line).flatMap(addGroup), 0);
    }
  }
  return { groups, groupsOf, words, places: new Map() };
}

function groupsIn(text: string): readonly string[] {
  return text.split(/ \| |\n/).filter((group) => group !== '' && !group.startsWith('#'));
}

/** The stemmer keeps the first two letters, and of the third all but y, which may become i. */
function beginning(word: string): string {
  return word[2] === 'y' ? `${word.slice(0, 2)}i` : word.slice(0, 3);
}
