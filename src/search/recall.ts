// What a question needs from earlier history: candidates from the index, scored again as short stretches of dialogue,
// chosen within a share of tokens. Deterministic; integer scores; ties go to the later line.
import { finish } from '../abi/steps.ts';
import type { Steps } from '../abi/steps.ts';
import { aliases } from './aliases.ts';
import { answerFit, expects } from './answer-shape.ts';
import { IdTable } from './id-table.ts';
import { concepts, type Concept } from './concepts.ts';
import { isFaint, lightnessOf } from './light.ts';
import { LineMemory } from './line-terms.ts';
import type { WeightedTerm } from './rank.ts';
import type { TermIndex } from './recall-index.ts';
import { MOST_TELLS, ownShare, tells } from './speech.ts';
import { terms } from './terms.ts';
import type { SearchHit } from './types.ts';

/** Changes whenever the same inputs may choose other lines. */
export const RECALL_VERSION = 5;

export interface RecallRequest {
  readonly query: string;
  /** The last line of history that may be recalled. */
  readonly throughLine: number;
  readonly limitTokens: number;
  /** Text of a line as it was indexed; undefined for a line without text. Called for a few hundred lines at most. */
  readonly textOf: (line: number) => string | undefined;
  /** Tokens that showing this line costs. */
  readonly costOf: (line: number) => number;
  /** Whether a person wrote this line (nobody, when absent). */
  readonly byPerson?: (line: number) => boolean;
  /** Lines that are shown anyway. */
  readonly except?: ReadonlySet<number>;
  /** What was learnt about this history's lines by earlier questions. */
  readonly memory?: LineMemory;
}

export interface RecallChoice {
  /** Lines to show, best first. */
  readonly lines: readonly SearchHit[];
  /** The best candidates that did not fit. */
  readonly next: readonly SearchHit[];
}

export interface Tuning {
  readonly candidates: number;
  /** How many of them bring the lines around them. */
  readonly stretches: number;
  /** Sixteenths of what is heard from the lines before, nearest first. */
  readonly before: readonly number[];
  /** The same for the lines after: a question's line hears the answer's words. */
  readonly after: readonly number[];
  readonly shape: number;
  readonly repeat: number;
  /** Sixteenths of what a line's other words for one thing add to the best of them. */
  readonly besides: number;
  /** Weight of a word that the likeliest line says beside what was asked. */
  readonly echo: number;
}

export const TUNING: Tuning = {
  candidates: 80,
  stretches: 24,
  before: [8, 7, 6, 5],
  after: [8, 6],
  shape: 5,
  repeat: 6,
  besides: 8,
  echo: 3,
};

/** Lines read and analysed, or weighed, before others may have their turn. */
const LINES_A_STEP = 16;
const MAX_CONCEPTS = 32;
const MAX_NEXT = 16;
/** Likeliest lines whose words are asked for as well, and how many of those words are looked up and kept. */
const ECHO_LINES = 3;
const ECHO_LOOKUPS = 8;
const ECHO_TERMS = 6;
/** Rarer than one passage in a hundred. */
const ECHO_RARITY = 300;
const ECHO_CANDIDATES = 40;
const ECHO_STRETCHES = 8;
const NO_IDS = new Int32Array(0);
/** Index look-ups (terms x segments) that one question may cost. */
const MAX_LOOKUPS = 192;

export function recall(index: TermIndex, request: RecallRequest, tuning: Tuning = TUNING): RecallChoice {
  return finish(recallSteps(index, request, tuning));
}

/** `recall` in steps of a few milliseconds. */
export function* recallSteps(index: TermIndex, request: RecallRequest, tuning: Tuning = TUNING): Steps<RecallChoice> {
  if (request.throughLine < 1) return { lines: [], next: [] };
  const people = aliases(index, request.query, request.throughLine, request.textOf);
  yield;
  const asked = concepts(request.query, people).slice(0, MAX_CONCEPTS);
  if (asked.length === 0) return { lines: [], next: [] };
  yield;
  const query = lookups(asked, Math.max(MAX_CONCEPTS, Math.floor(MAX_LOOKUPS / index.segmentsThrough(request.throughLine))));
  const { hits, rarities } = index.ranking(query, tuning.candidates, { throughLine: request.throughLine });
  yield;
  const rarity = new Map(query.map(({ term }, i) => [term, rarities[i] as number]));
  const stretch = new Stretch(asked, rarity, request, tuning);
  hits.forEach((hit, i) => stretch.open(hit.line, i < tuning.stretches));
  // What is told in several places shares words that the question does not know: the likeliest lines lend theirs.
  const echoes = yield* stretch.echoes();
  if (echoes.length === 0) return yield* stretch.choose();
  const again = index.ranking(echoes, ECHO_CANDIDATES, { throughLine: request.throughLine });
  yield;
  again.hits.forEach((hit, i) => stretch.open(hit.line, i < ECHO_STRETCHES));
  stretch.ask(echoes, again.rarities);
  return yield* stretch.choose();
}

/** The heaviest first while the bound allows; among equals each concept in turn. */
function lookups(asked: readonly Concept[], bound: number): readonly WeightedTerm[] {
  const all = asked.flatMap((concept) => concept.map(({ term, weight }, depth) => ({ term, weight, depth })));
  const weights = new Map<string, number>();
  for (const { term, weight } of all.sort((a, b) => b.weight - a.weight || a.depth - b.depth)) {
    if (weights.size === bound) break;
    if (!weights.has(term)) weights.set(term, weight);
  }
  return [...weights].map(([term, weight]) => ({ term, weight }));
}

/** Lines under consideration, each with what it says about every concept. */
class Stretch {
  readonly #asked: Concept[];
  readonly #rarity: Map<string, number>;
  readonly #memory: LineMemory;
  /** For a term of the question: [concept, weight x rarity, …]. */
  #values: readonly (readonly number[])[] = [];
  /** Place of a term's values by its number. */
  #places: IdTable = new IdTable([]);
  /** For each concept what its best word is worth. */
  #surest: Int32Array = new Int32Array(0);
  readonly #request: RecallRequest;
  readonly #tuning: Tuning;
  readonly #shapes: ReturnType<typeof expects>;
  readonly #own: number;
  readonly #lines = new Set<number>();

  constructor(asked: readonly Concept[], rarity: Map<string, number>, request: RecallRequest, tuning: Tuning) {
    this.#asked = [...asked];
    this.#rarity = rarity;
    this.#memory = request.memory ?? new LineMemory();
    this.#request = request;
    this.#tuning = tuning;
    this.#shapes = expects(request.query);
    this.#own = ownShare(request.query);
  }

  #weigh(): void {
    this.#memory.begin();
    const values = new Map<number, number[]>();
    this.#surest = new Int32Array(this.#asked.length);
    this.#asked.forEach((concept, at) => {
      for (const { term, weight } of concept) {
        const value = weight * (this.#rarity.get(term) ?? 0);
        if (value <= 0) continue;
        this.#surest[at] = Math.max(this.#surest[at] as number, value);
        const id = this.#memory.idOf(term);
        const known = values.get(id);
        if (known === undefined) values.set(id, [at, value]);
        else known.push(at, value);
      }
    });
    for (const shared of values.values()) if (shared.length > 2) lower(shared);
    this.#places = new IdTable([...values.keys()]);
    this.#values = [...values.values()];
  }

  /** A line, and the lines around it when it is among the best. */
  open(line: number, around: boolean): void {
    if (!around) {
      this.#lines.add(line);
      return;
    }
    for (let at = line - this.#tuning.after.length; at <= line + this.#tuning.before.length; at += 1) {
      if (at >= 1 && at <= this.#request.throughLine) this.#lines.add(at);
    }
  }

  /** Rare words of the likeliest lines that the question does not have, the heaviest first. */
  *echoes(): Steps<readonly WeightedTerm[]> {
    const { except, textOf } = this.#request;
    const said = yield* this.#sayAll();
    const nothing = new Int32Array(this.#asked.length);
    const likeliest: SearchHit[] = [];
    for (const [line, says] of said) {
      const score = except?.has(line) === true ? 0 : scoreOf(says, 16, nothing);
      if (score > 0) likeliest.push({ line, score });
    }
    likeliest.sort((a, b) => b.score - a.score || b.line - a.line);
    const top = likeliest[0]?.score ?? 1;
    const asked = new Set(this.#asked.map((concept) => concept[0]?.term));
    const weights = new Map<string, number>();
    for (const { line, score } of likeliest.slice(0, ECHO_LINES)) {
      const weight = Math.floor((score * this.#tuning.echo) / top);
      if (weight === 0) break;
      for (const term of new Set(terms(textOf(line) ?? '')))
        if (!asked.has(term) && !isFaint(term)) weights.set(term, (weights.get(term) ?? 0) + weight);
    }
    // Words that many candidates have tell nothing apart.
    const common = this.#commonness([...weights.keys()], said.keys());
    const value = ([term, weight]: readonly [string, number]): number =>
      Math.floor((weight * lightnessOf(term).instead * 64) / (4 + (common.get(term) ?? 0)));
    return [...weights]
      .sort((a, b) => value(b) - value(a) || (a[0] < b[0] ? -1 : 1))
      .slice(0, ECHO_LOOKUPS)
      .map(([term, weight]) => ({ term, weight }));
  }

  /** Candidates that have a term. */
  #commonness(words: readonly string[], lines: Iterable<number>): ReadonlyMap<string, number> {
    const places = new IdTable(words.map((term) => this.#memory.idOf(term)));
    const counts = new Int32Array(words.length);
    for (const line of lines) {
      const ids = this.#memory.of(line, this.#request.textOf)?.ids ?? NO_IDS;
      for (let i = 0; i < ids.length; i += 1) {
        const place = places.find(ids[i] as number);
        if (place >= 0) counts[place] = (counts[place] as number) + 1;
      }
    }
    return new Map(words.map((term) => [term, counts[places.find(this.#memory.idOf(term))] as number]));
  }

  /** Asks for the rarest of these words as well. */
  ask(echoes: readonly WeightedTerm[], rarities: readonly number[]): void {
    echoes
      .map(({ term, weight }, i) => ({ term, weight, rarity: rarities[i] as number }))
      .filter(({ rarity }) => rarity >= ECHO_RARITY)
      .sort((a, b) => b.weight * b.rarity - a.weight * a.rarity || (a.term < b.term ? -1 : 1))
      .slice(0, ECHO_TERMS)
      .forEach(({ term, weight, rarity }) => {
        this.#asked.push([{ term, weight }]);
        // A term that stands for something asked keeps what it is worth there.
        this.#rarity.set(term, rarity);
      });
  }

  *choose(): Steps<RecallChoice> {
    const { limitTokens, costOf, except, textOf, byPerson } = this.#request;
    const said = yield* this.#sayAll();
    const seen = new Int32Array(this.#asked.length);
    const lines: SearchHit[] = [];
    const next: SearchHit[] = [];
    let room = limitTokens;
    let weighed = 0;
    // What is chosen only lowers the other scores, so a score of before bounds the one of now, as does the one of a line that
    // fits as well as any can (which is known without its text): the best that is up to date is the best of all.
    const heap = new CandidateHeap();
    const bestFit = (16 + this.#tuning.shape * this.#shapes.length) * (MOST_TELLS + this.#own);
    for (const line of said.keys()) {
      if (except?.has(line) === true) continue;
      const gain = this.#heard(line, said);
      heap.push({ line, gain, fit: bestFit, score: scoreOf(gain, bestFit, seen), chosen: NOT_YET });
    }
    for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
      const { line, gain } = best;
      if (best.chosen !== lines.length) {
        let { fit } = best;
        if (best.chosen === NOT_YET) {
          const text = textOf(line) as string;
          const own = byPerson?.(line) === true ? this.#own : 0;
          fit = (16 + this.#tuning.shape * answerFit(this.#shapes, text)) * (tells(text) + own);
        }
        heap.push({ line, gain, fit, score: scoreOf(gain, fit, seen), chosen: lines.length });
        continue;
      }
      if (++weighed % LINES_A_STEP === 0) yield;
      const cost = costOf(line);
      if (cost > room) {
        if (next.length < MAX_NEXT) next.push({ line, score: best.score });
        if (room < 16 && next.length >= 8) break;
        continue;
      }
      room -= cost;
      lines.push({ line, score: best.score });
      for (let i = 0; i < gain.length; i += 1) if ((gain[i] as number) > 0) seen[i] = (seen[i] as number) + this.#tuning.repeat / 4;
    }
    return { lines, next };
  }

  /** What each line says. Another history's question in between may give terms new numbers: then from the beginning. */
  *#sayAll(): Steps<Map<number, Int32Array>> {
    this.#weigh();
    const said = new Map<number, Int32Array>();
    let count = 0;
    for (const line of this.#lines) {
      if (++count % LINES_A_STEP === 0) {
        yield;
        if (this.#memory.stale) return yield* this.#sayAll();
      }
      const says = this.#says(line);
      if (says !== undefined) said.set(line, says);
    }
    return said;
  }

  /** What the line itself says: for each concept the best alternative, weight x rarity, and a part of the others. */
  #says(line: number): Int32Array | undefined {
    if (line < 1 || line > this.#request.throughLine) return undefined;
    const terms = this.#memory.of(line, this.#request.textOf);
    if (terms === undefined) return undefined;
    const said = new Int32Array(this.#asked.length);
    const { ids, count } = terms;
    const places = this.#places;
    for (let i = 0; i < ids.length; i += 1) {
      const place = places.find(ids[i] as number);
      if (place < 0) continue;
      const values = this.#values[place] as readonly number[];
      for (let at = 0; at < values.length; at += 2) {
        const concept = values[at] as number;
        const was = said[concept] as number;
        const now = values[at + 1] as number;
        const best = Math.max(was, now);
        // Loose words bear each other out; what is said outright is not said better by saying it twice.
        const outright = best * 4 >= (this.#surest[concept] as number) * 3;
        said[concept] = outright ? best : best + ((Math.min(was, now) * this.#tuning.besides) >> 4);
      }
    }
    // A long line says each thing less clearly.
    const length = 48 + Math.min(count, 600);
    for (let i = 0; i < said.length; i += 1) said[i] = Math.floor(((said[i] as number) * 64) / length);
    return said;
  }

  /** What is heard at a line: its own words, and fainter those of the lines around it. */
  #heard(line: number, said: ReadonlyMap<number, Int32Array>): Int32Array {
    const heard = new Int32Array(this.#asked.length);
    listen(heard, said.get(line), 16);
    const { before, after } = this.#tuning;
    for (let i = 0; i < before.length; i += 1) listen(heard, said.get(line - 1 - i), before[i] as number);
    for (let i = 0; i < after.length; i += 1) listen(heard, said.get(line + 1 + i), after[i] as number);
    return heard;
  }
}

/** A word says one thing: of several concepts that it may stand for, all but the likeliest hear it faintly. */
function lower(shared: number[]): void {
  let best = 1;
  for (let at = 3; at < shared.length; at += 2) if ((shared[at] as number) > (shared[best] as number)) best = at;
  for (let at = 1; at < shared.length; at += 2) if (at !== best) shared[at] = ((shared[at] as number) * 10) >> 4;
}

function listen(heard: Int32Array, said: Int32Array | undefined, weight: number): void {
  if (said === undefined) return;
  for (let i = 0; i < heard.length; i += 1) {
    const faint = ((said[i] as number) * weight) >> 4;
    if (faint > (heard[i] as number)) heard[i] = faint;
  }
}

/** The line's worth beside what chosen lines have said already. */
function scoreOf(gain: Int32Array, fit: number, seen: Int32Array): number {
  let score = 0;
  for (let i = 0; i < gain.length; i += 1) score += Math.floor(((gain[i] as number) * 16) / (16 + Math.min(64, seen[i] as number)));
  return score * fit;
}

/** In place of lines chosen: the line's own fit is not known. */
const NOT_YET = -1;

interface Candidate {
  readonly line: number;
  readonly gain: Int32Array;
  readonly fit: number;
  readonly score: number;
  /** Lines that had been chosen when the score was made. */
  readonly chosen: number;
}

/** A binary heap: the highest score on top, the later line among equals. */
class CandidateHeap {
  readonly #all: Candidate[] = [];

  push(candidate: Candidate): void {
    const all = this.#all;
    let at = all.length;
    all.push(candidate);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(candidate, all[parent] as Candidate)) break;
      all[at] = all[parent] as Candidate;
      at = parent;
    }
    all[at] = candidate;
  }

  pop(): Candidate | undefined {
    const all = this.#all;
    const top = all[0];
    const moved = all.pop();
    if (moved === undefined || all.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= all.length) break;
      if (child + 1 < all.length && before(all[child + 1] as Candidate, all[child] as Candidate)) child += 1;
      if (!before(all[child] as Candidate, moved)) break;
      all[at] = all[child] as Candidate;
      at = child;
    }
    all[at] = moved;
    return top;
  }
}

function before(a: Candidate, b: Candidate): boolean {
  return a.score > b.score || (a.score === b.score && a.line > b.line);
}
