// Rows of a segment: passages, numbered from 1 in line order. Of each, its line and its number of terms.
import { grown } from './term-scan.ts';

export class RowMap {
  /** Lines before the segment: row lines are `baseLine + offset`, offset from 1. */
  readonly baseLine: number;
  #lines: Uint16Array = new Uint16Array(256);
  #lengths: Uint8Array = new Uint8Array(256);
  #rows = 0;

  constructor(baseLine: number) {
    this.baseLine = baseLine;
  }

  get rows(): number {
    return this.#rows;
  }

  lineOf(row: number): number {
    return this.baseLine + (this.#lines[row - 1] as number) + 1;
  }

  /** Terms in the row, 0 to 255. */
  lengthOf(row: number): number {
    return this.#lengths[row - 1] as number;
  }

  /** The last row at or before a line. Binary search. */
  lastRowThrough(line: number): number {
    let low = 0;
    let high = this.#rows;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.lineOf(middle) <= line) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  push(line: number, terms: number): void {
    if (this.#rows === this.#lines.length) {
      this.#lines = grown(this.#lines, Uint16Array);
      this.#lengths = grown(this.#lengths, Uint8Array);
    }
    this.#lines[this.#rows] = line - this.baseLine - 1;
    this.#lengths[this.#rows] = Math.min(255, terms);
    this.#rows += 1;
  }

  /** Rows as `lineBytes` and `lengthBytes` gave them, behind those there are. */
  load(lines: Uint8Array, lengths: Uint8Array): void {
    const from = this.#rows;
    this.#rows += lengths.length;
    if (this.#lines.length < this.#rows) {
      const size = from === 0 ? this.#rows : this.#rows * 2;
      const [longer, lengthsLonger] = [new Uint16Array(size), new Uint8Array(size)];
      longer.set(this.#lines.subarray(0, from));
      lengthsLonger.set(this.#lengths.subarray(0, from));
      [this.#lines, this.#lengths] = [longer, lengthsLonger];
    }
    new Uint8Array(this.#lines.buffer).set(lines, from * 2);
    this.#lengths.set(lengths, from);
  }

  lineBytes(from: number): Buffer {
    return Buffer.from(this.#lines.slice(from, this.#rows).buffer);
  }

  lengthBytes(from: number): Buffer {
    return Buffer.from(this.#lengths.slice(from, this.#rows));
  }
}
