// Scores with integers only: the sum over terms of weight x idf x length norm (BM25 with each term counted once a
// passage). Pure function of the rows at or before `throughLine` and the query.
import type { Segment } from './segment.ts';
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

/** A segment with fewer ordinary terms than this also looks for rows that have all its hot terms. */
const LEAST_TERMS = 2;

/** norm[length] = 256 x (k1 + 1) / (1 + k1 x (1 - b + b x length / pivot)), k1 = 1.2, b = 0.5, pivot 40. */
const NORM: Int32Array = Int32Array.from({ length: 256 }, (_, length) => Math.round((256 * 2.2) / (1 + 1.2 * (0.5 + (0.5 * length) / 40))));

interface Found {
  readonly segment: Segment;
  readonly through: number;
  readonly rows: readonly (readonly number[])[];
}

export interface Ranking {
  /** The best lines, higher score first, later line first among equals. */
  readonly hits: readonly SearchHit[];
  /** For each query term: its idf in 1/64, or 0 when no passage has it. */
  readonly rarities: readonly number[];
}

export function rank(segments: readonly Segment[], query: readonly WeightedTerm[], limit: number, options: RankOptions): Ranking {
  const throughLine = options.throughLine ?? Number.MAX_SAFE_INTEGER;
  const found: Found[] = [];
  const frequency = query.map(() => 0);
  let total = 0;
  for (const segment of segments) {
    const through = segment.lastRowThrough(throughLine);
    if (through === 0) continue;
    total += through;
    found.push({ segment, through, rows: gather(segment, through, query, frequency) });
  }
  const rarities = frequency.map((df) => (df === 0 ? 0 : idf(df, total)));
  const value = query.map(({ weight }, i) => weight * (rarities[i] as number));
  const best = new Best(limit);
  for (const { segment, through, rows } of found) {
    if (scores.length <= through) scores = new Int32Array(through * 2);
    const touched: number[] = [];
    for (let i = 0; i < rows.length; i += 1) {
      const worth = value[i] as number;
      for (const row of rows[i] as readonly number[]) {
        if (scores[row] === 0) touched.push(row);
        scores[row] = (scores[row] as number) + worth;
      }
    }
    for (const row of touched) {
      best.add(segment.lineOf(row), Math.floor(((scores[row] as number) * (NORM[segment.lengthOf(row)] as number)) / 256));
      scores[row] = 0;
    }
  }
  return { hits: best.hits(), rarities };
}

/** Score by row of one segment; all zero between segments. */
let scores: Int32Array = new Int32Array(1024);

/** The best lines, each with the score of its best row. Holds a few times `limit` candidates, however many are added. */
class Best {
  readonly #limit: number;
  #candidates: SearchHit[] = [];
  /** No line below this can be among the best. */
  #least = -1;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(line: number, score: number): void {
    if (score < this.#least) return;
    this.#candidates.push({ line, score });
    if (this.#candidates.length >= 8 * this.#limit + 256) this.#candidates = this.hits();
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
    if (kept.length === this.#limit) this.#least = kept.at(-1)?.score ?? -1;
    return kept;
  }
}

function gather(segment: Segment, through: number, query: readonly WeightedTerm[], frequency: number[]): readonly (readonly number[])[] {
  const hot: number[] = [];
  let ordinary = 0;
  const rows = query.map(({ term }, i) => {
    const postings = segment.postings(term, through);
    frequency[i] = (frequency[i] as number) + (postings.hot ? through : postings.rows.length);
    if (postings.hot) hot.push(i);
    else if (postings.rows.length > 0) ordinary += 1;
    return postings.rows;
  });
  if (hot.length > 0 && ordinary < LEAST_TERMS) {
    const common = segment.common(
      hot.map((i) => (query[i] as WeightedTerm).term),
      through,
    );
    for (const i of hot) rows[i] = common;
  }
  return rows;
}

/** round(64 x ln(1 + (n - df + 0.5) / (df + 0.5))), at least 1. */
function idf(df: number, n: number): number {
  return Math.max(1, Math.round(64 * Math.log(1 + (n - df + 0.5) / (df + 0.5))));
}
