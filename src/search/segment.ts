// One segment of the index: a contentless FTS5 table of pre-computed terms (libsql), and a map from its rows to lines.
// Rows are passages, numbered from 1 in line order. A segment covers SEGMENT_LINES lines of the journal, whatever they
// hold, so that segments can be built apart from each other. A sealed segment never changes.
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import Database from 'libsql';
import { passages } from './passages.ts';
import { TermWriter } from './term-writer.ts';
import type { SearchDoc } from './types.ts';

/** Changes whenever terms, passages, layout or scores change: an index of another version is dropped. */
export const SEARCH_VERSION = 2;
export const SEGMENT_LINES = 65_536;
/** A term in more rows of a segment than this is *hot* there: it does not choose candidates on its own. */
export const HOT_ROWS = 1024;

/** FTS5 gathers this much before it writes. */
const HASH_BYTES = 8 * 1024 * 1024;

export interface Postings {
  /** Ascending row numbers. */
  readonly rows: readonly number[];
  readonly hot: boolean;
}

const writer = new TermWriter();

export class Segment {
  readonly path: string;
  /** Lines before this segment: row lines are `baseLine + offset`, offset from 1. */
  readonly baseLine: number;
  readonly #db: Database.Database;
  readonly #sealed: boolean;
  readonly #first: Database.Statement;
  readonly #latest: Database.Statement;
  readonly #insert: Database.Statement | undefined;
  readonly #map: Database.Statement | undefined;
  readonly #hot: Set<string> = new Set();
  #lines: Uint16Array = new Uint16Array(256);
  #lengths: Uint8Array = new Uint8Array(256);
  #rows = 0;
  #lastLine: number;
  #dirty = false;

  /**
   * `open`: made when missing, and every flush survives a crash. `building`: survives nothing before it is sealed.
   * `sealed`: read only.
   */
  constructor(path: string, number: number, mode: 'open' | 'building' | 'sealed') {
    const sealed = mode === 'sealed';
    this.path = path;
    this.baseLine = number * SEGMENT_LINES;
    this.#lastLine = this.baseLine;
    this.#sealed = sealed;
    this.#db = new Database(path);
    this.#db.exec(`PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY; ${sealed ? 'PRAGMA query_only=1;' : ''}`);
    if (!sealed) {
      this.#db.prepare(`PRAGMA journal_mode=${mode === 'open' ? 'WAL' : 'OFF'}`).all();
      this.#db.exec(`PRAGMA synchronous=${mode === 'open' ? 'NORMAL' : 'OFF'};
        CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS map (first INTEGER PRIMARY KEY, rows BLOB);
        CREATE TABLE IF NOT EXISTS hot (term TEXT PRIMARY KEY) WITHOUT ROWID;
        CREATE VIRTUAL TABLE IF NOT EXISTS terms USING fts5(t, content='', detail=none, columnsize=0, tokenize='ascii');
        INSERT INTO terms(terms, rank) VALUES ('hashsize', ${HASH_BYTES});`);
      this.#insert = this.#db.prepare('INSERT INTO terms(rowid, t) VALUES (?, ?)');
      this.#map = this.#db.prepare('INSERT INTO map(first, rows) VALUES (?, ?)');
      if (this.#about('version') === undefined) this.#note('version', SEARCH_VERSION);
    }
    this.#load();
    const rows = (order: string): Database.Statement =>
      this.#db
        .prepare(
          `SELECT group_concat(rowid) FROM (SELECT rowid FROM terms WHERE terms MATCH ? AND rowid <= ? ORDER BY rowid ${order} LIMIT ?)`,
        )
        .raw();
    this.#first = rows('ASC');
    this.#latest = rows('DESC');
  }

  get version(): number | undefined {
    return this.#about('version');
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
    this.#begin();
    const first = this.#rows + 1;
    for (const doc of docs) {
      for (const passage of passages(doc.text)) {
        const line = writer.write(
          passage.end === doc.text.length && passage.start === 0 ? doc.text : doc.text.slice(passage.start, passage.end),
        );
        if (writer.count === 0) continue;
        this.#push(doc.line - this.baseLine - 1, Math.min(255, writer.count));
        this.#insert?.run(this.#rows, line);
      }
    }
    if (this.#rows >= first) this.#map?.run(first, this.#packRows(first));
    this.#lastLine = throughLine;
    this.#note('last_line', throughLine);
  }

  /** Rows with a term, among rows `1..through`. Cost is bounded by HOT_ROWS. */
  postings(term: string, through: number): Postings {
    if (through === this.#rows && this.#hot.has(term)) return { rows: [], hot: true };
    const rows = this.#select(`"${term}"`, through, HOT_ROWS + 1, this.#first);
    return rows.length > HOT_ROWS ? { rows: [], hot: true } : { rows, hot: false };
  }

  /** Rows that have all the terms, the last HOT_ROWS of them. */
  common(all: readonly string[], through: number): readonly number[] {
    return this.#select(all.map((term) => `"${term}"`).join(' AND '), through, HOT_ROWS, this.#latest);
  }

  flush(): void {
    if (!this.#dirty) return;
    this.#db.exec('COMMIT');
    this.#dirty = false;
  }

  /** Makes the segment final under its sealed name; the object is closed. */
  seal(sealedPath: string): void {
    this.#begin();
    this.#db.exec(`CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'terms', 'row');
      INSERT INTO hot SELECT term FROM temp.vocabulary WHERE doc > ${HOT_ROWS};
      INSERT INTO terms(terms) VALUES ('optimize');
      DELETE FROM map;`);
    this.#map?.run(1, this.#packRows(1));
    this.flush();
    this.#db.prepare('PRAGMA journal_mode=DELETE').all();
    this.close();
    // Durable before it has its name: a crash leaves a file that is rebuilt, never a sealed one with holes.
    const fd = openSync(this.path, 'r+');
    fsyncSync(fd);
    closeSync(fd);
    renameSync(this.path, sealedPath);
  }

  close(): void {
    this.flush();
    this.#db.close();
  }

  #select(match: string, through: number, limit: number, statement: Database.Statement): number[] {
    const row = statement.get(match, through, limit) as [string | null];
    return row[0] === null ? [] : row[0].split(',').map(Number);
  }

  #begin(): void {
    if (this.#dirty || this.#sealed) return;
    this.#db.exec('BEGIN');
    this.#dirty = true;
  }

  #about(key: string): number | undefined {
    const row = this.#db.prepare('SELECT value FROM about WHERE key = ?').raw().get(key) as [number] | undefined;
    return row?.[0];
  }

  #note(key: string, value: number): void {
    this.#db.prepare('INSERT INTO about VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value').run(key, value);
  }

  #push(offset: number, length: number): void {
    if (this.#rows === this.#lines.length) {
      const lines = new Uint16Array(this.#rows * 2);
      lines.set(this.#lines);
      this.#lines = lines;
      const lengths = new Uint8Array(this.#rows * 2);
      lengths.set(this.#lengths);
      this.#lengths = lengths;
    }
    this.#lines[this.#rows] = offset;
    this.#lengths[this.#rows] = length;
    this.#rows += 1;
  }

  #packRows(first: number): Buffer {
    const bytes = Buffer.alloc((this.#rows - first + 1) * 3);
    for (let row = first, at = 0; row <= this.#rows; row += 1, at += 3) {
      bytes.writeUInt16LE(this.#lines[row - 1] as number, at);
      bytes[at + 2] = this.#lengths[row - 1] as number;
    }
    return bytes;
  }

  #load(): void {
    for (const [bytes] of this.#db.prepare('SELECT rows FROM map ORDER BY first').raw().all() as [Buffer][]) {
      for (let at = 0; at < bytes.length; at += 3)
        this.#push((bytes[at] as number) | ((bytes[at + 1] as number) << 8), bytes[at + 2] as number);
    }
    for (const [term] of this.#db.prepare('SELECT term FROM hot').raw().all() as [string][]) this.#hot.add(term);
    this.#lastLine = this.#about('last_line') ?? this.baseLine;
  }
}

/** Removes a segment file and what SQLite keeps beside it. */
export function removeSegment(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) if (existsSync(path + suffix)) rmSync(path + suffix);
}
