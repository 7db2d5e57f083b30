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
  START,
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
  const state = headerState(header, options.boot);
  if (state === 'foreign') return restart(options, header, sizeBytes);
  const pages = new OrderPages(options.directory, disk);
  try {
    const whole = pages.length;
    // In another boot pages of the log itself may be missing: look at every record once.
    let kept = state === 'boot' ? whole : soundPrefix(pages, whole);
    // An input's bytes are durable before its record, those of journals need not be: that an input holds tells nothing of them.
    for (let good = 0, index = kept - 1; index >= 0 && good < CHECKED; index--) {
      if (!recordHolds(options, pages, index)) {
        kept = index;
        good = 0;
      } else if (pages.at(index).kind !== KIND_INPUT) good++;
    }
    if (HEADER_BYTES + kept * RECORD_BYTES !== sizeBytes) disk.ftruncateSync(fd, HEADER_BYTES + kept * RECORD_BYTES);
    if (kept < whole)
      options.onFinding({
        code: 'order.rebuilt',
        message: 'records did not match the journals; their bytes get new ones',
        droppedRecords: whole - kept,
      });
    else if ((sizeBytes - HEADER_BYTES) % RECORD_BYTES !== 0)
      options.onFinding({ code: 'order.torn', message: 'the last record was torn', droppedRecords: 0 });
    if (state !== 'boot') writeFully(disk, fd, encodeHeader(options.boot), 0);
    return { length: kept, last: pages.at(kept - 1), chain: kept === 0 ? CHAIN_START : Buffer.from(chainOf(pages.bytesAt(kept - 1), 0)) };
  } finally {
    pages.close();
  }
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

function soundPrefix(pages: OrderPages, length: number): number {
  let previous: RawRecord = START;
  for (let index = 0; index < length; index++) {
    const record = pages.at(index);
    if (!follows(previous, record)) return index;
    previous = record;
  }
  return length;
}

/** No header: a new log, one that power loss emptied, or one of a later format, which is not ours to touch. */
function restart(options: RecoverOptions, header: Buffer, sizeBytes: number): RecoveredOrder {
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
      message: 'order.log had no readable header; it is rebuilt from the journals',
      droppedRecords: Math.max(0, Math.floor((sizeBytes - HEADER_BYTES) / RECORD_BYTES)),
    });
  }
  options.disk.ftruncateSync(options.fd, 0);
  writeFully(options.disk, options.fd, encodeHeader(options.boot), 0);
  return { length: 0, last: START, chain: CHAIN_START };
}
