// BlockRecords of whole blocks in an append-only cache file, found by number. Layout of the cache directory:
// `blocks.z` (a version line, then deflated records), `blocks.at` (40 bytes a block: end offset, newest user line, where its messages
// end, a digest of the mark of history up to its last line, and a sum of these). Derived: may be deleted at any time; an end
// that is torn, foreign or of another history is cut off on open, and so is what follows a damaged entry.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import type { ZlibOptions } from 'node:zlib';
import { CtxError } from '../abi/errors.ts';
import type { LineMark } from '../abi/line-mark.ts';
import { decodeRecord, RECORD_VERSION } from '../context/record-codec.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { BlockRecord } from '../context/types.ts';
import { CACHE_DAMAGED } from '../derive/types.ts';

/** One mapped block: its encoded record, deflated. `user`: newest user message at or before its end within the block; 0 when none. */
export interface MappedBlock {
  readonly record: Uint8Array;
  readonly user: number;
  /** Bytes of its messages. */
  readonly bytes: number;
}

export const BLOCK_STORE_VERSION: string = `blocks/5 records/${RECORD_VERSION}`;
const INDEX_BYTES = 40;
const MARK_BYTES = 12;
/** Where an entry's mark begins, and its sum, which ends it. */
const MARK_AT = 24;
const SUM_AT = MARK_AT + MARK_BYTES;
const CACHED_BLOCKS = 96;

export class BlockStore {
  readonly #records: number;
  readonly #index: number;
  #ends: Float64Array = new Float64Array(64);
  #users: Float64Array = new Float64Array(64);
  #messagesEnds: Float64Array = new Float64Array(64);
  #count = 0;
  readonly #headBytes: number;
  readonly #markOf: LineMark;
  readonly #cache = new Map<number, BlockRecord>();

  constructor(directory: string, markOf: LineMark) {
    this.#markOf = markOf;
    mkdirSync(directory, { recursive: true });
    this.#records = openSync(join(directory, 'blocks.z'), 'a+', 0o600);
    this.#index = openSync(join(directory, 'blocks.at'), 'a+', 0o600);
    const head = Buffer.from(`${JSON.stringify({ version: BLOCK_STORE_VERSION })}\n`);
    this.#headBytes = head.length;
    const found = Buffer.alloc(head.length);
    const size = fstatSync(this.#records).size;
    if (size < head.length || readSync(this.#records, found, 0, head.length, 0) !== head.length || !found.equals(head)) {
      ftruncateSync(this.#records, 0);
      ftruncateSync(this.#index, 0);
      writeSync(this.#records, head);
    } else this.#load(size);
  }

  /** Whole blocks stored; block n covers lines n*64+1 .. (n+1)*64. */
  get count(): number {
    return this.#count;
  }

  /** Newest user message at or before the end of block `number`; 0 when there is none. */
  userThrough(number: number): number {
    return number < 0 ? 0 : (this.#users[number] as number);
  }

  /** Where the messages of whole block `number` lie in messages.jsonl; undefined when it is not stored. */
  messagesOf(number: number): { readonly start: number; readonly end: number } | undefined {
    return number < this.#count ? { start: this.#messagesEnd(number - 1), end: this.#messagesEnd(number) } : undefined;
  }

  append(blocks: readonly MappedBlock[]): void {
    if (blocks.length === 0) return;
    const parts: Uint8Array[] = [];
    const index = Buffer.alloc(blocks.length * INDEX_BYTES);
    let end = this.#end(this.#count - 1);
    for (const [i, block] of blocks.entries()) {
      parts.push(block.record);
      end += block.record.length;
      const user = block.user > 0 ? block.user : this.userThrough(this.#count - 1);
      const messagesEnd = this.#messagesEnd(this.#count - 1) + block.bytes;
      this.#push(end, user, messagesEnd);
      index.writeDoubleLE(end, i * INDEX_BYTES);
      index.writeDoubleLE(messagesEnd, i * INDEX_BYTES + 16);
      index.writeDoubleLE(user, i * INDEX_BYTES + 8);
      this.#mark(this.#count - 1)?.copy(index, i * INDEX_BYTES + MARK_AT);
      index.writeUInt32LE(crc32(index.subarray(i * INDEX_BYTES, i * INDEX_BYTES + SUM_AT)), i * INDEX_BYTES + SUM_AT);
    }
    writeWhole(this.#records, Buffer.concat(parts));
    // The index last: records without an entry are cut off on open, never the other way round.
    writeWhole(this.#index, index);
  }

  record(number: number): BlockRecord {
    const cached = this.#cache.get(number);
    if (cached !== undefined) return cached;
    const start = this.#end(number - 1);
    const bytes = Buffer.alloc(this.#end(number) - start);
    readSync(this.#records, bytes, 0, bytes.length, start);
    const record = decoded(bytes);
    this.#cache.set(number, record);
    if (this.#cache.size > CACHED_BLOCKS)
      for (const [oldest] of this.#cache) {
        this.#cache.delete(oldest);
        break;
      }
    return record;
  }

  /** Records [from, to) in order, read in large pieces. */
  *records(from: number, to: number): Generator<BlockRecord> {
    for (let at = from; at < to;) {
      let next = at + 1;
      const start = this.#end(at - 1);
      while (next < to && this.#end(next) - start <= 1 << 20) next += 1;
      const bytes = Buffer.alloc(this.#end(next - 1) - start);
      readSync(this.#records, bytes, 0, bytes.length, start);
      for (let number = at; number < next; number++)
        yield decoded(bytes.subarray(this.#end(number - 1) - start, this.#end(number) - start));
      at = next;
    }
  }

  close(): void {
    closeSync(this.#records);
    closeSync(this.#index);
  }

  #end(number: number): number {
    return number < 0 ? this.#headBytes : (this.#ends[number] as number);
  }

  #messagesEnd(number: number): number {
    return number < 0 ? 0 : (this.#messagesEnds[number] as number);
  }

  #push(end: number, user: number, messagesEnd: number): void {
    if (this.#count === this.#ends.length) {
      this.#messagesEnds = grown(this.#messagesEnds);
      this.#ends = grown(this.#ends);
      this.#users = grown(this.#users);
    }
    this.#ends[this.#count] = end;
    this.#users[this.#count] = user;
    this.#messagesEnds[this.#count] = messagesEnd;
    this.#count += 1;
  }

  #load(sizeBytes: number): void {
    const bytes = Buffer.alloc(Math.floor(fstatSync(this.#index).size / INDEX_BYTES) * INDEX_BYTES);
    readSync(this.#index, bytes, 0, bytes.length, 0);
    let before = this.#headBytes;
    const whole = bytes.subarray(0, this.#ofThisHistory(bytes) * INDEX_BYTES);
    for (let at = 0; at < whole.length; at += INDEX_BYTES) {
      const end = bytes.readDoubleLE(at);
      if (!(end > before && end <= sizeBytes) || crc32(bytes.subarray(at, at + SUM_AT)) !== bytes.readUInt32LE(at + SUM_AT)) break;
      this.#push(end, bytes.readDoubleLE(at + 8), bytes.readDoubleLE(at + 16));
      before = end;
    }
    ftruncateSync(this.#index, this.#count * INDEX_BYTES);
    ftruncateSync(this.#records, before);
  }

  /** How many of the first blocks are: each mark covers all that was before it. One look at the last when all are. */
  #ofThisHistory(index: Buffer): number {
    const holds = (number: number): boolean =>
      this.#mark(number)?.equals(index.subarray(number * INDEX_BYTES + MARK_AT, number * INDEX_BYTES + SUM_AT)) === true;
    let low = 0;
    for (let high = index.length / INDEX_BYTES, next = high - 1; low < high; next = (low + high) >>> 1) {
      if (holds(next)) low = next + 1;
      else high = next;
    }
    return low;
  }

  #mark(number: number): Buffer | undefined {
    const mark = this.#markOf((number + 1) * BLOCK_LINES);
    return mark === undefined ? undefined : createHash('sha256').update(mark).digest().subarray(0, MARK_BYTES);
  }
}

/** A record as the store keeps it: about three fifths of its text. */
export function packRecord(text: string): Uint8Array {
  // A copy of its own size: what zlib gives is a view on a whole chunk, and a worker would send all of that.
  return new Uint8Array(deflateSync(text, SMALL));
}

/** Records have a few kilobytes: with zlib's usual sizes most of the time goes into its tables. */
const SMALL: ZlibOptions = { level: 1, windowBits: 13, memLevel: 5, chunkSize: 8192 };

function decoded(bytes: Buffer): BlockRecord {
  let record: BlockRecord | undefined;
  try {
    // DRV-11: zlib's own sum is checked here.
    record = decodeRecord(inflateSync(bytes).toString('utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') !== true) throw error;
  }
  if (record !== undefined) return record;
  throw new CtxError(CACHE_DAMAGED, 'EIO', 'a cached block record does not read', {
    where: 'context/.cache/blocks.z',
    next: 'delete context/.cache',
  });
}

function grown(from: Float64Array): Float64Array {
  const to = new Float64Array(from.length * 2);
  to.set(from);
  return to;
}

function writeWhole(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}
