// The sha256 of sealed segments, found out after the fork that sealed them: nothing waits for it but who asks for it.
// `segments/digests.json` remembers it until segments.json is written again. A cache: it may be deleted, and what it says
// counts only for the very file that was read (inode, size and time). Until then the order log's chain speaks for the bytes.
import * as fs from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { nodeDisk, readWhole, writeFully, type Disk } from './disk.ts';
import { readSealed, SEGMENTS_DIR } from './layout.ts';
import type { ReadAt } from './line-scan.ts';
import { readChain } from './chain-segments.ts';

export const DIGESTS_FILE: string = `${SEGMENTS_DIR}/digests.json`;

/** A sealed file of a session, of which the first `bytes` bytes are its own. */
export interface Part {
  /** Relative to the session directory. */
  readonly file: string;
  readonly bytes: number;
}

/** `<inode>:<file size>:<mtime>:<bytes>` → sha256, for the same file in several sessions of this process. */
const seen: Map<string, string> = new Map<string, string>();
const MAX_SEEN = 4096;

/** What is known of the parts of a session; a file that changed or is gone has none. Cost: one stat for each remembered part. */
export function knownDigests(directory: string, disk: Disk = nodeDisk): ReadonlyMap<string, string> {
  const known = new Map<string, string>();
  for (const [file, entry] of readRemembered(directory, disk)) {
    const path = join(directory, file);
    if (disk.existsSync(path) && stampOf(disk, path, entry.bytes) === entry.stamp)
      known.set(keyOf({ file, bytes: entry.bytes }), entry.sha256);
  }
  return known;
}

/** What was once found out, whatever happened to the file since: a check holds the file to it. */
export function rememberedDigests(directory: string, disk: Disk = nodeDisk): ReadonlyMap<string, string> {
  return new Map([...readRemembered(directory, disk)].map(([file, { bytes, sha256 }]) => [keyOf({ file, bytes }), sha256]));
}

export function keyOf({ file, bytes }: Part): string {
  return `${file}:${bytes}`;
}

/**
 * Finds out and remembers every digest that is missing. Others get their turn after each MiB. A part whose file is gone is
 * left out: who needs it hears of that elsewhere.
 */
export async function digestParts(
  directory: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (doneBytes: number, allBytes: number) => void } = {},
): Promise<void> {
  const known = knownDigests(directory);
  const missing: readonly Part[] = [
    ...readSealed(directory).filter((segment) => segment.sha256 === undefined),
    ...readChain(directory, 'order').map(({ file, bytes }) => ({ file, bytes })),
    ...readChain(directory, 'inputs').map(({ file, bytes }) => ({ file, bytes })),
  ].filter((part) => !known.has(keyOf(part)) && fs.existsSync(join(directory, part.file)));
  if (missing.length === 0) return;
  const allBytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
  let doneBytes = 0;
  const found = readRemembered(directory, nodeDisk);
  for (const part of missing) {
    const path = join(directory, part.file);
    const stamp = stampOf(nodeDisk, path, part.bytes);
    const sha256 =
      seen.get(stamp) ??
      (await digestFile(path, part.bytes, (bytes) => {
        options.signal?.throwIfAborted();
        options.onProgress?.(doneBytes + bytes, allBytes);
      }));
    if (seen.size >= MAX_SEEN) seen.delete(seen.keys().next().value as string);
    seen.set(stamp, sha256);
    doneBytes += part.bytes;
    found.set(part.file, { bytes: part.bytes, stamp, sha256 });
  }
  remember(directory, found);
}

export function digestOfPrefix(readAt: ReadAt, sizeBytes: number): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(1 << 20);
  for (let at = 0; at < sizeBytes;) {
    const got = readAt(at, chunk.subarray(0, Math.min(chunk.length, sizeBytes - at)));
    if (got === 0) throw shortRead(at, sizeBytes);
    hash.update(chunk.subarray(0, got));
    at += got;
  }
  return hash.digest('hex');
}

async function digestFile(path: string, sizeBytes: number, onChunk: (bytes: number) => void): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(1 << 20);
  const file = await fs.promises.open(path, 'r');
  try {
    for (let at = 0; at < sizeBytes;) {
      const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, sizeBytes - at), at);
      if (bytesRead === 0) throw shortRead(at, sizeBytes);
      hash.update(chunk.subarray(0, bytesRead));
      at += bytesRead;
      onChunk(at);
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

function shortRead(at: number, sizeBytes: number): CtxError {
  return new CtxError('journal.short_read', 'EIO', `the segment ends at byte ${at} of ${sizeBytes}`, { next: 'run ctx fsck' });
}

interface Remembered {
  readonly bytes: number;
  readonly stamp: string;
  readonly sha256: string;
}

function stampOf(disk: Disk, path: string, bytes: number): string {
  const { dev, ino, size, mtimeMs } = disk.statSync(path);
  return `${dev}:${ino}:${size}:${mtimeMs}:${bytes}`;
}

function readRemembered(directory: string, disk: Disk): Map<string, Remembered> {
  try {
    const value = JSON.parse((readWhole(disk, join(directory, DIGESTS_FILE)) ?? Buffer.from('{}')).toString('utf8')) as Record<
      string,
      Remembered
    >;
    return new Map(
      Object.entries(value).filter(
        ([, { bytes, stamp, sha256 }]) => typeof bytes === 'number' && typeof stamp === 'string' && /^[0-9a-f]{64}$/.test(sha256),
      ),
    );
  } catch {
    return new Map();
  }
}

/** Not synced: what a power loss leaves of it is JSON with the right stamps, or nothing. */
function remember(directory: string, found: ReadonlyMap<string, Remembered>): void {
  const path = join(directory, DIGESTS_FILE);
  const temporary = `${path}.${process.pid}.new`;
  const fd = nodeDisk.openSync(temporary, 'w', 0o600);
  try {
    writeFully(nodeDisk, fd, Buffer.from(`${JSON.stringify(Object.fromEntries(found))}\n`));
  } finally {
    nodeDisk.closeSync(fd);
  }
  nodeDisk.renameSync(temporary, path);
}
