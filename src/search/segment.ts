// A segment that grows: a file (libsql) with what was written, and what is not written yet. When its lines are complete, it
// is sealed: its rows go into a file of their own (sealed-segment.ts), which never changes.
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import Database from 'libsql';
import type { LineMark } from '../abi/line-mark.ts';
import { finish } from '../abi/steps.ts';
import type { Steps } from '../abi/steps.ts';
import { Gathering } from './gathering.ts';
import { Parts, SCHEMA } from './parts.ts';
import { passages } from './passages.ts';
import { HOT, HOT_ROWS } from './postings.ts';
import type { RowList, TermKey } from './postings.ts';
import { RowMap } from './row-map.ts';
import { SealedWriter } from './sealed-segment.ts';
import type { SearchDoc } from './types.ts';
import { OPEN_FORMAT, SEARCH_VERSION, SEGMENT_LINES } from './version.ts';

/** What a flush leaves unwritten: it is indexed again after a restart. */
const UNWRITTEN_LINES = 256;
const UNWRITTEN_PAIRS = 1 << 16;
/** What is not written is searched by reading it. */
const MOST_OPEN_PAIRS = 1 << 18;
/** A part of more rows is joined when the segment is sealed, and not before: a flush holds nobody up for long. */
const MOST_JOINED_ROWS = 4096;

export class Segment {
  readonly path: string;
  readonly map: RowMap;
  readonly #mode: 'open' | 'building';
  readonly #db: Database.Database;
  readonly #parts: Parts;
  readonly #markOf: LineMark;
  #gathering: Gathering | undefined;
  #writtenRows: number;
  #writtenLine: number;
  #lastLine: number;
  #closed = false;

  /** `open`: made when missing; what was flushed survives a crash. `building`: survives nothing before it is finished. */
  constructor(path: string, number: number, mode: 'open' | 'building', markOf: LineMark = unmarked) {
    this.path = path;
    this.#markOf = markOf;
    this.#mode = mode;
    this.map = new RowMap(number * SEGMENT_LINES);
    this.#db = new Database(path);
    try {
      this.#db.exec(`PRAGMA page_size=8192; PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY;`);
      this.#db.prepare(`PRAGMA journal_mode=${mode === 'open' ? 'WAL' : 'OFF'}`).all();
      this.#db.exec(`PRAGMA synchronous=${mode === 'open' ? 'NORMAL' : 'OFF'}; ${SCHEMA}`);
      this.#db.prepare('INSERT OR IGNORE INTO about VALUES (?, ?)').run('version', SEARCH_VERSION);
      this.#db.prepare('INSERT OR IGNORE INTO about VALUES (?, ?)').run('format', OPEN_FORMAT);
      this.#parts = new Parts(this.#db, path, (lines, lengths) => this.map.load(lines, lengths));
    } catch (error) {
      this.#db.close();
      throw error;
    }
    this.#writtenRows = this.map.rows;
    this.#writtenLine = this.#parts.all.at(-1)?.endLine ?? this.map.baseLine;
    this.#lastLine = this.#writtenLine;
  }

  /** It is of this version, and what is written of it is of the history that there is. */
  get usable(): boolean {
    if (this.#about('version') !== SEARCH_VERSION || this.#about('format') !== OPEN_FORMAT) return false;
    if ((this.#about('parts') ?? 0) !== this.#parts.mark) return false;
    return this.#writtenLine === this.map.baseLine || this.#about('history') === this.#markOf(this.#writtenLine);
  }

  get lastLine(): number {
    return this.#lastLine;
  }

  /** All its lines are there. */
  get complete(): boolean {
    return this.#lastLine === this.map.baseLine + SEGMENT_LINES;
  }

  /** Adds documents of this segment's lines, in order. */
  add(docs: readonly SearchDoc[], throughLine: number): void {
    for (const doc of docs) {
      const gathering = (this.#gathering ??= new Gathering());
      // Whole documents only, so that what is written ends with a line.
      if (gathering.full || (this.#mode === 'open' && gathering.pairs > MOST_OPEN_PAIRS)) this.#write(doc.line - 1);
      gatherDoc(gathering, this.map, doc);
    }
    this.#lastLine = throughLine;
  }

  prepare(keys: readonly TermKey[]): void {
    this.#parts.prepare(keys);
  }

  /** Adds rows `1..through` of a term to the list, ascending; says how many, or HOT. Cost is bounded by HOT_ROWS. */
  find(key: TermKey, through: number, into: RowList): number {
    const from = into.used;
    if (this.#writtenRows > 0 && this.#parts.find(key, Math.min(through, this.#writtenRows), into) === HOT) return HOT;
    if (through > this.#writtenRows && this.#gathering !== undefined) {
      for (const row of this.#gathering.rowsOf(key)) {
        if (row > through) break;
        into.push(row);
        if (into.used - from <= HOT_ROWS) continue;
        into.used = from;
        return HOT;
      }
    }
    return into.used - from;
  }

  /** Every row of a term. */
  every(key: TermKey): Int32Array {
    const written = this.#parts.every(key);
    const gathered = this.#gathering?.rowsOf(key) ?? [];
    const all = new Int32Array(written.length + gathered.length);
    all.set(written);
    all.set(gathered, written.length);
    return all;
  }

  /** Writes what was added, but for the last few lines. */
  flush(): void {
    if (this.#mode !== 'open' || this.#gathering === undefined) return;
    if (this.complete || this.#lastLine - this.#writtenLine >= UNWRITTEN_LINES || this.#gathering.pairs >= UNWRITTEN_PAIRS)
      this.#write(this.#lastLine);
  }

  /** Writes its rows under the name of a sealed segment, in steps of a few milliseconds; it answers meanwhile, and when closed stops. */
  *seal(path: string): Steps<boolean> {
    this.#write(this.#lastLine);
    yield;
    if (this.#closed) return false;
    const writer = new SealedWriter(`${path}.sealing`);
    try {
      for (const steps = this.#parts.join(this.#parts.all, writer); steps.next().done !== true;) {
        yield;
        if (!this.#closed) continue;
        writer.abandon();
        return false;
      }
      writer.finish(path, this.map.baseLine / SEGMENT_LINES, this.map, this.#markOf(this.#lastLine) ?? '');
    } catch (error) {
      writer.abandon();
      throw error;
    }
    return true;
  }

  /** Gives a segment that was built its name; the object is closed. */
  finish(path: string): void {
    this.close();
    // Durable before it has its name: a crash leaves a file that is built again, never one with holes.
    const fd = openSync(this.path, 'r+');
    fsyncSync(fd);
    closeSync(fd);
    renameSync(this.path, path);
  }

  close(): void {
    this.#closed = true;
    try {
      if (this.#lastLine > this.#writtenLine) this.#write(this.#lastLine);
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
        { rows: this.map.rows - from, endLine },
        this.map.lineBytes(from),
        this.map.lengthBytes(from),
      );
      this.#db.prepare('INSERT OR REPLACE INTO about VALUES (?, ?)').run('history', this.#markOf(endLine) ?? '');
      if (this.#mode === 'open') this.#joinSmall();
      this.#db.prepare('INSERT OR REPLACE INTO about VALUES (?, ?)').run('parts', this.#parts.mark);
    });
    this.#writtenRows = this.map.rows;
    this.#writtenLine = endLine;
  }

  #joinSmall(): void {
    const parts = this.#parts.all;
    let first = parts.length - 1;
    let later = 0;
    for (let at = parts.length - 1; at > 0; at -= 1) {
      later += parts[at]?.rows ?? 0;
      const before = parts[at - 1]?.rows ?? 0;
      if (before > MOST_JOINED_ROWS) break;
      if (before <= later) first = at - 1;
    }
    if (first === parts.length - 1) return;
    const row = parts.slice(0, first).reduce((total, part) => total + part.rows, 0);
    this.#parts.merge(first, this.map.lineBytes(row), this.map.lengthBytes(row));
  }

  #about(key: string): number | string | undefined {
    return (this.#db.prepare('SELECT value FROM about WHERE key = ?').raw().get(key) as [number | string] | undefined)?.[0];
  }

  #in(work: () => void): void {
    this.#db.exec('BEGIN');
    work();
    this.#db.exec('COMMIT');
  }
}

/** Builds a sealed segment from the documents of all its lines; no index is open in its directory. */
export function buildSealed(path: string, number: number, docs: Iterable<SearchDoc>, building: string, mark: string): void {
  const map = new RowMap(number * SEGMENT_LINES);
  const gathering = new Gathering();
  // More than one gathering holds: the others wait in a file.
  let spilled: { readonly db: Database.Database; readonly parts: Parts; rows: number } | undefined;
  const writer = new SealedWriter(`${path}.sealing`);
  try {
    const spill = (endLine: number): Parts => {
      if (spilled === undefined) {
        const db = new Database(building);
        db.exec(`PRAGMA page_size=8192; PRAGMA cache_size=-256; PRAGMA synchronous=OFF;`);
        db.prepare('PRAGMA journal_mode=OFF').all();
        db.exec(SCHEMA);
        spilled = { db, parts: new Parts(db, building, () => undefined), rows: 0 };
      }
      const { db, parts, rows } = spilled;
      db.exec('BEGIN');
      parts.write(gathering, { rows: map.rows - rows, endLine }, Buffer.alloc(0), Buffer.alloc(0));
      db.exec('COMMIT');
      spilled.rows = map.rows;
      return parts;
    };
    for (const doc of docs) {
      if (gathering.full) spill(doc.line - 1);
      gatherDoc(gathering, map, doc);
    }
    if (spilled === undefined) gathering.write(writer);
    else {
      const parts = spill(map.baseLine + SEGMENT_LINES);
      finish(parts.join(parts.all, writer));
    }
    writer.finish(path, number, map, mark);
  } catch (error) {
    writer.abandon();
    throw error;
  } finally {
    gathering.close();
    spilled?.db.close();
    removeSegment(building);
  }
}

function gatherDoc(gathering: Gathering, map: RowMap, { line, text }: SearchDoc): void {
  for (const { start, end } of passages(text)) {
    const count = gathering.add(map.rows + 1, start === 0 && end === text.length ? text : text.slice(start, end));
    if (count > 0) map.push(line, count);
  }
}

/** Documents that are of no history. */
export const unmarked: LineMark = () => '';

/** Removes a segment file and what SQLite keeps beside it. */
export function removeSegment(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) if (existsSync(path + suffix)) rmSync(path + suffix);
}
