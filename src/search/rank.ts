// Scores with integers only: the sum over terms of weight x idf x length norm (BM25 with each term counted once a
// passage). Pure function of the rows at or before `throughLine` and the query.
import { HOT, HOT_ROWS, RowList } from './postings.ts';
import type { TermKey } from './postings.ts';
import type { RowMap } from './row-map.ts';
import { termKey } from './term-key.ts';
import type { SearchHit } from './types.ts';

export interface WeightedTerm {
  /** As made by `terms`. */
  readonly term: string;
  /** 1 to 64; an ordinary query term has 16. */
  readonly weight: number;
}

export interface RankOptions {
  /** Only lines up to this one, as if no later line had been indexed. */
  readonly throughLine?: number;
}

/** What is ranked: a segment, growing or sealed. */
export interface Ranked {
  readonly map: RowMap;
  /** Told of all terms before they are looked for. */
  prepare?(keys: readonly TermKey[]): void;
  find(key: TermKey, through: number, into: RowList): number;
  every(key: TermKey): Int32Array;
}

/** A segment with fewer ordinary terms than this also looks for rows that have all its hot terms. */
const LEAST_TERMS = 2;

/** norm[length] = 256 x (k1 + 1) / (1 + k1 x (1 - b + b x length / pivot)), k1 = 1.2, b = 0.5, pivot 40. */
const NORM: Int32Array = Int32Array.from({ length: 256 }, (_, length) => Math.round((256 * 2.2) / (1 + 1.2 * (0.5 + (0.5 * length) / 40))));
const MOST_NORM: number = NORM[0] as number;

/** Rows of one segment: of query term i, `list.rows[starts[i] .. starts[i] + counts[i] - 1]`. */
interface Found {
  readonly segment: Ranked;
  readonly through: number;
  readonly starts: Int32Array;
  readonly counts: Int32Array;
}

export interface Ranking {
  /** The best lines, higher score first, later line first among equals. */
  readonly hits: readonly SearchHit[];
  /** For each query term: its idf in 1/64, or 0 when no passage has it. */
  readonly rarities: readonly number[];
}

export function rank(segments: readonly Ranked[], query: readonly WeightedTerm[], limit: number, options: RankOptions): Ranking {
  const throughLine = options.throughLine ?? Number.MAX_SAFE_INTEGER;
  const keys = query.map(({ term }) => termKey(term));
  const list = new RowList();
  const found: Found[] = [];
  const frequency = query.map(() => 0);
  let total = 0;
  for (const segment of segments) {
    const through = segment.map.lastRowThrough(throughLine);
    if (through === 0) continue;
    total += through;
    found.push(gather(segment, through, keys, frequency, list));
  }
  const rarities = frequency.map((df) => (df === 0 ? 0 : idf(df, total)));
  const value = query.map(({ weight }, i) => weight * (rarities[i] as number));
  const best = new Best(limit);
  const order = query.map((_, i) => i).sort((a, b) => (value[b] as number) - (value[a] as number));
  const { rows } = list;
  for (const { segment, through, starts, counts } of found) {
    const { map } = segment;
    if (scores.length <= through) [scores, touched] = [new Int32Array(through * 2), new Int32Array(through * 2)];
    let met = 0;
    // What a row that was not met before may still come to.
    let rest = 0;
    for (const i of order) if ((counts[i] as number) > 0) rest += value[i] as number;
    for (const i of order) {
      const worth = value[i] as number;
      const from = starts[i] as number;
      const end = from + (counts[i] as number);
      if (from === end) continue;
      const late = Math.floor((rest * MOST_NORM) / 256) < best.least;
      rest -= worth;
      for (let at = from; at < end; at += 1) {
        const row = rows[at] as number;
        const score = scores[row] as number;
        if (score === 0) {
          // Too late to be among the best.
          if (late) continue;
          touched[met++] = row;
        }
        scores[row] = score + worth;
      }
    }
    for (let i = 0; i < met; i += 1) {
      const row = touched[i] as number;
      const score = Math.floor(((scores[row] as number) * (NORM[map.lengthOf(row)] as number)) / 256);
      scores[row] = 0;
      if (score >= best.least) best.add(map.lineOf(row), score);
    }
  }
  return { hits: best.hits(), rarities };
}

/** Score by row of one segment, all zero between segments; rows with a score. */
let scores: Int32Array = new Int32Array(1024);
let touched: Int32Array = new Int32Array(1024);

/** The best lines, each with the score of its best row. Holds a few times `limit` candidates, however many are added. */
class Best {
  /** No line below this can be among the best. */
  least = -1;
  readonly #limit: number;
  #candidates: SearchHit[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(line: number, score: number): void {
    this.#candidates.push({ line, score });
    if (this.#candidates.length >= 4 * this.#limit + 64) this.#candidates = this.hits();
  }

  hits(): SearchHit[] {
    const seen = new Set<number>();
    const kept: SearchHit[] = [];
    for (const hit of this.#candidates.sort((a, b) => b.score - a.score || b.line - a.line)) {
      if (kept.length === this.#limit) break;
      if (seen.has(hit.line)) continue;
      seen.add(hit.line);
      kept.push(hit);
    }
    if (kept.length === this.#limit) this.least = kept.at(-1)?.score ?? -1;
    return kept;
  }
}

function gather(segment: Ranked, through: number, keys: readonly TermKey[], frequency: number[], list: RowList): Found {
  const starts = new Int32Array(keys.length);
  const counts = new Int32Array(keys.length);
  segment.prepare?.(keys);
  const hot: number[] = [];
  let ordinary = 0;
  for (const [i, key] of keys.entries()) {
    starts[i] = list.used;
    const count = segment.find(key, through, list);
    frequency[i] = (frequency[i] as number) + (count === HOT ? through : count);
    if (count === HOT) hot.push(i);
    else if (count > 0) {
      ordinary += 1;
      counts[i] = count;
    }
  }
  if (hot.length > 0 && ordinary < LEAST_TERMS) {
    const common = commonRows(
      segment,
      hot.map((i) => keys[i] as TermKey),
      through,
    );
    list.ensure(common.length).set(common, list.used);
    for (const i of hot) [starts[i], counts[i]] = [list.used, common.length];
    list.used += common.length;
  }
  return { segment, through, starts, counts };
}

/** Rows at or before `through` that have all the terms, the last HOT_ROWS of them. */
export function commonRows(segment: Ranked, keys: readonly TermKey[], through: number): Int32Array {
  let rows: Int32Array | undefined;
  for (const key of keys) {
    const here = segment.every(key);
    if (rows === undefined) {
      rows = here.slice(0, countThrough(here, through));
      continue;
    }
    let kept = 0;
    for (let i = 0, at = 0; i < rows.length; i += 1) {
      const row = rows[i] as number;
      while (at < here.length && (here[at] as number) < row) at += 1;
      if (here[at] === row) rows[kept++] = row;
    }
    rows = rows.subarray(0, kept);
    if (kept === 0) break;
  }
  return (rows ?? new Int32Array(0)).slice(-HOT_ROWS);
}

/** How many of ascending rows are at or before one. */
function countThrough(rows: Int32Array, through: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle] as number) <= through) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** round(64 x ln(1 + (n - df + 0.5) / (df + 0.5))), at least 1. */
function idf(df: number, n: number): number {
  return Math.max(1, Math.round(64 * Math.log(1 + (n - df + 0.5) / (df + 0.5))));
}
