// The index of one session: sealed segments on a grid of lines, and one open segment. Layout of the directory:
// `segment-<n>.db` (sealed, n from 0, no gaps), `open-<n>.db`. All of it is derived and may be deleted.
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { rank, type RankOptions, type Ranking, type WeightedTerm } from './rank.ts';
import { SEARCH_VERSION, SEGMENT_LINES, Segment, removeSegment } from './segment.ts';
import { terms } from './terms.ts';
import type { RecallIndex, SearchDoc, SearchHit } from './types.ts';

/** An index that also answers weighted queries (recall). */
export interface TermIndex extends RecallIndex {
  rank(query: readonly WeightedTerm[], limit: number, options?: RankOptions): readonly SearchHit[];
  /** `rank` with the rarity of each term. */
  ranking(query: readonly WeightedTerm[], limit: number, options?: RankOptions): Ranking;
  /** Segments with a line at or before this one. */
  segmentsThrough(line: number): number;
}

/**
 * Opens or creates the index in a directory. A file of another version or one that SQLite cannot read is dropped,
 * with all later ones: `lastLine` then says where to go on.
 */
export function openRecallIndex(directory: string): TermIndex {
  mkdirSync(directory, { recursive: true });
  return new SegmentedIndex(directory);
}

/** The segment that holds a line (1-based lines, 0-based segments). */
export function segmentOfLine(line: number): number {
  return Math.floor((line - 1) / SEGMENT_LINES);
}

/**
 * Builds segment `number` from the documents of its first lines (`number * SEGMENT_LINES + 1` to `throughLine`), in order,
 * while no index is open in the directory: for a pool of workers. Sealed when its lines are complete, else open for more. The file appears
 * under its name when it is done.
 */
export function buildSegment(
  directory: string,
  number: number,
  docs: Iterable<SearchDoc>,
  throughLine: number = (number + 1) * SEGMENT_LINES,
): void {
  mkdirSync(directory, { recursive: true });
  const building = join(directory, `building-${number}.db`);
  removeSegment(building);
  const segment = new Segment(building, number, 'building');
  for (const doc of docs) {
    if (segmentOfLine(doc.line) !== number) throw new CtxError('search.order', 'EINVAL', `line ${doc.line} is not in segment ${number}`);
    segment.add([doc], doc.line);
  }
  segment.add([], throughLine);
  if (throughLine === (number + 1) * SEGMENT_LINES) segment.seal(sealedPath(directory, number));
  else {
    removeSegment(openPath(directory, number));
    segment.finish(openPath(directory, number));
  }
}

class SegmentedIndex implements TermIndex {
  readonly #directory: string;
  readonly #sealed: Segment[] = [];
  #open: Segment;

  constructor(directory: string) {
    this.#directory = directory;
    for (;;) {
      const path = sealedPath(directory, this.#sealed.length);
      const segment = existsSync(path) ? tryOpen(path, this.#sealed.length, true) : undefined;
      if (segment === undefined) break;
      this.#sealed.push(segment);
    }
    const next = this.#sealed.length;
    for (const name of readdirSync(directory)) {
      const match = /^open-([0-9]+)\.db$/.exec(name);
      if (match !== null && Number(match[1]) !== next) removeSegment(join(directory, name));
    }
    this.#open = tryOpen(openPath(directory, next), next, false) ?? new Segment(openPath(directory, next), next, 'open');
  }

  get lastLine(): number {
    return this.#open.lastLine;
  }

  add(docs: readonly SearchDoc[], throughLine: number): void {
    let at = 0;
    while (at < docs.length || this.lastLine < throughLine) {
      const edge = this.#open.baseLine + SEGMENT_LINES;
      let next = at;
      let before = Math.max(this.lastLine, docs[at - 1]?.line ?? 0);
      while (next < docs.length && (docs[next] as SearchDoc).line <= edge) {
        const { line } = docs[next] as SearchDoc;
        if (line <= before || line > throughLine)
          throw new CtxError('search.order', 'EINVAL', `line ${line} does not follow line ${before}`);
        before = line;
        next += 1;
      }
      this.#open.add(docs.slice(at, next), Math.min(edge, throughLine));
      at = next;
      if (this.lastLine === edge) this.#seal();
    }
  }

  query(text: string, limit: number): readonly SearchHit[] {
    return this.rank(
      [...new Set(terms(text))].map((term) => ({ term, weight: 16 })),
      limit,
    );
  }

  rank(query: readonly WeightedTerm[], limit: number, options: RankOptions = {}): readonly SearchHit[] {
    return this.ranking(query, limit, options).hits;
  }

  ranking(query: readonly WeightedTerm[], limit: number, options: RankOptions = {}): Ranking {
    return rank([...this.#sealed, this.#open], query, limit, options);
  }

  segmentsThrough(line: number): number {
    return Math.min(segmentOfLine(Math.max(1, line)), this.#sealed.length) + 1;
  }

  flush(): void {
    this.#open.flush();
  }

  close(): void {
    for (const segment of this.#sealed) segment.close();
    this.#open.close();
  }

  #seal(): void {
    const number = this.#sealed.length;
    const path = sealedPath(this.#directory, number);
    this.#open.seal(path);
    this.#sealed.push(new Segment(path, number, 'sealed'));
    this.#open = new Segment(openPath(this.#directory, number + 1), number + 1, 'open');
  }
}

function sealedPath(directory: string, number: number): string {
  return join(directory, `segment-${number}.db`);
}

function openPath(directory: string, number: number): string {
  return join(directory, `open-${number}.db`);
}

/** Undefined (and the file removed) when it is unreadable, incomplete or of another version. */
function tryOpen(path: string, number: number, sealed: boolean): Segment | undefined {
  let segment: Segment | undefined;
  try {
    segment = new Segment(path, number, sealed ? 'sealed' : 'open');
    if (segment.version === SEARCH_VERSION && (!sealed || segment.lastLine === (number + 1) * SEGMENT_LINES)) return segment;
  } catch {
    // Derived bytes: whatever is wrong with them, they are built again.
  }
  segment?.close();
  removeSegment(path);
  return undefined;
}
