// The deriver's answers go straight to the kernel: the serving thread prepared the bytes and sleeps in read(2).
import * as fs from 'node:fs';
import type { Content } from '../../src/derive/types.ts';
import type { ReplyTicket } from '../../src/tree/types.ts';
import { errnoOf } from '../errno.ts';
import { ENTRY_ATTR, OUT_HEADER } from './protocol.ts';

/** True when the content is the one that the ticket calls current. */
export function isUnchanged(ticket: ReplyTicket, value: unknown): boolean {
  return ticket.current !== undefined && value !== undefined && (value as Content).digest === ticket.current.digest;
}

export function sendReply(fd: number, ticket: ReplyTicket, value: unknown): void {
  if (ticket.current !== undefined && isUnchanged(ticket, value)) return send(fd, ticket.current.reply);
  if (ticket.carriesAttributes) fillAttributes(ticket.ready, value as Content);
  send(fd, ticket.ready);
}

export function sendRefusal(fd: number, ticket: ReplyTicket, error: unknown): void {
  const reply = new Uint32Array([OUT_HEADER, -errnoOf(error).errno, ...ticket.unique]);
  send(fd, new Uint8Array(reply.buffer));
}

function fillAttributes(reply: Uint8Array, content: Content): void {
  const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
  const wide = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  const seconds = Math.floor(content.modifiedMs / 1000);
  wide(ENTRY_ATTR.SIZE, content.sizeBytes);
  wide(ENTRY_ATTR.BLOCKS, Math.ceil(content.sizeBytes / 512));
  for (const index of [0, 1, 2]) {
    wide(ENTRY_ATTR.TIMES + index * 8, seconds);
    view.setUint32(ENTRY_ATTR.NSECS + index * 4, Math.floor((content.modifiedMs - seconds * 1000) * 1e6), true);
  }
}

function send(fd: number, reply: Uint8Array): void {
  try {
    fs.writeSync(fd, reply);
  } catch (error) {
    // ENOENT: interrupted meanwhile. ENODEV: the mount is gone, and with it whoever waits.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EPERM') throw error;
  }
}
