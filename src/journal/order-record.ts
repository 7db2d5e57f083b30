// order.log (abi-spec/order-log.md): a 48-byte header, then 48-byte records. The header of a log whose first records are
// sealed elsewhere has version 2 and says how many they are.
// kind u8 · version u8 · time u48 (ms) · messagesEnd u48 · eventsEnd u48 · messageLines u32 · eventLines u32 · inputs u32 · chain 16 bytes
import { createHash, type Hash } from 'node:crypto';

export const RECORD_BYTES = 48;
export const HEADER_BYTES = 48;
export const CHAIN_BYTES = 16;
/** Newest header version that is read. */
export const ORDER_VERSION = 2;
const RECORD_VERSION = 1;
export const ORDER_FILE = 'order.log';
/** What a record covers is bounded, so that finding a line inside it is too. */
export const MAX_RECORD_BYTES: number = 256 * 1024;
export const MAX_RECORD_LINES = 1024;

export const KIND_MESSAGES = 1;
export const KIND_EVENTS = 2;
export const KIND_INPUT = 3;

const MAGIC = Buffer.from('ctxorder', 'latin1');
const HEAD_BYTES: number = RECORD_BYTES - CHAIN_BYTES;

/** All counts are cumulative: what the session held after this record. */
export interface RawRecord {
  kind: number;
  timeMs: number;
  messagesEnd: number;
  eventsEnd: number;
  messageLines: number;
  eventLines: number;
  inputs: number;
}

export const START: RawRecord = { kind: 0, timeMs: 0, messagesEnd: 0, eventsEnd: 0, messageLines: 0, eventLines: 0, inputs: 0 };
/** Chain value before the first record. */
export const CHAIN_START: Buffer = Buffer.alloc(CHAIN_BYTES);

/** `first`: records of the session that are sealed in other files, before this one's. */
export function encodeHeader(boot: string, first: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16BE(first === 0 ? 1 : 2, 8);
  header.writeUInt16BE(RECORD_BYTES, 10);
  header.writeUIntBE(first, 12, 6);
  createHash('sha256').update(boot).digest().copy(header, 32, 0, 16);
  return header;
}

/** Records sealed before this file's; undefined: not a log that we can read. */
export function firstOf(header: Buffer): number | undefined {
  if (header.length < HEADER_BYTES || !header.subarray(0, 8).equals(MAGIC)) return undefined;
  const version = header.readUInt16BE(8);
  if (version < 1 || version > ORDER_VERSION || header.readUInt16BE(10) !== RECORD_BYTES) return undefined;
  return version === 1 ? 0 : header.readUIntBE(12, 6);
}

/** `boot`: the log was last checked in this boot of the machine; `other`: in another one; `foreign`: not the log that we want. */
export function headerState(header: Buffer, boot: string, first: number): 'boot' | 'other' | 'foreign' {
  if (firstOf(header) !== first) return 'foreign';
  return boot !== '' && encodeHeader(boot, first).equals(header) ? 'boot' : 'other';
}

export function encodeHead(record: RawRecord, into: Buffer, at: number): void {
  into[at] = record.kind;
  into[at + 1] = RECORD_VERSION;
  into.writeUIntBE(record.timeMs, at + 2, 6);
  into.writeUIntBE(record.messagesEnd, at + 8, 6);
  into.writeUIntBE(record.eventsEnd, at + 14, 6);
  into.writeUInt32BE(record.messageLines, at + 20);
  into.writeUInt32BE(record.eventLines, at + 24);
  into.writeUInt32BE(record.inputs, at + 28);
}

export function decodeRecord(from: Buffer, at: number): RawRecord {
  return {
    kind: from[at] as number,
    timeMs: from.readUIntBE(at + 2, 6),
    messagesEnd: from.readUIntBE(at + 8, 6),
    eventsEnd: from.readUIntBE(at + 14, 6),
    messageLines: from.readUInt32BE(at + 20),
    eventLines: from.readUInt32BE(at + 24),
    inputs: from.readUInt32BE(at + 28),
  };
}

export function chainOf(from: Buffer, at: number): Buffer {
  return from.subarray(at + HEAD_BYTES, at + RECORD_BYTES);
}

/** Starts a record's chain digest: sha256(previous chain, this record's first 32 bytes, the bytes it covers). */
export function startChain(previous: Buffer, head: Buffer, at: number): Hash {
  return createHash('sha256')
    .update(previous)
    .update(head.subarray(at, at + HEAD_BYTES));
}

export function endChain(hash: Hash): Buffer {
  return hash.digest().subarray(0, CHAIN_BYTES);
}

/** Whether `next` can follow `previous`: exactly one thing grew, by what its kind says. */
export function follows(previous: RawRecord, next: RawRecord): boolean {
  const messages = next.messagesEnd - previous.messagesEnd;
  const events = next.eventsEnd - previous.eventsEnd;
  const messageLines = next.messageLines - previous.messageLines;
  const eventLines = next.eventLines - previous.eventLines;
  const inputs = next.inputs - previous.inputs;
  switch (next.kind) {
    case KIND_MESSAGES:
      return messages > 0 && messageLines > 0 && events === 0 && eventLines === 0 && inputs === 0;
    case KIND_EVENTS:
      return events > 0 && eventLines > 0 && messages === 0 && messageLines === 0 && inputs === 0;
    case KIND_INPUT:
      return inputs === 1 && messages === 0 && events === 0 && messageLines === 0 && eventLines === 0;
    default:
      return false;
  }
}
