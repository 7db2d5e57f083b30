// Numbers of a gathering: most of them occur once, so each occurrence is kept as it comes and all are put in order at the
// end. A table of those met before would cost several looks far apart in memory for each.
import { roomFor } from './postings.ts';
import { grown } from './term-scan.ts';

/** So many upper bits of a hash are sorted by first. */
const BUCKET_BITS = 12;
const REST_BITS: number = 32 - BUCKET_BITS;
const REST_MASK: number = (1 << REST_BITS) - 1;
/** Occurrences in one bucket: what is left of 53 bits. */
const MOST_IN_BUCKET: number = 2 ** (53 - REST_BITS - 16);

export class LooseTerms {
  /** Of the group that `next` moved to. */
  top = 0;
  low = 0;
  /** Its rows, ascending, each once: `rows[0 .. count - 1]`. */
  rows: Int32Array = new Int32Array(64);
  count = 0;
  ended = true;
  #tops: Uint32Array = new Uint32Array(1024);
  #lows: Uint16Array = new Uint16Array(1024);
  #rowOf: Int32Array = new Int32Array(1024);
  #size = 0;
  /** Occurrences in the order of their hashes, those of one term as they came. */
  #order: Int32Array = new Int32Array(0);
  #at = 0;

  get size(): number {
    return this.#size;
  }

  /** Rows come in order. */
  add(top: number, low: number, row: number): void {
    const at = this.#size;
    if (at === this.#tops.length) {
      this.#tops = grown(this.#tops, Uint32Array);
      this.#lows = grown(this.#lows, Uint16Array);
      this.#rowOf = grown(this.#rowOf, Int32Array);
    }
    this.#tops[at] = top;
    this.#lows[at] = low;
    this.#rowOf[at] = row;
    this.#size = at + 1;
  }

  /** Rows of a term, ascending, each once: by reading all there is. */
  rowsOf(top: number, low: number): readonly number[] {
    const rows: number[] = [];
    const tops = this.#tops.subarray(0, this.#size);
    for (let at = tops.indexOf(top); at >= 0; at = tops.indexOf(top, at + 1)) {
      const row = this.#rowOf[at] as number;
      if (this.#lows[at] === low && rows.at(-1) !== row) rows.push(row);
    }
    return rows;
  }

  /** Puts all in order and moves to the first group. */
  begin(): void {
    const ends = new Int32Array((1 << BUCKET_BITS) + 1);
    const tops = this.#tops;
    const size = this.#size;
    for (let at = 0; at < size; at += 1) {
      const bucket = ((tops[at] as number) >>> REST_BITS) + 1;
      ends[bucket] = (ends[bucket] as number) + 1;
    }
    for (let bucket = 1; bucket < ends.length; bucket += 1) ends[bucket] = (ends[bucket] as number) + (ends[bucket - 1] as number);
    if (this.#order.length < size) this.#order = new Int32Array(this.#tops.length);
    const order = this.#order;
    for (let at = 0; at < size; at += 1) {
      const bucket = (tops[at] as number) >>> REST_BITS;
      const place = ends[bucket] as number;
      order[place] = at;
      ends[bucket] = place + 1;
    }
    let keys = new Float64Array(1024);
    let taken = new Int32Array(1024);
    for (let bucket = 0, from = 0; bucket < ends.length - 1; bucket += 1) {
      const end = ends[bucket] as number;
      const count = end - from;
      if (count > 1) {
        if (count > keys.length) [keys, taken] = [new Float64Array(count * 2), new Int32Array(count * 2)];
        for (let i = 0; i < count; i += 1) {
          const at = (taken[i] = order[from + i] as number);
          keys[i] = (((tops[at] as number) & REST_MASK) * 65_536 + (this.#lows[at] as number)) * MOST_IN_BUCKET + i;
        }
        const sorted = keys.subarray(0, count).sort();
        for (let i = 0; i < count; i += 1) order[from + i] = taken[(sorted[i] as number) % MOST_IN_BUCKET] as number;
      }
      from = end;
    }
    this.#at = 0;
    this.next();
  }

  /** Moves to the next group. */
  next(): void {
    this.count = 0;
    this.ended = this.#at >= this.#size;
    if (this.ended) return;
    const first = this.#order[this.#at] as number;
    this.top = this.#tops[first] as number;
    this.low = this.#lows[first] as number;
    for (; this.#at < this.#size; this.#at += 1) {
      const at = this.#order[this.#at] as number;
      if (this.#tops[at] !== this.top || this.#lows[at] !== this.low) break;
      const row = this.#rowOf[at] as number;
      if (this.count > 0 && this.rows[this.count - 1] === row) continue;
      this.rows = roomFor(this.rows, this.count + 1);
      this.rows[this.count++] = row;
    }
  }

  clear(): void {
    this.#size = 0;
    this.ended = true;
  }
}
