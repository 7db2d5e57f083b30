// Rows that are not written yet: for each term a chain through one log of (term, row) pairs, newest first. Filled by one
// write a pair, asked by following the chain, written in the order of hashes.
import { PostingsWriter, roomFor } from './postings.ts';
import type { PostingsSink } from './postings.ts';
import { TermScan, grown } from './term-scan.ts';

/** Pairs that are gathered at most: 8 bytes each. */
const MOST_PAIRS = 5 << 20;

/** One thread works on one gathering at a time; the words it knows are shared by all of them. */
const scans: TermScan[] = [];

export class Gathering {
  readonly #scan: TermScan = scans.pop() ?? new TermScan();
  /** By term id: log index + 1 of its newest pair; 0 when it has none. */
  #newest: Int32Array = new Int32Array(4096);
  #counts: Int32Array = new Int32Array(4096);
  /** Ids with pairs. */
  #ids: Int32Array = new Int32Array(4096);
  #used = 0;
  #before: Int32Array = new Int32Array(1 << 14);
  #rows: Int32Array = new Int32Array(1 << 14);
  #pairs = 0;

  constructor() {
    if (this.#scan.full) this.#scan.clear();
  }

  get pairs(): number {
    return this.#pairs;
  }

  /** True when it should be written before more is added. */
  get full(): boolean {
    return this.#pairs > MOST_PAIRS || this.#scan.full;
  }

  /** Gathers a passage as this row (rows ascend); returns its number of terms, repeats included. */
  add(row: number, text: string): number {
    const scan = this.#scan;
    scan.scan(text);
    const { distinct, ids } = scan;
    if (distinct === 0) return scan.count;
    while (scan.size > this.#newest.length) {
      this.#newest = grown(this.#newest, Int32Array);
      this.#counts = grown(this.#counts, Int32Array);
      this.#ids = grown(this.#ids, Int32Array);
    }
    while (this.#pairs + distinct > this.#rows.length) {
      this.#rows = grown(this.#rows, Int32Array);
      this.#before = grown(this.#before, Int32Array);
    }
    let pairs = this.#pairs;
    for (let i = 0; i < distinct; i += 1) {
      const id = ids[i] as number;
      const before = this.#newest[id] as number;
      if (before === 0) this.#ids[this.#used++] = id;
      this.#before[pairs] = before;
      this.#rows[pairs] = row;
      pairs += 1;
      this.#newest[id] = pairs;
      this.#counts[id] = (this.#counts[id] as number) + 1;
    }
    this.#pairs = pairs;
    return scan.count;
  }

  /** Rows of a term, ascending. */
  rowsOf(term: string): Int32Array {
    if (this.#pairs === 0) return new Int32Array(0);
    const id = this.#scan.idOf(term);
    const count = this.#counts[id] ?? 0;
    const rows = new Int32Array(count);
    if (count > 0) this.#follow(id, count, rows);
    return rows;
  }

  /** Writes every term and begins anew. */
  write(sink: PostingsSink): void {
    const scan = this.#scan;
    const writer = new PostingsWriter(sink);
    // The upper half of the hash and the place in `#ids`, as one number: sorted natively.
    const keys = new Float64Array(this.#used);
    for (let i = 0; i < this.#used; i += 1) keys[i] = scan.top(this.#ids[i] as number) * PLACES + i;
    keys.sort();
    const order = new Int32Array(this.#used);
    for (let i = 0; i < this.#used; i += 1) order[i] = this.#ids[(keys[i] as number) % PLACES] as number;
    for (let i = 1; i < order.length; i += 1)
      for (let at = i; at > 0; at -= 1) {
        const [left, right] = [order[at - 1] as number, order[at] as number];
        if (scan.top(left) !== scan.top(right) || scan.low(left) <= scan.low(right)) break;
        order[at - 1] = right;
        order[at] = left;
      }
    let rows: Int32Array = new Int32Array(1024);
    for (const id of order) {
      const count = this.#counts[id] as number;
      rows = roomFor(rows, count);
      this.#follow(id, count, rows);
      writer.term(scan.top(id), scan.low(id), rows, count);
      this.#newest[id] = 0;
      this.#counts[id] = 0;
    }
    writer.end();
    this.#used = 0;
    this.#pairs = 0;
    if (scan.full) scan.clear();
  }

  /** Gives its words to the next gathering of this thread. */
  close(): void {
    this.#pairs = 0;
    if (scans.length === 0) scans.push(this.#scan);
  }

  #follow(id: number, count: number, into: Int32Array): void {
    let at = this.#newest[id] as number;
    for (let i = count - 1; i >= 0; i -= 1) {
      into[i] = this.#rows[at - 1] as number;
      at = this.#before[at - 1] as number;
    }
  }
}

const PLACES = 1 << 20;
