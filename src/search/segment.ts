// One segment of the index: a file (libsql) with the rows of each term, and a map from rows to lines. Rows are passages,
// numbered from 1 in line order. A segment covers SEGMENT_LINES lines of the journal, whatever they hold, so that segments
// can be built apart from each other. A sealed segment never changes.
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import Database from 'libsql';
import { Gathering } from './gathering.ts';
import { Parts, SCHEMA } from './parts.ts';
import { passages } from './passages.ts';
import { HOT_ROWS } from './postings.ts';
import { TermScan, grown } from './term-scan.ts';
import type { SearchDoc } from './types.ts';

/** Changes whenever terms, passages, layout or scores change: an index of another version is dropped. */
export const SEARCH_VERSION = 3;
export const SEGMENT_LINES = 32_768;

export interface Postings {
  /** Ascending row numbers. */
  readonly rows: readonly number[];
  readonly hot: boolean;
}

/** What a flush leaves unwritten: it is indexed again after a restart. */
const UNWRITTEN_LINES = 256;
const UNWRITTEN_PAIRS = 1 << 16;
/** What is not written is searched by reading it. */
const MOST_OPEN_PAIRS = 1 << 18;

const asked = new TermScan();

export class Segment {
  readonly path: string;
  /** Lines before this segment: row lines are `baseLine + offset`, offset from 1. */
  readonly baseLine: number;
  readonly #mode: 'open' | 'building' | 'sealed';
  readonly #db: Database.Database;
  readonly #parts: Parts;
  #gathering: Gathering | undefined;
  #lines: Uint16Array = new Uint16Array(256);
  #lengths: Uint8Array = new Uint8Array(256);
  #rows = 0;
  #writtenRows: number;
  #writtenLine: number;
  #lastLine: number;

  /**
   * `open`: made when missing; what was flushed survives a crash. `building`: survives nothing before it is sealed or
   * finished. `sealed`: read only.
   */
  constructor(path: string, number: number, mode: 'open' | 'building' | 'sealed') {
    this.path = path;
    this.#mode = mode;
    this.baseLine = number * SEGMENT_LINES;
    this.#db = new Database(path);
    this.#db.exec(`PRAGMA page_size=8192; PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY;`);
    if (mode === 'sealed') this.#db.exec('PRAGMA query_only=1;');
    else {
      this.#db.prepare(`PRAGMA journal_mode=${mode === 'open' ? 'WAL' : 'OFF'}`).all();
      this.#db.exec(`PRAGMA synchronous=${mode === 'open' ? 'NORMAL' : 'OFF'}; ${SCHEMA}`);
      this.#db.prepare('INSERT OR IGNORE INTO about VALUES (?, ?)').run('version', SEARCH_VERSION);
    }
    this.#parts = new Parts(this.#db, (lines, lengths) => this.#load(lines, lengths));
    this.#writtenRows = this.#rows;
    this.#writtenLine = this.#parts.all.at(-1)?.endLine ?? this.baseLine;
    this.#lastLine = this.#writtenLine;
  }

  get version(): number | undefined {
    return (this.#db.prepare('SELECT value FROM about WHERE key = ?').raw().get('version') as [number] | undefined)?.[0];
  }

  get lastLine(): number {
    return this.#lastLine;
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

  /** Adds documents of this segment's lines, in order. */
  add(docs: readonly SearchDoc[], throughLine: number): void {
    const gathering = (this.#gathering ??= new Gathering());
    for (const { line, text } of docs) {
      // Whole documents only, so that what is written ends with a line.
      if (gathering.full || (this.#mode === 'open' && gathering.pairs > MOST_OPEN_PAIRS)) this.#write(line - 1);
      for (const { start, end } of passages(text)) {
        const count = gathering.add(this.#rows + 1, start === 0 && end === text.length ? text : text.slice(start, end));
        if (count > 0) this.#push(line - this.baseLine - 1, Math.min(255, count));
      }
    }
    this.#lastLine = throughLine;
  }

  /** Rows with a term, among rows `1..through`. Cost is bounded by HOT_ROWS. */
  postings(term: string, through: number): Postings {
    const rows: number[] = [];
    const hot = { rows: [], hot: true };
    if (this.#writtenRows > 0) {
      const id = termId(term);
      if (this.#parts.gather(asked.top(id), asked.low(id), Math.min(through, this.#writtenRows), rows)) return hot;
    }
    if (through > this.#writtenRows && this.#gathering !== undefined) {
      for (const row of this.#gathering.rowsOf(term)) {
        if (row > through) break;
        rows.push(row);
        if (rows.length > HOT_ROWS) return hot;
      }
    }
    return { rows, hot: false };
  }

  /** Rows that have all the terms, the last HOT_ROWS of them. */
  common(all: readonly string[], through: number): readonly number[] {
    let rows: readonly number[] | undefined;
    for (const term of all) {
      const id = termId(term);
      const written = this.#parts.every(asked.top(id), asked.low(id));
      const here = new Set<number>(written);
      for (const row of this.#gathering?.rowsOf(term) ?? []) here.add(row);
      rows = (rows ?? [...here]).filter((row) => row <= through && here.has(row));
      if (rows.length === 0) break;
    }
    return (rows ?? []).slice(-HOT_ROWS);
  }

  /** Writes what was added, but for the last few lines. */
  flush(): void {
    if (this.#mode !== 'open' || this.#gathering === undefined) return;
    if (this.#lastLine - this.#writtenLine >= UNWRITTEN_LINES || this.#gathering.pairs >= UNWRITTEN_PAIRS) this.#write(this.#lastLine);
  }

  /** Makes the segment final under its sealed name; the object is closed. */
  seal(sealedPath: string): void {
    this.#write(this.#lastLine);
    if (this.#parts.all.length === 1 && this.#mode === 'building') {
      this.finish(sealedPath);
      return;
    }
    const path = `${sealedPath}.sealing`;
    removeSegment(path);
    const sealed = new Segment(path, this.baseLine / SEGMENT_LINES, 'building');
    sealed.#in(() => sealed.#parts.merge(this.#parts, 0, this.#lineBytes(0), this.#lengthBytes(0)));
    sealed.finish(sealedPath);
    this.close();
    removeSegment(this.path);
  }

  /** Gives a segment that was built its name, complete or not; the object is closed. */
  finish(path: string): void {
    this.close();
    // Durable before it has its name: a crash leaves a file that is built again, never one with holes.
    const fd = openSync(this.path, 'r+');
    fsyncSync(fd);
    closeSync(fd);
    renameSync(this.path, path);
  }

  close(): void {
    try {
      if (this.#mode !== 'sealed' && this.#lastLine > this.#writtenLine) this.#write(this.#lastLine);
      // One file is left, whenever SQLite lets go of it.
      if (this.#mode === 'open') this.#db.prepare('PRAGMA journal_mode=DELETE').all();
    } catch {
      // The session was renamed or removed, or its cache deleted: SQLite writes no file that lost its name. What is missing is built again.
    } finally {
      this.#gathering?.close();
      this.#gathering = undefined;
      this.#db.close();
    }
  }

  /** What is gathered becomes a part; small parts are joined, so that a few of falling size are left. */
  #write(endLine: number): void {
    if (endLine <= this.#writtenLine) return;
    this.#in(() => {
      const from = this.#writtenRows;
      this.#parts.write(
        (this.#gathering ??= new Gathering()),
        { rows: this.#rows - from, endLine },
        this.#lineBytes(from),
        this.#lengthBytes(from),
      );
      if (this.#mode !== 'open') return;
      const parts = this.#parts.all;
      let first = parts.length - 1;
      let later = 0;
      for (let at = parts.length - 1; at > 0; at -= 1) {
        later += parts[at]?.rows ?? 0;
        if ((parts[at - 1]?.rows ?? 0) <= later) first = at - 1;
      }
      if (first === parts.length - 1) return;
      const row = parts.slice(0, first).reduce((total, part) => total + part.rows, 0);
      this.#parts.merge(this.#parts, first, this.#lineBytes(row), this.#lengthBytes(row));
    });
    this.#writtenRows = this.#rows;
    this.#writtenLine = endLine;
  }

  #in(work: () => void): void {
    this.#db.exec('BEGIN');
    work();
    this.#db.exec('COMMIT');
  }

  #push(offset: number, length: number): void {
    if (this.#rows === this.#lines.length) {
      this.#lines = grown(this.#lines, Uint16Array);
      this.#lengths = grown(this.#lengths, Uint8Array);
    }
    this.#lines[this.#rows] = offset;
    this.#lengths[this.#rows] = length;
    this.#rows += 1;
  }

  #lineBytes(from: number): Buffer {
    return Buffer.from(this.#lines.slice(from, this.#rows).buffer);
  }

  #lengthBytes(from: number): Buffer {
    return Buffer.from(this.#lengths.slice(from, this.#rows));
  }

  #load(lines: Buffer, lengths: Buffer): void {
    const from = this.#rows;
    this.#rows += lengths.length;
    while (this.#lines.length < this.#rows) {
      this.#lines = grown(this.#lines, Uint16Array);
      this.#lengths = grown(this.#lengths, Uint8Array);
    }
    Buffer.from(this.#lines.buffer).set(lines, from * 2);
    this.#lengths.set(lengths, from);
  }
}

function termId(term: string): number {
  if (asked.full) asked.clear();
  return asked.idOf(term);
}

/** Removes a segment file and what SQLite keeps beside it. */
export function removeSegment(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) if (existsSync(path + suffix)) rmSync(path + suffix);
}
