// Postings as bytes: terms in the order of their hashes, in blocks of about 1 KB. An entry is the hash's upper half (as a
// difference), its lower 16 bits, the number of rows, then the rows as differences. A hot term's rows lie in a run of their
// own, so that passing over it costs nothing; the entry tells from which row on the term is hot.
import { grown } from './term-scan.ts';

/** A term in more rows of a segment than this is *hot* there: it does not choose candidates on its own. */
export const HOT_ROWS = 512;
const BLOCK_BYTES = 1024;
/** Rows of a longer entry are preceded by their size in bytes, so that a search passes over them. */
const FEW_ROWS = 4;

/** Where the blocks go. `firstTop`: the upper half of the first hash in the block. The bytes are the writer's: they change. */
export interface PostingsSink {
  block(bytes: Buffer, firstTop: number): void;
  /** Stores the rows of a hot term; the number names them. */
  run(bytes: Buffer): number;
  /** Told of each hot term: from which row on it is hot. */
  hot?(top: number, low: number, hotRow: number): void;
}

/** A term as the index knows it: 48 bits of its hash. */
export interface TermKey {
  readonly term: string;
  readonly top: number;
  readonly low: number;
}

/** Row numbers one after the other: what a query gathers lies side by side. */
export class RowList {
  rows: Int32Array = new Int32Array(1 << 14);
  used = 0;

  /** Room for so many more. */
  ensure(more: number): Int32Array {
    return (this.rows = roomFor(this.rows, this.used + more));
  }

  push(row: number): void {
    if (this.used === this.rows.length) this.ensure(1);
    this.rows[this.used++] = row;
  }
}

/** Said in place of a number of rows. */
export const HOT = -1;

export class PostingsWriter {
  readonly #sink: PostingsSink;
  #bytes: Buffer = Buffer.allocUnsafe(BLOCK_BYTES + 2 * HOT_ROWS * 5 + 64);
  #rowBytes: Buffer = Buffer.allocUnsafe(HOT_ROWS * 5);
  #used = 0;
  #firstTop = 0;
  #top = 0;

  constructor(sink: PostingsSink) {
    this.#sink = sink;
  }

  /** Terms come in the order of their hashes; `rows[from .. from + count - 1]` ascend. */
  term(top: number, low: number, rows: Int32Array, from: number, count: number): void {
    // All terms with one upper half are in one block, so that it alone finds the block.
    if (this.#used >= BLOCK_BYTES && top !== this.#top) this.#flush();
    if (this.#used === 0) {
      this.#firstTop = top;
      this.#top = 0;
    }
    this.#ensure(32 + 5 * Math.min(count, HOT_ROWS));
    const bytes = this.#bytes;
    let at = putNumber(bytes, this.#used, top - this.#top);
    this.#top = top;
    bytes[at++] = low & 0xff;
    bytes[at++] = low >>> 8;
    at = putNumber(bytes, at, count);
    if (count <= FEW_ROWS) {
      this.#used = putRows(bytes, at, rows, from, count);
      return;
    }
    if (count <= HOT_ROWS) {
      const used = putRows(this.#rowBytes, 0, rows, from, count);
      at = putNumber(bytes, at, used);
      this.#rowBytes.copy(bytes, at, 0, used);
      this.#used = at + used;
      return;
    }
    const run = Buffer.allocUnsafe(5 * count);
    const used = putRows(run, 0, rows, from, count);
    const hotRow = rows[from + HOT_ROWS] as number;
    this.#sink.hot?.(top, low, hotRow);
    at = putNumber(bytes, at, hotRow);
    at = putNumber(bytes, at, this.#sink.run(run.subarray(0, used)));
    this.#used = putNumber(bytes, at, used);
  }

  end(): void {
    if (this.#used > 0) this.#flush();
  }

  #ensure(more: number): void {
    if (this.#used + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe((this.#used + more) * 2);
    this.#bytes.copy(larger, 0, 0, this.#used);
    this.#bytes = larger;
  }

  #flush(): void {
    this.#sink.block(this.#bytes.subarray(0, this.#used), this.#firstTop);
    this.#used = 0;
  }
}

/** Writes a number in groups of 7 bits; returns where the next one goes. */
function putNumber(bytes: Buffer, at: number, value: number): number {
  let rest = value >>> 0;
  let to = at;
  while (rest > 0x7f) {
    bytes[to++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[to++] = rest;
  return to;
}

function putRows(bytes: Buffer, at: number, rows: Int32Array, from: number, count: number): number {
  let before = 0;
  let to = at;
  for (let i = from; i < from + count; i += 1) {
    const row = rows[i] as number;
    to = putNumber(bytes, to, row - before);
    before = row;
  }
  return to;
}

/** Reads the entries of one block in order. */
export class BlockReader {
  top = 0;
  low = 0;
  count = 0;
  hotRow = 0;
  run = 0;
  runBytes = 0;
  #bytes: Uint8Array = NO_BYTES;
  #at = 0;
  #end = 0;
  #rowsAt = 0;

  /** Begins with the block that lies at `bytes[at .. end - 1]`. */
  open(bytes: Uint8Array, at: number, end: number): this {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
    this.top = 0;
    return this;
  }

  /** Moves to the next entry; false at the end. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    this.top += this.#number();
    this.low = (this.#bytes[this.#at] as number) | ((this.#bytes[this.#at + 1] as number) << 8);
    this.#at += 2;
    this.count = this.#number();
    if (this.count > HOT_ROWS) {
      this.hotRow = this.#number();
      this.run = this.#number();
      this.runBytes = this.#number();
      return true;
    }
    if (this.count > FEW_ROWS) {
      const size = this.#number();
      this.#rowsAt = this.#at;
      this.#at += size;
      return true;
    }
    this.#rowsAt = this.#at;
    const bytes = this.#bytes;
    let at = this.#at;
    for (let left = this.count; left > 0; at += 1) if (((bytes[at] as number) & 0x80) === 0) left -= 1;
    this.#at = at;
    return true;
  }

  /** Moves to the entry of a term; false when the block has none. */
  find(top: number, low: number): boolean {
    while (this.next()) {
      if (this.top > top) return false;
      if (this.top === top && this.low === low) return true;
    }
    return false;
  }

  /** The rows of an entry that is not hot, from `into[from]` on. */
  rows(into: Int32Array, from: number): void {
    readRows(this.#bytes, this.#rowsAt, this.count, into, from);
  }

  #number(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#at++] as number;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let shift = 7; ; shift += 7) {
      byte = bytes[this.#at++] as number;
      value |= (byte & 0x7f) << shift;
      // Also at the end of the bytes, where there is nothing.
      if ((byte & 0x80) === 0) return value >>> 0;
    }
  }
}

const NO_BYTES = new Uint8Array(0);

/** Decodes `count` rows that begin at `at`. */
export function readRows(bytes: Uint8Array, at: number, count: number, into: Int32Array, from: number): void {
  let row = 0;
  for (let i = 0; i < count; i += 1) {
    let byte = bytes[at++] as number;
    let value = byte & 0x7f;
    for (let shift = 7; (byte & 0x80) !== 0; shift += 7) {
      byte = bytes[at++] as number;
      value |= (byte & 0x7f) << shift;
    }
    row += value;
    into[from + i] = row;
  }
}

/** Room for at least `length` numbers, what is there kept. */
export function roomFor(array: Int32Array, length: number): Int32Array {
  let larger = array;
  while (larger.length < length) larger = grown(larger, Int32Array);
  return larger;
}
