// Rows that are not written yet: one log of term ids in the order of rows. Filled by one write a term, asked by reading the
// log, written in the order of hashes.
import { LooseTerms } from './loose-terms.ts';
import { PostingsWriter, roomFor } from './postings.ts';
import type { PostingsSink, TermKey } from './postings.ts';
import { TermScan, grown } from './term-scan.ts';

/** Terms of rows that are gathered at most: 4 bytes each. */
const MOST_PAIRS = (1 << 22) - (1 << 16);
/** So many rows are put in the order of terms at once. */
const ROWS_AT_ONCE = 1 << 20;

/** With more than this known at its beginning, a large gathering would have to be written in two parts. */
const KNOWN_TERMS: number = 1 << 18;

/** What a gathering leaves to the next one of its thread: the words it knows, and arrays that have grown. */
interface Tools {
  readonly scan: TermScan;
  /** All zero. */
  readonly counts: Int32Array;
  readonly log: Int32Array;
  /** Empty. */
  readonly loose: LooseTerms;
}

/** One thread works on one gathering at a time. */
let tools: Tools | undefined;
/** Used while a gathering is written: terms in order, where the next row of a term goes (-1: nowhere), rows of a few terms. */
let ordered: Float64Array = new Float64Array(1024);
let next: Int32Array = new Int32Array(1024).fill(-1);
/** A write that failed leaves places in `next`. */
let writing = false;
let scattered: Int32Array = new Int32Array(1024);

function takeTools(): Tools {
  const taken = tools ?? {
    scan: new TermScan('apart'),
    counts: new Int32Array(4096),
    log: new Int32Array(1 << 14),
    loose: new LooseTerms(),
  };
  tools = undefined;
  return taken;
}

export class Gathering {
  readonly #scan: TermScan;
  /** Rows with a term, by term id. */
  #counts: Int32Array;
  #log: Int32Array;
  /** Numbers, each occurrence. */
  readonly #loose: LooseTerms;
  #pairs = 0;
  #firstRow = 0;
  /** Where each row ends in the log. */
  #ends: Int32Array = new Int32Array(1024);
  #rows = 0;

  constructor() {
    const { scan, counts, log, loose } = takeTools();
    if (scan.size > KNOWN_TERMS) scan.clear();
    this.#scan = scan;
    this.#counts = counts;
    this.#log = log;
    this.#loose = loose;
  }

  get pairs(): number {
    return this.#pairs + this.#loose.size;
  }

  /** True when it should be written before more is added. */
  get full(): boolean {
    return this.pairs > MOST_PAIRS || this.#scan.full;
  }

  /** Gathers a passage as this row (rows follow each other); returns its number of terms, repeats included. */
  add(row: number, text: string): number {
    const scan = this.#scan;
    scan.scan(text);
    const { distinct, ids } = scan;
    if (scan.count === 0) return 0;
    for (let i = 0; i < scan.apart; i += 1) this.#loose.add(scan.apartTops[i] as number, scan.apartLows[i] as number, row);
    if (this.#rows === 0) this.#firstRow = row;
    while (scan.size > this.#counts.length) this.#counts = grown(this.#counts, Int32Array);
    while (this.#pairs + distinct > this.#log.length) this.#log = grown(this.#log, Int32Array);
    if (this.#rows === this.#ends.length) this.#ends = grown(this.#ends, Int32Array);
    const counts = this.#counts;
    let pairs = this.#pairs;
    for (let i = 0; i < distinct; i += 1) {
      const id = ids[i] as number;
      this.#log[pairs++] = id;
      counts[id] = (counts[id] as number) + 1;
    }
    this.#pairs = pairs;
    this.#ends[this.#rows++] = pairs;
    return scan.count;
  }

  /** Rows of a term, ascending. */
  rowsOf({ term, top, low }: TermKey): readonly number[] {
    const apart = /^[0-9]/.test(term) ? this.#loose.rowsOf(top, low) : [];
    const rows = this.#rowsOfId(term);
    if (apart.length === 0) return rows;
    return rows.length === 0 ? apart : [...new Set([...rows, ...apart])].sort((a, b) => a - b);
  }

  #rowsOfId(term: string): readonly number[] {
    const id = this.#scan.idOf(term);
    const rows: number[] = [];
    let row = 0;
    for (let left = this.#counts[id] ?? 0, at = -1; left > 0; left -= 1) {
      at = this.#log.indexOf(id, at + 1);
      while ((this.#ends[row] as number) <= at) row += 1;
      rows.push(this.#firstRow + row);
    }
    return rows;
  }

  /** Writes every term and begins anew. */
  write(sink: PostingsSink): void {
    const scan = this.#scan;
    const writer = new PostingsWriter(sink);
    const order = this.#order();
    const loose = this.#loose;
    loose.begin();
    if (writing || next.length < this.#counts.length) next = new Int32Array(this.#counts.length).fill(-1);
    writing = true;
    // Each term's rows side by side, in the order in which terms are written: a pass through the log for every few terms.
    for (let first = 0, last = 0; first < order.length; first = last) {
      let total = 0;
      for (; last < order.length; last += 1) {
        const id = idIn(order[last] as number);
        const count = this.#counts[id] as number;
        if (last > first && total + count > ROWS_AT_ONCE) break;
        next[id] = total;
        total += count;
      }
      const rows = (scattered = roomFor(scattered, total));
      this.#scatter(rows);
      for (let i = first, from = 0; i < last; i += 1) {
        const key = order[i] as number;
        const id = idIn(key);
        const end = next[id] as number;
        const [top, low] = [topIn(key), scan.low(id)];
        while (!loose.ended && (loose.top < top || (loose.top === top && loose.low < low))) {
          writer.term(loose.top, loose.low, loose.rows, 0, loose.count);
          loose.next();
        }
        if (!loose.ended && loose.top === top && loose.low === low) {
          const both = Int32Array.from(new Set([...rows.subarray(from, end), ...loose.rows.subarray(0, loose.count)])).sort();
          writer.term(top, low, both, 0, both.length);
          loose.next();
        } else writer.term(top, low, rows, from, end - from);
        from = end;
        next[id] = -1;
      }
    }
    for (; !loose.ended; loose.next()) writer.term(loose.top, loose.low, loose.rows, 0, loose.count);
    writer.end();
    writing = false;
    loose.clear();
    this.#counts.fill(0);
    this.#pairs = 0;
    this.#rows = 0;
    if (scan.full) scan.clear();
  }

  /** Puts each row of a term with a place in `next` there, and moves the place on. */
  #scatter(rows: Int32Array): void {
    const log = this.#log;
    const to = next;
    for (let row = 0, at = 0; row < this.#rows; row += 1) {
      const number = this.#firstRow + row;
      for (const end = this.#ends[row] as number; at < end; at += 1) {
        const id = log[at] as number;
        const place = to[id] as number;
        if (place < 0) continue;
        rows[place] = number;
        to[id] = place + 1;
      }
    }
  }

  /** Terms with rows in the order of their hashes, each as the upper half of its hash and its id. */
  #order(): Float64Array {
    const scan = this.#scan;
    const known = Math.min(scan.size, this.#counts.length);
    let used = 0;
    for (let id = 0; id < known; id += 1) if (this.#counts[id] !== 0) used += 1;
    // Hashes are spread evenly: a few terms in each bucket.
    const ends = new Int32Array(BUCKETS + 1);
    for (let id = 0; id < known; id += 1) {
      const bucket = (scan.top(id) >>> BUCKET_SHIFT) + 1;
      if (this.#counts[id] !== 0) ends[bucket] = (ends[bucket] as number) + 1;
    }
    for (let bucket = 1; bucket <= BUCKETS; bucket += 1) ends[bucket] = (ends[bucket] as number) + (ends[bucket - 1] as number);
    if (ordered.length < used) ordered = new Float64Array(Math.max(used, ordered.length * 2));
    const keys = ordered.subarray(0, used);
    for (let id = 0; id < known; id += 1) {
      if (this.#counts[id] === 0) continue;
      const top = scan.top(id);
      const bucket = top >>> BUCKET_SHIFT;
      const at = ends[bucket] as number;
      keys[at] = top * PLACES + id;
      ends[bucket] = at + 1;
    }
    for (let bucket = 0, from = 0; bucket < BUCKETS; bucket += 1) {
      const end = ends[bucket] as number;
      if (end - from > FEW_TERMS) keys.subarray(from, end).sort();
      this.#putInOrder(keys, from, end);
      from = end;
    }
    return keys;
  }

  /** By insertion; terms with the same upper half in the order of the lower one. */
  #putInOrder(keys: Float64Array, from: number, end: number): void {
    for (let i = from + 1; i < end; i += 1) {
      const key = keys[i] as number;
      const top = topIn(key);
      let at = i;
      for (; at > from; at -= 1) {
        const before = keys[at - 1] as number;
        const topBefore = topIn(before);
        if (topBefore < top || (topBefore === top && this.#scan.low(idIn(before)) <= this.#scan.low(idIn(key)))) break;
        keys[at] = before;
      }
      keys[at] = key;
    }
  }

  /** Gives what it knows to the next gathering of this thread. */
  close(): void {
    if (this.#pairs > 0) this.#counts.fill(0);
    this.#pairs = 0;
    this.#loose.clear();
    tools ??= { scan: this.#scan, counts: this.#counts, log: this.#log, loose: this.#loose };
  }
}

const PLACES = 1 << 20;
const BUCKETS = 1 << 16;
const BUCKET_SHIFT = 16;
/** Terms of a bucket that are not worth a call. */
const FEW_TERMS = 24;

function topIn(key: number): number {
  return Math.floor(key / PLACES);
}

/** By subtraction: the remainder of two doubles is a slow call. */
function idIn(key: number): number {
  return key - topIn(key) * PLACES;
}
