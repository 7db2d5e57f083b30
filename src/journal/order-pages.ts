// Reads order records by index, over sealed pieces and the active file, through a small page cache: memory stays bounded at
// millions of records.
import { join } from 'node:path';
import { chainEnd, chainMissing, readChain, type ChainSegment } from './chain-segments.ts';
import { CtxError } from '../abi/errors.ts';
import { errnoOf, nodeDisk, readFully, type Disk } from './disk.ts';
import { decodeRecord, firstOf, HEADER_BYTES, ORDER_FILE, RECORD_BYTES, START, type RawRecord } from './order-record.ts';

const PAGE_RECORDS = 512;
const PAGES_KEPT = 64;

export class OrderPages {
  readonly #directory: string;
  readonly #disk: Disk;
  #fd: number | undefined;
  #inode: number | undefined;
  #sealed: readonly ChainSegment[] = [];
  #first = 0;
  readonly #pages: Map<number, Buffer> = new Map<number, Buffer>();
  /** Records in files, */
  #length = 0;
  /** and those that a full disk keeps in memory. */
  #unwritten: readonly Buffer[] = [];

  /** Missing file: an empty log. */
  constructor(directory: string, disk: Disk = nodeDisk) {
    this.#directory = directory;
    this.#disk = disk;
    this.reload();
  }

  get length(): number {
    return this.#length + this.#unwritten.length;
  }
  /** Records that are sealed. */
  get first(): number {
    return this.#first;
  }
  get sealed(): readonly ChainSegment[] {
    return this.#sealed;
  }

  /** The active file may be another one than before. It is opened before the pieces are listed: a seal links first. */
  reload(): void {
    this.close();
    this.#pages.clear();
    this.#length = 0;
    this.#inode = undefined;
    try {
      this.#fd = this.#disk.openSync(join(this.#directory, ORDER_FILE), 'r');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    try {
      this.#sealed = readChain(this.#directory, 'order', this.#disk);
      this.#first = chainEnd(this.#sealed);
      this.#judgeActive();
    } catch (error) {
      this.close();
      throw error;
    }
    this.refresh();
  }

  #judgeActive(): void {
    if (this.#fd === undefined) return;
    const { ino, dev } = this.#disk.fstatSync(this.#fd);
    this.#inode = ino;
    const last = this.#sealed.at(-1);
    const sealed = last === undefined ? undefined : this.#disk.statSync(last.path);
    const first = firstOf(this.header());
    // A seal in progress (or a crash in it), or a copy from before it: what is sealed counts.
    if ((sealed !== undefined && sealed.ino === ino && sealed.dev === dev) || (first !== undefined && first < this.#first)) this.close();
    else if (first !== undefined && first > this.#first) throw chainMissing(this.#directory, 'order', this.#first);
  }

  /** Looks at the file's size again (another thread may have appended or sealed); returns the number of whole records. */
  refresh(): number {
    if (this.#inode !== undefined && this.#inodeNow() !== this.#inode) this.reload();
    else if (this.#fd !== undefined)
      this.setLength(this.#first + Math.max(0, Math.floor((this.#disk.fstatSync(this.#fd).size - HEADER_BYTES) / RECORD_BYTES)));
    else this.setLength(this.#first);
    return this.length;
  }

  #inodeNow(): number | undefined {
    try {
      return this.#disk.statSync(join(this.#directory, ORDER_FILE)).ino;
    } catch (error) {
      // Gone: the open descriptor still has it.
      if (errnoOf(error) === 'ENOENT') return this.#inode;
      throw error;
    }
  }

  /** Pages that were partial, or lie past a cut, are read again. */
  setLength(length: number, unwritten: readonly Buffer[] = []): void {
    this.#unwritten = unwritten;
    if (length === this.#length) return;
    const first = Math.floor(Math.min(length, this.#length) / PAGE_RECORDS);
    for (const page of this.#pages.keys()) if (page >= first) this.#pages.delete(page);
    this.#length = length;
  }

  header(): Buffer {
    return this.#fd === undefined ? Buffer.alloc(0) : readFully(this.#disk, this.#fd, 0, HEADER_BYTES);
  }

  /** Decoded record; index -1 is the start of everything. */
  at(index: number): RawRecord {
    if (index === -1) return START;
    if (index >= this.#length) return decodeRecord(this.#inMemory(index), 0);
    const page = this.#page(index);
    return decodeRecord(page, (index % PAGE_RECORDS) * RECORD_BYTES);
  }

  /** The record's 48 bytes. */
  bytesAt(index: number): Buffer {
    if (index >= this.#length) return this.#inMemory(index);
    const at = (index % PAGE_RECORDS) * RECORD_BYTES;
    return this.#page(index).subarray(at, at + RECORD_BYTES);
  }

  /** First index whose value is past `value`; `length` when none is. The values must not fall with the index. */
  firstPast(value: number, of: (record: RawRecord) => number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (of(this.at(middle)) > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  close(): void {
    if (this.#fd !== undefined) this.#disk.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #page(index: number): Buffer {
    if (index < 0) throw this.#beyond(index);
    const number = Math.floor(index / PAGE_RECORDS);
    let page = this.#pages.get(number);
    if (page !== undefined) {
      if (this.#pages.size > PAGES_KEPT / 2) {
        this.#pages.delete(number);
        this.#pages.set(number, page);
      }
      return page;
    }
    const records = Math.min(PAGE_RECORDS, this.#length - number * PAGE_RECORDS);
    page = this.#read(number * PAGE_RECORDS, records);
    if (this.#pages.size >= PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value as number);
    this.#pages.set(number, page);
    return page;
  }

  #inMemory(index: number): Buffer {
    const record = this.#unwritten[index - this.#length];
    if (record === undefined) throw this.#beyond(index);
    return record;
  }

  #beyond(index: number): RangeError {
    return new RangeError(`order record ${index} of ${this.length}`);
  }

  /** Records may lie in several files. A piece is open only for the read: there may be many. */
  #read(index: number, count: number): Buffer {
    const pieces: Buffer[] = [];
    const end = index + count;
    for (const segment of this.#sealed.slice(this.#sealedAt(index))) {
      if (segment.first >= end) break;
      const until = Math.min(end, segment.first + segment.count);
      const fd = openPiece(this.#disk, segment.path);
      try {
        pieces.push(this.#records(fd, index - segment.first, until - index));
      } finally {
        this.#disk.closeSync(fd);
      }
      index = until;
    }
    if (index < end) pieces.push(this.#records(this.#fd as number, index - this.#first, end - index));
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  #records(fd: number, at: number, count: number): Buffer {
    const bytes = readFully(this.#disk, fd, HEADER_BYTES + at * RECORD_BYTES, count * RECORD_BYTES);
    if (bytes.length < count * RECORD_BYTES)
      throw new CtxError('journal.short_read', 'EIO', 'the order log is shorter than its name says', {
        where: this.#directory,
        next: 'run ctx fsck',
      });
    return bytes;
  }

  /** The piece that holds a record; their number when the active file does. */
  #sealedAt(index: number): number {
    let low = 0;
    let high = this.#sealed.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { first, count } = this.#sealed[middle] as ChainSegment;
      if (first + count > index) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Records that cover nothing past these sizes. */
export function recordsWithin(pages: OrderPages, messagesBytes: number, eventsBytes: number): number {
  return Math.min(
    pages.firstPast(messagesBytes, (record) => record.messagesEnd),
    pages.firstPast(eventsBytes, (record) => record.eventsEnd),
  );
}

/** Whether the log of a directory holds everything up to these sizes. */
export function orderHolds(directory: string, messagesBytes: number, eventsBytes: number): boolean {
  const pages = new OrderPages(directory);
  try {
    const last = pages.at(pages.length - 1);
    return last.messagesEnd >= messagesBytes && last.eventsEnd >= eventsBytes;
  } finally {
    pages.close();
  }
}

function openPiece(disk: Disk, path: string): number {
  try {
    return disk.openSync(path, 'r');
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new CtxError('journal.segment_missing', 'EIO', 'a segment of the order log is gone', {
      where: path,
      next: 'bring it back from a backup, or from a fork that shares it, then run ctx fsck',
      cause,
    });
  }
}
