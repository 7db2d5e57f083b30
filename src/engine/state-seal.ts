// What a state file looked like on disk when its sha256 was taken here, and a quick sum of its bytes. A file that still looks
// so and still has the sum is that file: its sha256 is not taken again. What this gives up: rationale 0041.
import { readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import xxhash from 'xxhash-wasm';

const { create64 } = await xxhash();

export interface Seal {
  /** Inode, size, mtime and ctime: any write, also one that sets the times back, moves the last. */
  readonly identity: string;
  /** Of all bytes, in hex. */
  readonly xxh64: string;
}

/** As the writer leaves it: a rename moves the ctime, and only the one who gave the file its name knows the last. */
export interface WrittenState {
  readonly inode: string;
  readonly xxh64: string;
}

/** Without the device: its number may be another one after a restart of the machine. */
export function sealIdentity(stats: BigIntStats): string {
  return `${writtenInode(stats)}:${stats.ctimeNs}`;
}

export function writtenInode({ ino, size, mtimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs].join(':');
}

/** The seal of a file that was renamed to where it lies now; undefined where something else was done to it since. */
export function sealWritten(written: WrittenState | undefined, stats: BigIntStats): Seal | undefined {
  if (written === undefined || written.inode !== writtenInode(stats)) return undefined;
  return { identity: sealIdentity(stats), xxh64: written.xxh64 };
}

/** Cost: one read and one pass of xxh64, a quarter of sha256's. */
export async function holdsSeal(file: FileHandle, stats: BigIntStats, seal: Seal | undefined, signal?: AbortSignal): Promise<boolean> {
  if (seal === undefined || seal.identity !== sealIdentity(stats)) return false;
  const hash = create64();
  await eachPiece(file, signal, (piece) => hash.update(piece));
  return hexOf(hash.digest()) === seal.xxh64;
}

export function quickSum(): { readonly update: (piece: Uint8Array) => void; readonly hex: () => string } {
  const hash = create64();
  return { update: (piece) => void hash.update(piece), hex: () => hexOf(hash.digest()) };
}

function hexOf(value: bigint): string {
  return value.toString(16).padStart(16, '0');
}

/** Small enough to stay in the processor's cache from the read to the sum. */
const PIECE_BYTES = 1 << 18;
const PIECES_A_TURN = 16;

/**
 * All bytes of a file in order; the piece is good until the function returns. Read in this thread: what is in memory costs
 * less than a hop to another. Others get a turn every 4 MiB.
 */
export async function eachPiece(file: FileHandle, signal: AbortSignal | undefined, take: (piece: Buffer) => void): Promise<void> {
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
