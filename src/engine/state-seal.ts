// How a state file looks to the kernel since the machine started. A file that looks as it did when its digest was taken was written
// by nobody since: it may be loaded at once, and its digest is taken again beside the work that follows. Rationale 0043.
import { readFileSync, readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/** Another one after each start of the machine; empty where the kernel does not say: then no look is trusted. */
const BOOT = readBoot();

export interface OpenFile {
  readonly fd: number;
}

/** Boot, device, inode, size, mtime and ctime: any write, also one that sets the times back, moves the last. */
export function lookOf(stats: BigIntStats): string {
  return `${BOOT}:${stats.dev}:${writtenInode(stats)}:${stats.ctimeNs}`;
}

/** What of the look a rename leaves: it moves the ctime. */
export function writtenInode({ ino, size, mtimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs].join(':');
}

/** The look of a file that was renamed to where it lies now; undefined where something else was done to it since. */
export function lookOfWritten(written: string | undefined, stats: BigIntStats): string | undefined {
  return written === writtenInode(stats) ? lookOf(stats) : undefined;
}

export function looksSame(look: string | undefined, stats: BigIntStats): boolean {
  return BOOT !== '' && look === lookOf(stats);
}

/** Small enough to stay in the processor's cache from the read to the sum. */
const PIECE_BYTES = 1 << 18;
const PIECES_A_TURN = 16;

/**
 * All bytes of a file in order; the piece is good until the function returns. Read in this thread: what is in memory costs
 * less than a hop to another. Others get a turn every 4 MiB.
 */
export async function eachPiece(file: OpenFile, signal: AbortSignal | undefined, take: (piece: Buffer) => void): Promise<void> {
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  let at = 0;
  for (let pieces = 1; ; pieces += 1) {
    const count = readSync(file.fd, buffer, 0, PIECE_BYTES, at);
    if (count === 0) return;
    take(buffer.subarray(0, count));
    at += count;
    if (pieces % PIECES_A_TURN !== 0) continue;
    await setImmediate();
    signal?.throwIfAborted();
  }
}

function readBoot(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
