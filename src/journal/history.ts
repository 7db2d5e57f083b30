// Lines <-> offsets. The order log's cumulative counts are a sparse line index (a record covers at most 256 KiB or 1,024
// lines, unless one line is longer), so a lookup is a binary search and one scan inside a record.
import { CtxError } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { guarded, nodeDisk, type Disk } from './disk.ts';
import { JournalBytes, type ByteSource } from './journal-bytes.ts';
import { scanLines } from './line-scan.ts';
import { OrderPages } from './order-pages.ts';
import { MAX_RECORD_BYTES, MAX_RECORD_LINES } from './order-record.ts';
import { SegmentFiles } from './segment-files.ts';
import type { Extent, HistoryReader, OrderLog, SegmentRef } from './types.ts';

/**
 * With an order log, history is exactly what is recorded. Without, it is every whole line on disk: the log that is there is
 * used as an index, and the rest is scanned once and remembered in memory.
 */
export function openHistory(
  source: string | readonly SegmentRef[],
  file: JournalFile,
  orderLog?: OrderLog,
  disk: Disk = nodeDisk,
): HistoryReader {
  const bytes = typeof source === 'string' ? new JournalBytes(source, file, disk) : fixedBytes(source, disk);
  if (orderLog !== undefined) return new History(bytes, new LogIndex(orderLog, file), undefined);
  const index = typeof source === 'string' ? new PagesIndex(new OrderPages(source, disk), file) : undefined;
  return new History(bytes, index, new ScannedIndex(bytes));
}

/** Cumulative (end, lines) pairs; entry -1 is (0, 0). */
interface SparseIndex {
  length(): number;
  end(index: number): number;
  lines(index: number): number;
  close(): void;
}

const TABLES_KEPT = 32;

class History implements HistoryReader {
  readonly #bytes: ByteSource;
  readonly #index: SparseIndex | undefined;
  readonly #scanned: ScannedIndex | undefined;
  /** Line ends inside a record, by the record's start; most recently used last. */
  readonly #tables: Map<number, { endBytes: number; ends: Uint32Array }> = new Map<number, { endBytes: number; ends: Uint32Array }>();

  constructor(bytes: ByteSource, index: SparseIndex | undefined, scanned: ScannedIndex | undefined) {
    this.#bytes = bytes;
    this.#index = index;
    this.#scanned = scanned;
  }

  get sizeBytes(): number {
    const last = this.#upToDate();
    return last.end(last.length() - 1);
  }

  get lines(): number {
    const last = this.#upToDate();
    return last.lines(last.length() - 1);
  }

  offsetOfLine(line: number): number {
    const ended = line - 1;
    if (ended === 0) return 0;
    if (!Number.isSafeInteger(line) || ended < 0 || ended > this.lines) throw outOfRange(`line ${line}`);
    const index = this.#indexWith((at, entry) => at.lines(entry) >= ended);
    const entry = firstWhere(index.length(), (at) => index.lines(at) >= ended);
    if (index.lines(entry) === ended) return index.end(entry);
    const start = index.end(entry - 1);
    return start + (this.#table(start, index.end(entry))[ended - index.lines(entry - 1) - 1] as number);
  }

  lineOfOffset(offset: number): number {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset >= this.sizeBytes) throw outOfRange(`offset ${offset}`);
    const index = this.#indexWith((at, entry) => at.end(entry) > offset);
    const entry = firstWhere(index.length(), (at) => index.end(at) > offset);
    const start = index.end(entry - 1);
    const table = this.#table(start, index.end(entry));
    return index.lines(entry - 1) + firstWhere(table.length, (at) => start + (table[at] as number) > offset) + 1;
  }

  readRange(startBytes: number, endBytes: number): Buffer {
    const into = Buffer.allocUnsafe(Math.max(0, endBytes - startBytes));
    this.readInto(startBytes, into);
    return into;
  }

  readInto(startBytes: number, into: Buffer): void {
    const got = guarded('history', () => this.#bytes.read(startBytes, into));
    if (got < into.length) throw outOfRange(`bytes ${startBytes}-${startBytes + into.length}`);
  }

  extents(startBytes: number, endBytes: number): readonly Extent[] {
    return this.#bytes.extents(startBytes, endBytes);
  }

  close(): void {
    this.#bytes.close();
    this.#index?.close();
  }

  /** The index that holds the end of history. */
  #upToDate(): SparseIndex {
    const index = this.#index;
    if (this.#scanned === undefined) return index as SparseIndex;
    if (index === undefined) this.#scanned.extend(0, 0);
    else {
      const last = index.length() - 1;
      this.#scanned.extend(index.end(last), index.lines(last));
    }
    return this.#scanned;
  }

  /** The order log's index where it reaches, else the scanned one. */
  #indexWith(reaches: (index: SparseIndex, last: number) => boolean): SparseIndex {
    const index = this.#index;
    if (this.#scanned === undefined) return index as SparseIndex;
    return index !== undefined && index.length() > 0 && reaches(index, index.length() - 1) ? index : this.#scanned;
  }

  #table(startBytes: number, endBytes: number): Uint32Array {
    const known = this.#tables.get(startBytes);
    if (known !== undefined && known.endBytes === endBytes) {
      this.#tables.delete(startBytes);
      this.#tables.set(startBytes, known);
      return known.ends;
    }
    const bytes = this.readRange(startBytes, endBytes);
    const ends: number[] = [];
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) ends.push(at + 1);
    const table = Uint32Array.from(ends);
    this.#tables.delete(startBytes);
    this.#tables.set(startBytes, { endBytes, ends: table });
    if (this.#tables.size > TABLES_KEPT) this.#tables.delete(this.#tables.keys().next().value as number);
    return table;
  }
}

class LogIndex implements SparseIndex {
  readonly #log: OrderLog;
  readonly #messages: boolean;

  constructor(log: OrderLog, file: JournalFile) {
    this.#log = log;
    this.#messages = file === 'messages.jsonl';
  }

  length(): number {
    return this.#log.length;
  }
  end(index: number): number {
    if (index < 0) return 0;
    const record = this.#log.at(index);
    return this.#messages ? record.messagesEnd : record.eventsEnd;
  }
  lines(index: number): number {
    if (index < 0) return 0;
    const record = this.#log.at(index);
    return this.#messages ? record.messageLines : record.eventLines;
  }
  close(): void {
    /* the log is the caller's */
  }
}

class PagesIndex implements SparseIndex {
  readonly #pages: OrderPages;
  readonly #messages: boolean;

  constructor(pages: OrderPages, file: JournalFile) {
    this.#pages = pages;
    this.#messages = file === 'messages.jsonl';
  }

  length(): number {
    return this.#pages.refresh();
  }
  end(index: number): number {
    const record = this.#pages.at(index);
    return this.#messages ? record.messagesEnd : record.eventsEnd;
  }
  lines(index: number): number {
    const record = this.#pages.at(index);
    return this.#messages ? record.messageLines : record.eventLines;
  }
  close(): void {
    this.#pages.close();
  }
}

/** Checkpoints over what no record covers, found by reading it once. */
class ScannedIndex implements SparseIndex {
  readonly #bytes: ByteSource;
  /** Entry 0 is where the order log ended when scanning began. */
  readonly #ends: number[] = [];
  readonly #lines: number[] = [];
  #scannedTo = -1;

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  extend(baseBytes: number, baseLines: number): void {
    if (this.#scannedTo < 0) {
      this.#ends.push(baseBytes);
      this.#lines.push(baseLines);
      this.#scannedTo = baseBytes;
    }
    const size = this.#bytes.sizeBytes();
    const from = this.#ends.at(-1) as number;
    if (size <= this.#scannedTo) return;
    this.#scannedTo = size;
    let lines = this.#lines.at(-1) as number;
    let marked = from;
    let markedLines = lines;
    const end = scanLines(
      (position, into) => this.#bytes.read(position, into),
      from,
      size,
      (line, start) => {
        lines++;
        const lineEnd = start + line.length + 1;
        if (lineEnd - marked < MAX_RECORD_BYTES / 2 && lines - markedLines < MAX_RECORD_LINES) return;
        this.#ends.push(lineEnd);
        this.#lines.push(lines);
        marked = lineEnd;
        markedLines = lines;
      },
    );
    if (end > marked) {
      this.#ends.push(end);
      this.#lines.push(lines);
    }
  }

  length(): number {
    return this.#ends.length;
  }
  end(index: number): number {
    return index < 0 ? 0 : (this.#ends[index] as number);
  }
  lines(index: number): number {
    return index < 0 ? 0 : (this.#lines[index] as number);
  }
  close(): void {
    /* nothing held */
  }
}

function fixedBytes(refs: readonly SegmentRef[], disk: Disk): ByteSource {
  const files = new SegmentFiles(refs, disk);
  return {
    sizeBytes: () => files.sizeBytes,
    read: (position, into) => files.read(position, into),
    extents: (start, end) => files.extents(start, end),
    close: () => files.close(),
  };
}

/** First index in [0, length) that holds; `length` when none does. */
function firstWhere(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function outOfRange(what: string): CtxError {
  return new CtxError('journal.out_of_range', 'EINVAL', `${what} is not in this history`);
}
