// A sealed segment: one file that never changes. A line of text with the version, then blocks and runs as they were written,
// then the directory: where blocks lie, the upper halves of their first hashes and their sums, the hot terms, and the rows' map to lines; at
// the end how long all of that is and the mark of the history it is of, with their digest. A term is found by one step in memory and one read of about 1 KB.
// What is read is checked: damaged bytes are an error, never an answer.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { CtxError } from '../abi/errors.ts';
import { BlockReader, HOT, HOT_ROWS, readRows } from './postings.ts';
import type { PostingsSink, RowList, TermKey } from './postings.ts';
import { RowMap } from './row-map.ts';
import { DAMAGED, sumOf } from './sums.ts';
import { SEARCH_VERSION, SEGMENT_FORMAT, SEGMENT_LINES } from './version.ts';

const HEAD: Buffer = Buffer.from(`ctxfs recall segment ${SEARCH_VERSION}.${SEGMENT_FORMAT}\n`);
/** At the end of the file: number, blocks, hot terms, rows, last line; then the mark of history, and the digest of all that and the directory. */
const TAIL_NUMBERS = 5;
const MARK_BYTES = 64;
const DIGEST_BYTES = 32;
const TOLD_BYTES: number = TAIL_NUMBERS * 4 + MARK_BYTES;
const TAIL_BYTES: number = TOLD_BYTES + DIGEST_BYTES;
const WRITE_BYTES = 1 << 18;

/** Terms come in the order of their hashes, then `finish`. Nothing has the file's name before it is whole and durable. */
export class SealedWriter implements PostingsSink {
  readonly #path: string;
  readonly #fd: number;
  readonly #buffer: Buffer = Buffer.allocUnsafe(WRITE_BYTES);
  #buffered = 0;
  #offset = 0;
  readonly #tops: number[] = [];
  readonly #starts: number[] = [];
  readonly #sizes: number[] = [];
  readonly #sums: number[] = [];
  readonly #hot: number[] = [];
  #closed = false;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'w', 0o644);
    this.#append(HEAD);
  }

  block(bytes: Buffer, firstTop: number): void {
    this.#tops.push(firstTop);
    this.#starts.push(this.#offset);
    this.#sizes.push(bytes.length);
    this.#sums.push(sumOf(bytes, 0, bytes.length));
    this.#append(bytes);
  }

  run(bytes: Buffer): number {
    const at = this.#offset;
    this.#append(bytes);
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(sumOf(bytes, 0, bytes.length));
    this.#append(sum);
    return at;
  }

  hot(top: number, low: number, hotRow: number): void {
    this.#hot.push(top, low, hotRow);
  }

  finish(path: string, number: number, rows: RowMap, mark: string): void {
    const directory = Buffer.concat([
      ...[this.#tops, this.#starts, this.#sizes, this.#sums, this.#hot].map((numbers) => Buffer.from(Uint32Array.from(numbers).buffer)),
      rows.lineBytes(0),
      rows.lengthBytes(0),
    ]);
    const numbers = Uint32Array.of(number, this.#tops.length, this.#hot.length / 3, rows.rows, SEGMENT_LINES * (number + 1));
    const tail = Buffer.alloc(TOLD_BYTES);
    tail.set(Buffer.from(numbers.buffer));
    tail.write(mark, TAIL_NUMBERS * 4, MARK_BYTES, 'latin1');
    this.#append(directory);
    this.#append(tail);
    this.#append(createHash('sha256').update(directory).update(tail).digest());
    this.#flush();
    // Durable before it has its name: a crash leaves a file that is built again, never one with holes.
    fsyncSync(this.#fd);
    this.#close();
    renameSync(this.#path, path);
  }

  /** Leaves nothing; also after `finish` failed. */
  abandon(): void {
    this.#close();
    rmSync(this.#path, { force: true });
  }

  /** Once: by then another thread's file may have the number. */
  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  #append(bytes: Buffer): void {
    this.#offset += bytes.length;
    if (this.#buffered + bytes.length > this.#buffer.length) this.#flush();
    if (bytes.length > this.#buffer.length) writeWhole(this.#fd, bytes);
    else this.#buffered += bytes.copy(this.#buffer, this.#buffered);
  }

  #flush(): void {
    writeWhole(this.#fd, this.#buffer.subarray(0, this.#buffered));
    this.#buffered = 0;
  }
}

/** Questions share many words, and the one at an epoch's start was just asked: blocks are kept, any may go. Shared by a thread. */
const KEPT_BLOCKS = 4096;
const SLOT_BYTES = 1536;
let keptKeys: Float64Array | undefined;
let keptBytes: Buffer | undefined;
const FILE_SPAN = 2 ** 24;
let files = 0;

const reader = new BlockReader();
let scratch: Buffer = Buffer.alloc(1 << 16);

export class SealedSegment {
  readonly path: string;
  readonly map: RowMap;
  readonly lastLine: number;
  /** Of the history that it was made of. */
  readonly mark: string;
  readonly #file: number = ++files;
  readonly #fd: number;
  readonly #tops: Uint32Array;
  readonly #starts: Uint32Array;
  readonly #sizes: Uint32Array;
  readonly #sums: Uint32Array;
  /** By the term: from which row on it is hot. Nothing is read for those. */
  readonly #hot = new Map<number, number>();
  #decoded: Int32Array = new Int32Array(0);

  /** Throws when the file is damaged, of another version or another segment's. */
  constructor(path: string, number: number) {
    this.path = path;
    this.#fd = openSync(path, 'r');
    try {
      const { size } = fstatSync(this.#fd);
      const head = this.#read(0, Math.min(HEAD.length, size));
      if (!head.equals(HEAD) || size < HEAD.length + TAIL_BYTES) throw this.#damaged('it is of another version');
      const tail = Buffer.from(this.#read(size - TAIL_BYTES, TAIL_BYTES));
      const [own = 0, blocks = 0, hot = 0, rows = 0, last = 0] = Array.from({ length: TAIL_NUMBERS }, (_, i) => tail.readUInt32LE(i * 4));
      const hotAt = blocks * 16;
      const rowsAt = hotAt + hot * 12;
      const directoryBytes = rowsAt + rows * 3;
      if (own !== number || HEAD.length + directoryBytes + TAIL_BYTES > size) throw this.#damaged('its end is not its own');
      const directory = this.#read(size - TAIL_BYTES - directoryBytes, directoryBytes);
      const digest = createHash('sha256').update(directory).update(tail.subarray(0, TOLD_BYTES)).digest();
      if (!digest.equals(tail.subarray(TOLD_BYTES))) throw this.#damaged('its directory is not what was written');
      const numbers = (place: number): Uint32Array => {
        const into = new Uint32Array(blocks);
        Buffer.from(into.buffer).set(directory.subarray(place * blocks * 4, (place + 1) * blocks * 4));
        return into;
      };
      [this.#tops, this.#starts, this.#sizes, this.#sums] = [numbers(0), numbers(1), numbers(2), numbers(3)];
      this.map = new RowMap(number * SEGMENT_LINES);
      this.map.load(directory.subarray(rowsAt, rowsAt + rows * 2), directory.subarray(rowsAt + rows * 2));
      for (let at = hotAt; at < rowsAt; at += 12)
        this.#hot.set(hotKey(directory.readUInt32LE(at), directory.readUInt32LE(at + 4)), directory.readUInt32LE(at + 8));
      this.lastLine = last;
      this.mark = tail.toString('latin1', TAIL_NUMBERS * 4, TOLD_BYTES).replace(/\0+$/, '');
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** Adds rows `1..through` of a term to the list, ascending; says how many, or HOT. Cost is bounded by HOT_ROWS. */
  find(key: TermKey, through: number, into: RowList): number {
    const hotRow = this.#hot.get(hotKey(key.top, key.low));
    if (hotRow !== undefined && hotRow <= through) return HOT;
    if (!this.#entry(key)) return 0;
    const { count } = reader;
    const whole = through >= this.map.rows;
    const rows = into.ensure(count);
    if (count <= HOT_ROWS) reader.rows(rows, into.used);
    else this.#readRun(rows, into.used);
    let found = count;
    if (!whole) while (found > 0 && (rows[into.used + found - 1] as number) > through) found -= 1;
    into.used += found;
    return found;
  }

  /** Every row of a term, until something else is asked. */
  every(key: TermKey): Int32Array {
    if (!this.#entry(key)) return this.#decoded.subarray(0, 0);
    const { count } = reader;
    if (this.#decoded.length < count) this.#decoded = new Int32Array(count * 2);
    if (count <= HOT_ROWS) reader.rows(this.#decoded, 0);
    else this.#readRun(this.#decoded, 0);
    return this.#decoded.subarray(0, count);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Moves the reader to the entry of a term. */
  #entry({ top, low }: TermKey): boolean {
    const tops = this.#tops;
    let first = 0;
    let last = tops.length - 1;
    while (first < last) {
      const middle = (first + last + 1) >> 1;
      if ((tops[middle] as number) <= top) first = middle;
      else last = middle - 1;
    }
    if (last < 0 || (tops[first] as number) > top) return false;
    const size = this.#sizes[first] as number;
    keptKeys ??= new Float64Array(KEPT_BLOCKS);
    keptBytes ??= Buffer.allocUnsafeSlow(KEPT_BLOCKS * SLOT_BYTES);
    const key = this.#file * FILE_SPAN + first;
    const slot = (Math.imul(this.#file, 0x9e3779b1) + first) & (KEPT_BLOCKS - 1);
    if (keptKeys[slot] === key) return reader.open(keptBytes, slot * SLOT_BYTES, slot * SLOT_BYTES + size).find(top, low);
    const bytes = this.#checked(this.#starts[first] as number, size, this.#sums[first] as number);
    if (size <= SLOT_BYTES) {
      bytes.copy(keptBytes, slot * SLOT_BYTES);
      keptKeys[slot] = key;
    }
    return reader.open(bytes, 0, size).find(top, low);
  }

  #readRun(into: Int32Array, from: number): void {
    const { run, runBytes, count } = reader;
    const bytes = this.#read(run, runBytes + 4);
    if (sumOf(bytes, 0, runBytes) !== bytes.readUInt32LE(runBytes)) throw this.#damaged('a run is not what was written');
    readRows(bytes, 0, count, into, from);
  }

  #checked(offset: number, size: number, sum: number): Buffer {
    const bytes = this.#read(offset, size);
    if (sumOf(bytes, 0, size) !== sum) throw this.#damaged('a block is not what was written');
    return bytes;
  }

  /** In one buffer for all: good until the next read. */
  #read(offset: number, size: number): Buffer {
    if (scratch.length < size) scratch = Buffer.alloc(size * 2);
    for (let done = 0; done < size;) {
      const got = readSync(this.#fd, scratch, done, size - done, offset + done);
      if (got === 0) throw this.#damaged('it ends early');
      done += got;
    }
    return scratch.subarray(0, size);
  }

  #damaged(what: string): CtxError {
    return new CtxError(DAMAGED, 'EIO', `a segment of the search index is damaged: ${what}`, { where: this.path, next: 'read again' });
  }
}

function hotKey(top: number, low: number): number {
  return top * 65_536 + low;
}

function writeWhole(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}
