// Reads order.log records by index through a small page cache: memory stays bounded at millions of records.
import { join } from 'node:path';
import { errnoOf, nodeDisk, readFully, type Disk } from './disk.ts';
import { decodeRecord, HEADER_BYTES, ORDER_FILE, RECORD_BYTES, START, type RawRecord } from './order-record.ts';

const PAGE_RECORDS = 512;
const PAGES_KEPT = 64;

export class OrderPages {
  readonly #disk: Disk;
  readonly #fd: number | undefined;
  readonly #pages: Map<number, Buffer> = new Map<number, Buffer>();
  #length = 0;

  /** Missing file: an empty log. */
  constructor(directory: string, disk: Disk = nodeDisk) {
    this.#disk = disk;
    try {
      this.#fd = disk.openSync(join(directory, ORDER_FILE), 'r');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    this.refresh();
  }

  get length(): number {
    return this.#length;
  }

  /** Looks at the file's size again (another thread may have appended); returns the number of whole records. */
  refresh(): number {
    if (this.#fd !== undefined)
      this.setLength(Math.max(0, Math.floor((this.#disk.fstatSync(this.#fd).size - HEADER_BYTES) / RECORD_BYTES)));
    return this.#length;
  }

  /** Pages that were partial, or lie past a cut, are read again. */
  setLength(length: number): void {
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
    const page = this.#page(index);
    return decodeRecord(page, (index % PAGE_RECORDS) * RECORD_BYTES);
  }

  /** The record's 48 bytes. */
  bytesAt(index: number): Buffer {
    const at = (index % PAGE_RECORDS) * RECORD_BYTES;
    return this.#page(index).subarray(at, at + RECORD_BYTES);
  }

  /** First index whose value is past `value`; `length` when none is. The values must not fall with the index. */
  firstPast(value: number, of: (record: RawRecord) => number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (of(this.at(middle)) > value) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  close(): void {
    if (this.#fd !== undefined) this.#disk.closeSync(this.#fd);
  }

  #page(index: number): Buffer {
    if (index < 0 || index >= this.#length || this.#fd === undefined) throw new RangeError(`order record ${index} of ${this.#length}`);
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
    page = readFully(this.#disk, this.#fd, HEADER_BYTES + number * PAGE_RECORDS * RECORD_BYTES, records * RECORD_BYTES);
    if (this.#pages.size >= PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value as number);
    this.#pages.set(number, page);
    return page;
  }
}
