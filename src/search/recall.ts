// What a question needs from earlier history: candidates from the index, scored again as short stretches of dialogue,
// chosen within a share of tokens. Deterministic; integer scores; ties go to the later line.
import { aliases } from './aliases.ts';
import { answerFit, expects } from './answer-shape.ts';
import { concepts, type Concept } from './concepts.ts';
import type { WeightedTerm } from './rank.ts';
import type { TermIndex } from './recall-index.ts';
import { TermScan } from './term-scan.ts';
import type { SearchHit } from './types.ts';

/** Changes whenever the same inputs may choose other lines. */
export const RECALL_VERSION = 1;

export interface RecallRequest {
  readonly query: string;
  /** The last line of history that may be recalled. */
  readonly throughLine: number;
  readonly limitTokens: number;
  /** Text of a line as it was indexed; undefined for a line without text. Called for a few hundred lines at most. */
  readonly textOf: (line: number) => string | undefined;
  /** Tokens that showing this line costs. */
  readonly costOf: (line: number) => number;
  /** Lines that are shown anyway. */
  readonly except?: ReadonlySet<number>;
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
}

export const TUNING: Tuning = { candidates: 80, stretches: 32, before: [8, 7, 6, 5], after: [8, 6], shape: 3, repeat: 12 };

const scan = new TermScan();
const MAX_CONCEPTS = 32;
const MAX_NEXT = 16;
/** Index look-ups (terms x segments) that one question may cost. */
const MAX_LOOKUPS = 512;

export function recall(index: TermIndex, request: RecallRequest, tuning: Tuning = TUNING): RecallChoice {
  if (request.throughLine < 1) return { lines: [], next: [] };
  const people = aliases(index, request.query, request.throughLine, request.textOf);
  const asked = concepts(request.query, people).slice(0, MAX_CONCEPTS);
  if (asked.length === 0) return { lines: [], next: [] };
  const query = lookups(asked, Math.max(MAX_CONCEPTS, Math.floor(MAX_LOOKUPS / index.segmentsThrough(request.throughLine))));
  const { hits, rarities } = index.ranking(query, tuning.candidates, { throughLine: request.throughLine });
  const rarity = new Map(query.map(({ term }, i) => [term, rarities[i] as number]));
  const stretch = new Stretch(asked, rarity, request, tuning);
  hits.forEach((hit, i) => stretch.open(hit.line, i < tuning.stretches));
  return stretch.choose();
}

/** Each word itself first, then the alternatives in turn while the bound allows. */
function lookups(asked: readonly Concept[], bound: number): readonly WeightedTerm[] {
  const weights = new Map<string, number>();
  for (let depth = 0; depth < 64; depth += 1) {
    for (const concept of asked) {
      const alternative = concept[depth];
      if (alternative === undefined || (weights.size >= bound && !weights.has(alternative.term))) continue;
      weights.set(alternative.term, Math.max(alternative.weight, weights.get(alternative.term) ?? 0));
    }
  }
  return [...weights].map(([term, weight]) => ({ term, weight }));
}

/** Lines under consideration, each with what it says about every concept. */
class Stretch {
  readonly #asked: readonly Concept[];
  /** For each concept its alternatives: the term's id in `scan`, weight x rarity. */
  readonly #values: readonly (readonly { readonly id: number; readonly value: number }[])[];
  readonly #request: RecallRequest;
  readonly #tuning: Tuning;
  readonly #shapes: ReturnType<typeof expects>;
  readonly #said = new Map<number, Int32Array | undefined>();
  readonly #lines = new Set<number>();

  constructor(asked: readonly Concept[], rarity: ReadonlyMap<string, number>, request: RecallRequest, tuning: Tuning) {
    this.#asked = asked;
    if (scan.full) scan.clear();
    this.#values = asked.map((concept) =>
      concept
        .map(({ term, weight }) => ({ id: scan.idOf(term), value: weight * (rarity.get(term) ?? 0) }))
        .filter(({ value }) => value > 0),
    );
    this.#request = request;
    this.#tuning = tuning;
    this.#shapes = expects(request.query);
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

  choose(): RecallChoice {
    const { limitTokens, costOf, except, textOf } = this.#request;
    const gains = new Map<number, Int32Array>();
    for (const line of this.#lines) if (this.#says(line) !== undefined && except?.has(line) !== true) gains.set(line, this.#heard(line));
    const fit = new Map<number, number>();
    for (const line of gains.keys()) fit.set(line, 16 + this.#tuning.shape * answerFit(this.#shapes, textOf(line) as string));
    const seen = new Int32Array(this.#asked.length);
    const lines: SearchHit[] = [];
    const next: SearchHit[] = [];
    let room = limitTokens;
    // What is chosen only lowers the other scores, so a score of before bounds the one of now: the best that is up to date is
    // the best of all.
    const heap = new CandidateHeap();
    for (const [line, gain] of gains) heap.push({ line, gain, score: scoreOf(gain, fit.get(line) as number, seen), chosen: 0 });
    for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
      const { line, gain } = best;
      if (best.chosen !== lines.length) {
        heap.push({ line, gain, score: scoreOf(gain, fit.get(line) as number, seen), chosen: lines.length });
        continue;
      }
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

  /** What the line itself says: for each concept the best alternative, weight x rarity. */
  #says(line: number): Int32Array | undefined {
    if (line < 1 || line > this.#request.throughLine) return undefined;
    if (this.#said.has(line)) return this.#said.get(line);
    const text = this.#request.textOf(line);
    let said: Int32Array | undefined;
    if (text !== undefined) {
      scan.scan(text);
      // A long line says each thing less clearly.
      const length = 48 + Math.min(scan.count, 600);
      said = Int32Array.from(this.#values, (alternatives) => {
        let best = 0;
        for (const { id, value } of alternatives) if (value > best && scan.has(id)) best = value;
        return Math.floor((best * 64) / length);
      });
    }
    this.#said.set(line, said);
    return said;
  }

  /** What is heard at a line: its own words, and fainter those of the lines around it. */
  #heard(line: number): Int32Array {
    const heard = new Int32Array(this.#asked.length);
    const listen = (at: number, weight: number): void => {
      const said = this.#lines.has(at) ? this.#says(at) : undefined;
      if (said === undefined) return;
      for (let i = 0; i < heard.length; i += 1) heard[i] = Math.max(heard[i] as number, ((said[i] as number) * weight) >> 4);
    };
    listen(line, 16);
    this.#tuning.before.forEach((weight, i) => listen(line - 1 - i, weight));
    this.#tuning.after.forEach((weight, i) => listen(line + 1 + i, weight));
    return heard;
  }
}

/** The line's worth beside what chosen lines have said already. */
function scoreOf(gain: Int32Array, fit: number, seen: Int32Array): number {
  let score = 0;
  for (let i = 0; i < gain.length; i += 1) score += Math.floor(((gain[i] as number) * 16) / (16 + Math.min(64, seen[i] as number)));
  return score * fit;
}

interface Candidate {
  readonly line: number;
  readonly gain: Int32Array;
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
