// The index of one session: sealed segments on a grid of lines, and one open segment. Layout of the directory:
// `segment-<n>` (sealed, n from 0, no gaps), then `open-<n>.db`: those that are complete and not sealed yet, and the one that
// grows. All of it is derived and may be deleted.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import type { LineMark } from '../abi/line-mark.ts';
import { rank, type RankOptions, type Ranking, type WeightedTerm } from './rank.ts';
import type { Steps } from '../abi/steps.ts';
import { SealedSegment } from './sealed-segment.ts';
import { DAMAGED } from './sums.ts';
import { Segment, buildSealed, removeSegment, unmarked } from './segment.ts';
import { terms } from './terms.ts';
import type { RecallIndex, SearchDoc, SearchHit } from './types.ts';
import { SEGMENT_LINES } from './version.ts';

/** An index that also answers weighted queries (recall). */
export interface TermIndex extends RecallIndex {
  rank(query: readonly WeightedTerm[], limit: number, options?: RankOptions): readonly SearchHit[];
  /** `rank` with the rarity of each term. */
  ranking(query: readonly WeightedTerm[], limit: number, options?: RankOptions): Ranking;
  /** Segments with a line at or before this one. */
  segmentsThrough(line: number): number;
  /** Segments that are complete and not sealed yet: they answer as well, at a little more cost. */
  readonly unsealed: number;
  /** Seals them, in steps of a few milliseconds; ends early when the index is closed. */
  seal(): Steps<void>;
  /** A segment turned out to be damaged, and was removed: close the index and open it again. */
  readonly damaged: boolean;
}

/**
 * Opens or creates the index in a directory. A file of another version, of another history or one that cannot be read is
 * dropped, with all later ones: `lastLine` then says where to go on. A file that cannot be opened now (no descriptor is left)
 * is an error, and stays.
 */
export function openRecallIndex(directory: string, markOf: LineMark = unmarked): TermIndex {
  mkdirSync(directory, { recursive: true });
  return new SegmentedIndex(directory, markOf);
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
  mark: string = '',
): void {
  mkdirSync(directory, { recursive: true });
  const building = join(directory, `building-${number}.db`);
  removeSegment(building);
  const ordered = function* (): Generator<SearchDoc> {
    for (const doc of docs) {
      if (segmentOfLine(doc.line) !== number) throw new CtxError('search.order', 'EINVAL', `line ${doc.line} is not in segment ${number}`);
      yield doc;
    }
  };
  removeSegment(openPath(directory, number));
  if (throughLine === (number + 1) * SEGMENT_LINES) {
    buildSealed(sealedPath(directory, number), number, ordered(), building, mark);
    return;
  }
  const segment = new Segment(building, number, 'building', () => mark);
  for (const doc of ordered()) segment.add([doc], doc.line);
  segment.add([], throughLine);
  segment.finish(openPath(directory, number));
}

class SegmentedIndex implements TermIndex {
  readonly #directory: string;
  readonly #markOf: LineMark;
  readonly #sealed: SealedSegment[] = [];
  /** Complete, and not sealed yet. */
  readonly #full: Segment[] = [];
  #open: Segment;
  /** One for all who ask. */
  #sealing: Steps<void> | undefined;
  #damaged = false;
  #closed = false;

  constructor(directory: string, markOf: LineMark) {
    this.#directory = directory;
    this.#markOf = markOf;
    try {
      this.#openSealed();
      this.#open = this.#openGrowing();
    } catch (error) {
      for (const segment of [...this.#sealed, ...this.#full]) segment.close();
      throw error;
    }
    const first = this.#sealed.length;
    const next = first + this.#full.length;
    for (const name of readdirSync(directory)) {
      const open = Number(/^open-([0-9]+)\.db$/.exec(name)?.[1] ?? first);
      const sealed = Number(/^segment-([0-9]+)$/.exec(name)?.[1] ?? -1);
      // Also what an interrupted build or another version left.
      if (open < first || open > next || sealed > first || /^segment-[0-9]+\.(?:db|sealing)$|^building-/.test(name))
        removeSegment(join(directory, name));
    }
  }

  #openSealed(): void {
    for (;;) {
      const number = this.#sealed.length;
      const path = sealedPath(this.#directory, number);
      const segment = openSealed(path, number);
      if (segment === undefined) return;
      if (segment.mark !== this.#markOf(segment.lastLine)) {
        segment.close();
        rmSync(path);
        return;
      }
      this.#sealed.push(segment);
    }
  }

  #openGrowing(): Segment {
    for (;;) {
      const number = this.#sealed.length + this.#full.length;
      const path = openPath(this.#directory, number);
      const segment = openGrowing(path, number, this.#markOf) ?? new Segment(path, number, 'open', this.#markOf);
      if (!segment.complete) return segment;
      this.#full.push(segment);
    }
  }

  get lastLine(): number {
    return this.#open.lastLine;
  }

  add(docs: readonly SearchDoc[], throughLine: number): void {
    let at = 0;
    while (at < docs.length || this.lastLine < throughLine) {
      const edge = this.#open.map.baseLine + SEGMENT_LINES;
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
      if (this.#open.complete) this.#begin();
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
    try {
      return rank([...this.#sealed, ...this.#full, this.#open], query, limit, options);
    } catch (error) {
      this.#dropDamaged(error);
      throw error;
    }
  }

  /** IDX-5: it is never asked again. */
  #dropDamaged(error: unknown): void {
    if (!(error instanceof CtxError) || error.code !== DAMAGED || error.where === undefined) return;
    this.#damaged = true;
    removeSegment(error.where);
  }

  segmentsThrough(line: number): number {
    return Math.min(segmentOfLine(Math.max(1, line)), this.#sealed.length + this.#full.length) + 1;
  }

  get unsealed(): number {
    return this.#full.length;
  }

  get damaged(): boolean {
    return this.#damaged;
  }

  seal(): Steps<void> {
    return (this.#sealing ??= this.#sealAll());
  }

  *#sealAll(): Steps<void> {
    try {
      yield* this.#sealFull();
    } catch (error) {
      this.#dropDamaged(error);
      throw error;
    } finally {
      // Also after a failure: whoever comes next tries again.
      this.#sealing = undefined;
    }
  }

  *#sealFull(): Steps<void> {
    for (let segment = this.#full[0]; segment !== undefined && !this.#closed; segment = this.#full[0]) {
      const number = this.#sealed.length;
      const path = sealedPath(this.#directory, number);
      if (!(yield* segment.seal(path))) break;
      this.#sealed.push(new SealedSegment(path, number));
      this.#full.shift();
      segment.close();
      removeSegment(segment.path);
      yield;
    }
  }

  flush(): void {
    this.#open.flush();
  }

  close(): void {
    this.#closed = true;
    for (const segment of [...this.#sealed, ...this.#full, this.#open]) segment.close();
    // It leaves nothing behind.
    while (this.#sealing?.next().done === false);
  }

  /** The next segment: the one that is complete is sealed by and by. */
  #begin(): void {
    this.#open.flush();
    // The cache was deleted meanwhile: it is made again, but nothing that it lay in (DRV-7).
    for (const path of [dirname(this.#directory), this.#directory]) if (!existsSync(path)) mkdirSync(path, { mode: 0o700 });
    const number = this.#sealed.length + this.#full.length + 1;
    const next = new Segment(openPath(this.#directory, number), number, 'open', this.#markOf);
    this.#full.push(this.#open);
    this.#open = next;
  }
}

function sealedPath(directory: string, number: number): string {
  return join(directory, `segment-${number}`);
}

function openPath(directory: string, number: number): string {
  return join(directory, `open-${number}.db`);
}

/** Undefined (and the file removed) when it is unreadable, incomplete, of another version or of another history. */
function openGrowing(path: string, number: number, markOf: LineMark): Segment | undefined {
  if (!existsSync(path)) return undefined;
  let segment: Segment | undefined;
  try {
    segment = new Segment(path, number, 'open', markOf);
    if (segment.usable) return segment;
  } catch (error) {
    // Derived bytes: whatever is wrong with them, they are built again.
    if (statSync(path).isFile() && isOfTheMoment(error)) throw error;
  }
  segment?.close();
  removeSegment(path);
  return undefined;
}

/** libsql gives no code when not even a connection can be made. */
const OF_THE_MOMENT = /^(?:|EMFILE|ENFILE|ENOMEM|ENOSPC|EDQUOT|EACCES|EPERM|SQLITE_(?:CANTOPEN|NOMEM|FULL|BUSY|PERM).*)$/;

/** Nothing is wrong with the file: there are no descriptors, no memory, no room, or the program may not look at it. */
function isOfTheMoment(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return typeof code === 'string' && OF_THE_MOMENT.test(code);
}

function openSealed(path: string, number: number): SealedSegment | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return new SealedSegment(path, number);
  } catch (error) {
    if (isOfTheMoment(error)) throw error;
    // Whatever has its name: a directory too.
    rmSync(path, { force: true, recursive: true });
    return undefined;
  }
}
