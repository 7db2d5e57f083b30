// Written rows of a segment that grows (libsql): parts of consecutive rows, each with its own blocks, a few of falling size.
// Bytes of a term are found by one step in memory and one row of SQLite for each part.
import type Database from 'libsql';
import { CtxError } from '../abi/errors.ts';
import type { Gathering } from './gathering.ts';
import { finish } from '../abi/steps.ts';
import type { Steps } from '../abi/steps.ts';
import { BlockReader, HOT, HOT_ROWS, PostingsWriter, readRows, roomFor } from './postings.ts';
import type { PostingsSink, RowList, TermKey } from './postings.ts';
import { DAMAGED, sumOf } from './sums.ts';

export interface Part {
  readonly number: number;
  readonly rows: number;
  readonly endLine: number;
  readonly firstBlock: number;
  readonly firstRun: number;
  readonly runs: number;
  /** Upper halves of the first hashes of its blocks. */
  readonly tops: Uint32Array;
  /** Of all that is said of it. */
  readonly sum: number;
}

export const SCHEMA = `CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS parts (number INTEGER PRIMARY KEY, rows INTEGER, end_line INTEGER, first_block INTEGER,
    first_run INTEGER, runs INTEGER, tops BLOB, lines BLOB, lengths BLOB, sum INTEGER);
  CREATE TABLE IF NOT EXISTS blocks (id INTEGER PRIMARY KEY, bytes BLOB, sum INTEGER);
  CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, bytes BLOB, sum INTEGER);`;

/** Questions share many words, and the one at an epoch's start was just asked: blocks of the last few are kept (1 KB each). */
const KEPT_BLOCKS = 1024;
const BLOCKS_AT_ONCE = 32;
/** Blocks of a part of so many rows at most are kept when it is written. */
const KEPT_ROWS = 4096;
/** By file and block; shared by all files of this thread. The oldest goes first: to put what is asked for at the end costs more than to read it again. */
const kept = new Map<number, Buffer>();
/** Terms joined before others may have their turn. */
const TERMS_A_STEP = 2048;
const FILE_SPAN = 2 ** 32;
let files = 0;

type PartNumbers = readonly [number: number, rows: number, endLine: number, firstBlock: number, firstRun: number, runs: number];
type PartRow = [...PartNumbers, Buffer, Buffer, Buffer, number];
type SmallRow = [number, Buffer, number];

export class Parts {
  readonly all: Part[] = [];
  readonly #db: Database.Database;
  readonly #path: string;
  readonly #block: Database.Statement;
  readonly #blocks: Database.Statement;
  readonly #run: Database.Statement;
  /** Numbers of blocks are not used again while it is open: what is kept of it stays right. */
  readonly #file: number = ++files;
  #nextBlock = 1;
  #nextRun = 1;
  #rows: Int32Array = new Int32Array(1024);
  readonly #reader: BlockReader = new BlockReader();

  /** `each` is told the lines and lengths of each part's rows. */
  constructor(db: Database.Database, path: string, each: (lines: Buffer, lengths: Buffer) => void) {
    this.#db = db;
    this.#path = path;
    this.#block = db.prepare('SELECT id, bytes, sum FROM blocks WHERE id = ?').raw();
    this.#blocks = db.prepare(`SELECT id, bytes, sum FROM blocks WHERE id IN (${Array(BLOCKS_AT_ONCE).fill('?').join()})`).raw();
    this.#run = db.prepare('SELECT id, bytes, sum FROM runs WHERE id = ?').raw();
    for (const row of db
      .prepare('SELECT number, rows, end_line, first_block, first_run, runs, tops, lines, lengths, sum FROM parts ORDER BY number')
      .raw()
      .all() as PartRow[]) {
      const [number, rows, endLine, firstBlock, firstRun, runs, tops, lines, lengths, sum] = row;
      if (sumOfPart([number, rows, endLine, firstBlock, firstRun, runs], tops, lines, lengths) !== sum) throw damaged(path, 'a part');
      const bytes = new Uint32Array(tops.length / 4);
      Buffer.from(bytes.buffer).set(tops);
      this.all.push({ number, rows, endLine, firstBlock, firstRun, runs, tops: bytes, sum });
      this.#nextBlock = Math.max(this.#nextBlock, firstBlock + bytes.length);
      this.#nextRun = Math.max(this.#nextRun, firstRun + runs);
      each(lines, lengths);
    }
  }

  /** Which parts there are: SQLite would not notice one that is gone. */
  get mark(): number {
    return this.all.reduce((mark, { sum }) => (Math.imul(mark, 31) + sum) >>> 0, 0);
  }

  get rows(): number {
    return this.all.reduce((total, part) => total + part.rows, 0);
  }

  /** Reads the blocks of these terms together: one by one each costs a call. */
  prepare(keys: readonly TermKey[]): void {
    const missing = new Set<number>();
    for (const part of this.all) {
      for (const { top } of keys) {
        const block = blockOf(part, top);
        if (block >= 0 && !kept.has(this.#file * FILE_SPAN + part.firstBlock + block)) missing.add(part.firstBlock + block);
      }
    }
    if (missing.size < 2 || missing.size > KEPT_BLOCKS / 2) return;
    const ids = [...missing].sort((a, b) => a - b);
    for (let at = 0; at < ids.length; at += BLOCKS_AT_ONCE) {
      const some = Array.from({ length: BLOCKS_AT_ONCE }, (_, i) => ids[at + i] ?? 0);
      for (const row of this.#blocks.all(some) as SmallRow[]) keep(this.#file * FILE_SPAN + row[0], this.#checked(row, row[0]));
    }
  }

  /** Adds rows `1..through` of a term to the list, ascending; says how many, or HOT when there are more than HOT_ROWS of them. */
  find({ top, low }: TermKey, through: number, into: RowList): number {
    const from = into.used;
    let before = 0;
    for (const part of this.all) {
      if (before >= through) break;
      const entry = this.#entry(part, top, low);
      const whole = before + part.rows <= through;
      before += part.rows;
      if (entry === undefined) continue;
      if (entry.count > HOT_ROWS && (whole || entry.hotRow <= through)) return hot(into, from);
      if (whole && into.used - from + entry.count > HOT_ROWS) return hot(into, from);
      this.#read(entry, 0);
      for (let i = 0; i < entry.count; i += 1) {
        const row = this.#rows[i] as number;
        if (row > through) break;
        into.push(row);
        if (into.used - from > HOT_ROWS) return hot(into, from);
      }
    }
    return into.used - from;
  }

  /** Every row of a term. */
  every({ top, low }: TermKey): Int32Array {
    let count = 0;
    for (const part of this.all) {
      const entry = this.#entry(part, top, low);
      if (entry === undefined) continue;
      this.#read(entry, count);
      count += entry.count;
    }
    return this.#rows.slice(0, count);
  }

  /** Writes what is gathered as a part; the caller's transaction. */
  write(gathering: Gathering, about: Pick<Part, 'rows' | 'endLine'>, lines: Buffer, lengths: Buffer): void {
    this.#insert(about, lines, lengths, (sink) => gathering.write(sink));
  }

  /** Joins the last parts to one; the caller's transaction. */
  merge(first: number, lines: Buffer, lengths: Buffer): void {
    const parts = this.all.splice(first);
    const about = { rows: parts.reduce((total, part) => total + part.rows, 0), endLine: (parts.at(-1) as Part).endLine };
    this.#insert(about, lines, lengths, (sink) => finish(this.join(parts, sink)));
    for (const part of parts) {
      this.#db.prepare('DELETE FROM parts WHERE number = ?').run(part.number);
      this.#db.prepare('DELETE FROM blocks WHERE id >= ? AND id < ?').run(part.firstBlock, part.firstBlock + part.tops.length);
      this.#db.prepare('DELETE FROM runs WHERE id >= ? AND id < ?').run(part.firstRun, part.firstRun + part.runs);
    }
  }

  #insert({ rows, endLine }: Pick<Part, 'rows' | 'endLine'>, lines: Buffer, lengths: Buffer, fill: (sink: PostingsSink) => void): void {
    const block = this.#db.prepare('INSERT INTO blocks (id, bytes, sum) VALUES (?, ?, ?)');
    const run = this.#db.prepare('INSERT INTO runs (id, bytes, sum) VALUES (?, ?, ?)');
    const [firstBlock, firstRun] = [this.#nextBlock, this.#nextRun];
    const tops: number[] = [];
    fill({
      block: (bytes, firstTop) => {
        block.run(this.#nextBlock, bytes, sumOfRow(this.#nextBlock, bytes));
        // Of a large part hardly anything will be asked for.
        if (rows <= KEPT_ROWS) keep(this.#file * FILE_SPAN + this.#nextBlock, Buffer.from(bytes));
        this.#nextBlock += 1;
        tops.push(firstTop);
      },
      run: (bytes) => {
        run.run(this.#nextRun, bytes, sumOfRow(this.#nextRun, bytes));
        return this.#nextRun++;
      },
    });
    const runs = this.#nextRun - firstRun;
    const bytes = Buffer.from(Uint32Array.from(tops).buffer);
    const sum = sumOfPart([firstBlock, rows, endLine, firstBlock, firstRun, runs], bytes, lines, lengths);
    const part: Part = { number: firstBlock, rows, endLine, firstBlock, firstRun, runs, tops: Uint32Array.from(tops), sum };
    // A part without blocks still needs a number of its own.
    if (tops.length === 0) this.#nextBlock += 1;
    this.#db
      .prepare('INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(part.number, rows, endLine, firstBlock, firstRun, runs, bytes, lines, lengths, sum);
    this.all.push(part);
  }

  /** Writes the rows of these parts, in steps of a millisecond or two. */
  *join(parts: readonly Part[], sink: PostingsSink): Steps<void> {
    const writer = new PostingsWriter(sink);
    const cursors = parts.map((part) => this.#cursor(part));
    let left = cursors.filter((cursor) => cursor.next());
    for (let terms = 1; left.length > 0; terms += 1) {
      if (terms % TERMS_A_STEP === 0) yield;
      let { top, low } = left[0] as Cursor;
      for (const cursor of left) {
        if (cursor.top > top || (cursor.top === top && cursor.low >= low)) continue;
        ({ top, low } = cursor);
      }
      let count = 0;
      let ended = false;
      for (const cursor of left) {
        if (cursor.top !== top || cursor.low !== low) continue;
        this.#read(cursor.reader, count);
        count += cursor.reader.count;
        ended = !cursor.next() || ended;
      }
      writer.term(top, low, this.#rows, 0, count);
      if (ended) left = left.filter((cursor) => !cursor.ended);
    }
    writer.end();
  }

  #cursor(part: Part): Cursor {
    let block = 0;
    const load = (): BlockReader | undefined => (block < part.tops.length ? this.#blockReader(part.firstBlock + block++) : undefined);
    return new Cursor(load);
  }

  #blockReader(id: number): BlockReader {
    const bytes = this.#checked(this.#block.get(id) as SmallRow | undefined, id);
    return new BlockReader().open(bytes, 0, bytes.length);
  }

  #keptBlock(id: number): BlockReader {
    const key = this.#file * FILE_SPAN + id;
    let bytes = kept.get(key);
    if (bytes === undefined) keep(key, (bytes = this.#checked(this.#block.get(id) as SmallRow | undefined, id)));
    return this.#reader.open(bytes, 0, bytes.length);
  }

  /** IDX-5: pages of SQLite have no sums. */
  #checked(row: SmallRow | undefined, id: number): Buffer {
    if (row === undefined || row[0] !== id || !Buffer.isBuffer(row[1]) || sumOfRow(id, row[1]) !== row[2])
      throw damaged(this.#path, 'a block or a run');
    return row[1];
  }

  #entry(part: Part, top: number, low: number): BlockReader | undefined {
    const block = blockOf(part, top);
    if (block < 0) return undefined;
    const reader = this.#keptBlock(part.firstBlock + block);
    return reader.find(top, low) ? reader : undefined;
  }

  /** The rows of an entry, into `#rows` from `from` on. */
  #read(entry: BlockReader, from: number): void {
    this.#rows = roomFor(this.#rows, from + entry.count);
    if (entry.count <= HOT_ROWS) entry.rows(this.#rows, from);
    else readRows(this.#checked(this.#run.get(entry.run) as SmallRow | undefined, entry.run), 0, entry.count, this.#rows, from);
  }
}

function sumOfRow(id: number, bytes: Buffer): number {
  return (sumOf(bytes, 0, bytes.length) ^ Math.imul(id, 0x9e3779b1)) >>> 0;
}

function sumOfPart(numbers: PartNumbers, ...blobs: readonly Buffer[]): number {
  const all = Buffer.concat([Buffer.from(Float64Array.from([...numbers, ...blobs.map(({ length }) => length)]).buffer), ...blobs]);
  return sumOf(all, 0, all.length);
}

function damaged(path: string, what: string): CtxError {
  return new CtxError(DAMAGED, 'EIO', `a segment of the search index is damaged: ${what} is not what was written`, {
    where: path,
    next: 'read again',
  });
}

/** Which of a part's blocks would have a term; -1 for none. */
function blockOf({ tops }: Part, top: number): number {
  let first = 0;
  let last = tops.length - 1;
  while (first < last) {
    const middle = (first + last + 1) >> 1;
    if ((tops[middle] as number) <= top) first = middle;
    else last = middle - 1;
  }
  return last < 0 || (tops[first] as number) > top ? -1 : first;
}

function keep(key: number, bytes: Buffer): void {
  kept.set(key, bytes);
  if (kept.size <= KEPT_BLOCKS) return;
  for (const oldest of kept.keys()) {
    kept.delete(oldest);
    break;
  }
}

function hot(into: RowList, from: number): number {
  into.used = from;
  return HOT;
}

/** Walks all terms of a part. */
class Cursor {
  ended = false;
  readonly #load: () => BlockReader | undefined;
  #reader: BlockReader | undefined;

  constructor(load: () => BlockReader | undefined) {
    this.#load = load;
    this.#reader = load();
  }

  get reader(): BlockReader {
    return this.#reader as BlockReader;
  }
  get top(): number {
    return this.reader.top;
  }
  get low(): number {
    return this.reader.low;
  }

  next(): boolean {
    while (this.#reader !== undefined) {
      if (this.#reader.next()) return true;
      this.#reader = this.#load();
    }
    this.ended = true;
    return false;
  }
}
