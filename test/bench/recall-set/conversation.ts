// One long conversation by seed: most facts and many fillers in a random order, names and figures filled in.
import type { Fact, Turn } from './facts.ts';

export interface Line {
  readonly line: number;
  readonly role: string;
  readonly text: string;
}

export interface Question {
  readonly fact: string;
  readonly text: string;
  readonly plain: string;
  readonly middle?: string;
  /** Lines that must all be seen. */
  readonly evidence: readonly number[];
}

export interface Conversation {
  readonly lines: readonly Line[];
  readonly questions: readonly Question[];
}

const NAMES = ['Miriam', 'Jonas', 'Aylin', 'Peter', 'Noor', 'Carla', 'Tomasz', 'Ingrid', 'Kwame', 'Leonie'];
const SURNAMES = ['Hartwig', 'Okafor', 'Lindqvist', 'Brenner', 'Castellano', 'Novak', 'Achterberg', 'Quinn'];
const CITIES = ['Ghent', 'Porto', 'Graz', 'Uppsala', 'Bologna', 'Leipzig', 'Cork', 'Basel', 'Aarhus', 'Nantes'];
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'September', 'October', 'November'];
const STREETS = ['Mill Lane', 'Kastanienallee', 'Harbour Street', 'Rue Verte', 'Station Road', 'Birkenweg'];
const HOURS = ['half past eight', 'nine', 'ten', 'a quarter past ten', 'three', 'half past four', 'five'];
const CAST = { spouse: 'Robin', daughter: 'Hanna', son: 'Emil', boss: 'Margit', colleague: 'Dariusz', sister: 'Judith' };

/** How a person introduces the household, once, at the start. */
const INTRODUCTION: readonly Turn[] = [
  {
    role: 'user',
    mark: '',
    text: 'So that you know who is who: I live with my partner Robin, our daughter Hanna is eleven and our son Emil is eight.',
  },
  { role: 'assistant', mark: '', text: 'Good to know. And who do you work with?' },
  {
    role: 'user',
    mark: '',
    text: 'My boss is called Margit, and my colleague Dariusz sits across from me. Judith, by the way, is my sister.',
  },
];

/** What a line costs beside its text: who spoke, and where it stands. */
export const FRAME_TOKENS = 8;

export type Random = (below: number) => number;

export function random(seed: number): Random {
  let state = (seed * 2654435761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

export function converse(
  seed: number,
  facts: readonly Fact[],
  fillers: readonly (readonly Turn[])[],
  wantedTokens: number,
  count: (text: string) => number,
): Conversation {
  const next = random(seed);
  const told = facts.filter(() => next(100) < 80);
  const fill = new Map(told.map((fact) => [fact, slots(next)]));
  let tokens = 0;
  // Each unit has a place between 0 and 1; later parts of a fact come at least a tenth after the one before.
  const units: { place: number; turns: readonly Turn[]; values: Record<string, string>; fact?: Fact }[] = [];
  for (const fact of told) {
    let place = next(1e6) / 1e6 / fact.parts.length;
    for (const turns of fact.parts) {
      units.push({ place, turns, values: fill.get(fact) as Record<string, string>, fact });
      place += 0.1 + (next(1e6) / 1e6) * Math.max(0, (0.9 - place) / fact.parts.length);
    }
  }
  for (const unit of units) for (const turn of unit.turns) tokens += count(turn.text) + FRAME_TOKENS;
  for (let i = next(fillers.length); tokens < wantedTokens; i = (i + 1 + next(3)) % fillers.length) {
    const turns = fillers[i] as readonly Turn[];
    units.push({ place: next(1e6) / 1e6, turns, values: slots(next) });
    for (const turn of turns) tokens += count(turn.text) + FRAME_TOKENS;
  }
  units.push({ place: -1, turns: INTRODUCTION, values: slots(next) });
  units.sort((a, b) => a.place - b.place);
  const lines: Line[] = [];
  const evidence = new Map<Fact, number[]>();
  for (const { turns, values, fact } of units) {
    for (const turn of turns) {
      lines.push({ line: lines.length + 1, role: turn.role, text: filled(turn.text, values) });
      if (fact === undefined || turn.mark === '') continue;
      evidence.set(fact, [...(evidence.get(fact) ?? []), lines.length]);
    }
  }
  const questions = told.flatMap((fact) => {
    const values = fill.get(fact) as Record<string, string>;
    return fact.questions.map((text, i) => ({
      fact: fact.name,
      text: filled(text, values),
      plain: filled(fact.plain[i] as string, values),
      ...(fact.middle === undefined ? {} : { middle: filled(fact.middle[i] as string, values) }),
      evidence: evidence.get(fact) ?? [],
    }));
  });
  return { lines, questions };
}

function slots(next: Random): Record<string, string> {
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  const two = <T>(list: readonly T[]): [T, T] => {
    const at = next(list.length);
    return [list[at] as T, list[(at + 1 + next(list.length - 1)) % list.length] as T];
  };
  const [friend, friend2] = two(NAMES);
  const [surname, surname2] = two(SURNAMES);
  const [city, city2] = two(CITIES);
  const n20 = 11 + next(29);
  return {
    ...CAST,
    friend,
    friend2,
    surname,
    surname2,
    city,
    city2,
    weekday: pick(WEEKDAYS),
    month: pick(MONTHS),
    street: pick(STREETS),
    hour: pick(HOURS),
    n2: String(2 + next(7)),
    n20: String(n20),
    n20th: `${11 + next(8)}th`,
    n100: String(110 + next(780)),
    n4: String(1000 + next(9000)),
    price: `${next(2) === 0 ? 'nine hundred and ' : 'eleven hundred and '}${pick(['ten', 'forty', 'sixty-five', 'eighty'])}`,
    port: String(9000 + next(900)),
  };
}

function filled(text: string, values: Record<string, string>): string {
  return text.replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`no slot ${key}`);
    return value;
  });
}
