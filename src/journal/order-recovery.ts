// Opening order.log after any kind of end. A record is kept when its chain digest matches the bytes it covers; damage is a
// suffix (records are written in order, after their data), so the check walks back from the end until one record holds.
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { readFully, writeFully, type Disk } from './disk.ts';
import type { JournalBytes } from './journal-bytes.ts';
import { OrderPages } from './order-pages.ts';
import {
  chainOf,
  CHAIN_START,
  encodeHeader,
  endChain,
  follows,
  HEADER_BYTES,
  headerState,
  KIND_INPUT,
  KIND_MESSAGES,
  ORDER_FILE,
  ORDER_VERSION,
  RECORD_BYTES,
  startChain,
  type RawRecord,
} from './order-record.ts';

export interface OrderFinding {
  readonly code: 'order.torn' | 'order.rebuilt' | 'order.header';
  readonly message: string;
  readonly droppedRecords: number;
}

export interface RecoverOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly fd: number;
  readonly boot: string;
  readonly bytes: Readonly<Record<JournalFile, JournalBytes>>;
  readonly inputLines: readonly Buffer[];
  onFinding(finding: OrderFinding): void;
}

export interface RecoveredOrder {
  readonly length: number;
  readonly last: RawRecord;
  readonly chain: Buffer;
}

/** Records of journal bytes at the end whose digests are always checked, with the inputs between them. */
const CHECKED = 4;

/** Leaves the file holding exactly the records that are kept, and says where the log stands. */
export function recoverOrder(options: RecoverOptions): RecoveredOrder {
  const { disk, fd } = options;
  const sizeBytes = disk.fstatSync(fd).size;
  const header = readFully(disk, fd, 0, HEADER_BYTES);
  const pages = new OrderPages(options.directory, disk);
  try {
    const { first } = pages;
    const state = headerState(header, options.boot, first);
    if (state === 'foreign') return restart(options, pages, header, sizeBytes);
    const whole = pages.length;
    // What is sealed was on the disk before it was, with all that it covers. Of the rest, pages may be missing after another boot:
    // look at every record once.
    let kept = state === 'boot' ? whole : soundPrefix(pages, first, whole);
    // An input's bytes are durable before its record, those of journals need not be: that an input holds tells nothing of them.
    for (let good = 0, index = kept - 1; index >= first && good < CHECKED; index--) {
      if (!recordHolds(options, pages, index)) {
        kept = index;
        good = 0;
      } else if (pages.at(index).kind !== KIND_INPUT) good++;
    }
    const keptBytes = HEADER_BYTES + (kept - first) * RECORD_BYTES;
    if (keptBytes !== sizeBytes) disk.ftruncateSync(fd, keptBytes);
    if (kept < whole)
      options.onFinding({
        code: 'order.rebuilt',
        message: 'records did not match the journals; their bytes get new ones',
        droppedRecords: whole - kept,
      });
    else if ((sizeBytes - HEADER_BYTES) % RECORD_BYTES !== 0)
      options.onFinding({ code: 'order.torn', message: 'the last record was torn', droppedRecords: 0 });
    if (state !== 'boot') writeFully(disk, fd, encodeHeader(options.boot, first), 0);
    return standingAt(pages, kept);
  } finally {
    pages.close();
  }
}

function standingAt(pages: OrderPages, length: number): RecoveredOrder {
  pages.setLength(length);
  return {
    length,
    last: pages.at(length - 1),
    chain: length === 0 ? CHAIN_START : Buffer.from(chainOf(pages.bytesAt(length - 1), 0)),
  };
}

/** Whether record `index` follows the one before it and its digest matches what it covers. Cost: the bytes it covers. */
export function recordHolds(options: Pick<RecoverOptions, 'bytes' | 'inputLines'>, pages: OrderPages, index: number): boolean {
  const record = pages.at(index);
  const previous = pages.at(index - 1);
  if (!follows(previous, record)) return false;
  const bytes = Buffer.from(pages.bytesAt(index));
  const hash = startChain(index === 0 ? CHAIN_START : chainOf(pages.bytesAt(index - 1), 0), bytes, 0);
  if (record.kind === KIND_INPUT) {
    const line = options.inputLines[record.inputs - 1];
    if (line === undefined) return false;
    hash.update(line);
  } else {
    const messages = record.kind === KIND_MESSAGES;
    const source = options.bytes[messages ? 'messages.jsonl' : 'events.jsonl'];
    const end = messages ? record.messagesEnd : record.eventsEnd;
    const chunk = Buffer.allocUnsafe(Math.min(1 << 20, end - (messages ? previous.messagesEnd : previous.eventsEnd)));
    for (let at = messages ? previous.messagesEnd : previous.eventsEnd; at < end;) {
      const got = source.read(at, chunk.subarray(0, Math.min(chunk.length, end - at)));
      if (got === 0) return false;
      hash.update(chunk.subarray(0, got));
      at += got;
    }
  }
  return endChain(hash).equals(chainOf(bytes, 0));
}

function soundPrefix(pages: OrderPages, first: number, length: number): number {
  let previous: RawRecord = pages.at(first - 1);
  for (let index = first; index < length; index++) {
    const record = pages.at(index);
    if (!follows(previous, record)) return index;
    previous = record;
  }
  return length;
}

/** No header: a new log, one that power loss emptied, or one of a later format, which is not ours to touch. */
function restart(options: RecoverOptions, pages: OrderPages, header: Buffer, sizeBytes: number): RecoveredOrder {
  if (header.length >= 10 && header.subarray(0, 8).toString('latin1') === 'ctxorder' && header.readUInt16BE(8) > ORDER_VERSION) {
    throw new CtxError(
      'journal.order_format',
      'EOPNOTSUPP',
      `order.log has format ${header.readUInt16BE(8)}; this version reads ${ORDER_VERSION}`,
      {
        where: join(options.directory, ORDER_FILE),
        next: 'use a newer ctxfs',
      },
    );
  }
  if (sizeBytes > 0) {
    options.onFinding({
      code: 'order.header',
      message: 'order.log had no header that fits; it is rebuilt from the journals',
      droppedRecords: Math.max(0, Math.floor((sizeBytes - HEADER_BYTES) / RECORD_BYTES)),
    });
  }
  options.disk.ftruncateSync(options.fd, 0);
  writeFully(options.disk, options.fd, encodeHeader(options.boot, pages.first), 0);
  return standingAt(pages, pages.first);
}
