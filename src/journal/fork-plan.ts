// What a fork needs that takes time in proportion to history, found out away from the serving thread (JRN-39): the active
// files on the disk as far as they go when the fork is asked for, and the digests of what is sealed and shared. The seal
// itself then only names files; lines that came meanwhile go on in the new active file.
import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { nodeDisk } from './disk.ts';
import { cutAtLine } from './fork.ts';
import { readSealed, sealedOf } from './layout.ts';
import { OrderPages } from './order-pages.ts';
import type { SyncWork } from './sync-work.ts';

/** One active file as it is when the fork is asked for. */
export interface ForkPart {
  readonly journal: JournalFile;
  /** Names this active file: another fork may seal it first. */
  readonly key: number;
  /** Open until the fork is settled. */
  readonly fd: number;
  /** Whole lines; what comes later is not part of the fork. */
  readonly bytes: number;
  readonly work: SyncWork;
}

export interface ForkPlan {
  readonly seals: readonly { readonly journal: JournalFile; readonly key: number; readonly bytes: number; readonly sha256: string }[];
  /** Of a segment that the child sees in part: its first `bytes` bytes. */
  readonly cuts: readonly { readonly journal: JournalFile; readonly bytes: number; readonly sha256: string }[];
}

/** `sync` does the parts' work. The order log must hold everything up to the parts' sizes. One read of the active files. */
export async function planFork(
  directory: string,
  parts: readonly ForkPart[],
  atLine: number | undefined,
  sync: (work: SyncWork) => Promise<void>,
): Promise<ForkPlan> {
  const ends = atLine === undefined ? undefined : endsAt(directory, parts, atLine);
  const seals: ForkPlan['seals'][number][] = [];
  const cuts: ForkPlan['cuts'][number][] = [];
  for (const part of parts) await sync(part.work);
  const sealed = readSealed(directory);
  for (const journal of JOURNALS) {
    let left = ends?.[journal] ?? Infinity;
    for (const segment of sealedOf(sealed, journal)) {
      if (left > 0 && left < segment.bytes) {
        const file = await fs.promises.open(join(directory, segment.file), 'r');
        try {
          cuts.push({ journal, bytes: left, sha256: hex((await digest(file.fd, left, left)).whole) });
        } finally {
          await file.close();
        }
      }
      left = Math.max(0, left - segment.bytes);
    }
    const part = parts.find((other) => other.journal === journal && other.bytes > 0);
    if (part === undefined) continue;
    const { whole, cut } = await digest(part.fd, part.bytes, left);
    seals.push({ journal, key: part.key, bytes: part.bytes, sha256: hex(whole) });
    if (cut !== undefined) cuts.push({ journal, bytes: left, sha256: hex(cut) });
  }
  return { seals, cuts };
}

function endsAt(directory: string, parts: readonly ForkPart[], atLine: number): Readonly<Record<JournalFile, number>> {
  const pages = new OrderPages(directory, nodeDisk);
  try {
    const { ends } = cutAtLine({ parent: directory, disk: nodeDisk }, pages, atLine);
    const sealed = sealedOf(readSealed(directory), 'messages.jsonl').reduce((sum, segment) => sum + segment.bytes, 0);
    const active = parts.find(({ journal }) => journal === 'messages.jsonl')?.bytes ?? 0;
    if (ends['messages.jsonl'] > sealed + active)
      throw new CtxError('journal.no_such_line', 'EINVAL', `cannot fork at line ${atLine}: it came after the fork was asked for`, {
        where: directory,
        next: 'ask again',
      });
    return ends;
  } finally {
    pages.close();
  }
}

/** Digest of the first `bytes` bytes, and on the way of the first `cutBytes` where that is less. Others get their turn. */
async function digest(fd: number, bytes: number, cutBytes: number): Promise<{ whole: Hash; cut: Hash | undefined }> {
  const whole = createHash('sha256');
  const chunk = Buffer.allocUnsafe(1 << 20);
  let cut: Hash | undefined;
  for (let at = 0; at < bytes;) {
    const until = at < cutBytes && cutBytes < bytes ? cutBytes : bytes;
    const got = await readAt(fd, chunk, Math.min(chunk.length, until - at), at);
    if (got === 0)
      throw new CtxError('journal.short_read', 'EIO', `the active file ends at byte ${at} of ${bytes}`, { next: 'run ctx fsck' });
    whole.update(chunk.subarray(0, got));
    at += got;
    if (at === cutBytes && cutBytes < bytes) cut = whole.copy();
  }
  return { whole, cut };
}

function readAt(fd: number, into: Buffer, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, 0, length, position, (error, got) => (error === null ? resolve(got) : reject(error)));
  });
}

function hex(hash: Hash): string {
  return hash.digest('hex');
}
