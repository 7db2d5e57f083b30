// Sealing: the active file becomes an immutable, digest-named segment. Every step is on the disk before the next names it.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { ACTIVE_FLAGS, type ActiveFile } from './active-file.ts';
import { errnoOf, syncDirectory, writeFully, type Disk } from './disk.ts';
import { isSealedTwin, SEGMENTS_DIR, writeSealed, type SealedSegment } from './layout.ts';
import type { ReadAt } from './line-scan.ts';
import type { RejectStore } from './rejects.ts';

export interface SealOptions {
  readonly directory: string;
  readonly file: JournalFile;
  readonly sealed: readonly SealedSegment[];
  /** Already fsynced. */
  readonly active: ActiveFile;
  readonly disk: Disk;
  readonly rejects: RejectStore;
  readonly nowMs: number;
  /** Seals only the first `bytes` bytes, whose digest is known; the lines behind them begin the new active file. */
  readonly known: { readonly bytes: number; readonly sha256: string } | undefined;
}

/**
 * Returns the new list, and the descriptor and size of the new active file. Cost: one digest of the active file
 * (about 2 GB/s) unless it is `known`; then a copy of the lines that came since.
 */
export function sealActive(options: SealOptions): Sealed {
  const { directory, file, disk, active } = options;
  if (active.endBytes > active.ackBytes) {
    const partial = Buffer.alloc(active.endBytes - active.ackBytes);
    active.readAt(active.ackBytes, partial);
    options.rejects.keep([partial], { target: file, reason: 'torn', stage: 'seal', timeMs: options.nowMs });
  }
  const bytes = options.known?.bytes ?? active.ackBytes;
  const sha256 = options.known?.sha256 ?? digestOfPrefix(active.readAt, bytes);
  const segment: SealedSegment = { journal: file, file: freeName(options, sha256), bytes, sha256 };
  const rest = Buffer.alloc(active.ackBytes - bytes);
  if (active.readAt(bytes, rest) < rest.length) throw active.freeze('ends before its last line');
  const path = join(directory, file);
  const target = join(directory, segment.file);
  const mode = disk.statSync(path).mode & 0o777;
  disk.mkdirSync(join(directory, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
  link(disk, path, target);
  syncDirectory(disk, join(directory, SEGMENTS_DIR));
  const sealed = [...options.sealed, segment];
  // From here on both names are one inode: a reopen sees that (isSealedTwin) and starts a new active file.
  writeSealed(directory, sealed, disk);
  try {
    startActive(disk, directory, file, mode, rest);
    disk.chmodSync(target, mode & 0o444);
    return { sealed, bytes, fd: disk.openSync(path, ACTIVE_FLAGS, mode), restBytes: rest.length };
  } catch (error) {
    undoSeal(options, target, error);
    throw error;
  }
}

export interface Sealed {
  readonly sealed: readonly SealedSegment[];
  /** Of the new segment. */
  readonly bytes: number;
  readonly fd: number;
  readonly restBytes: number;
}

/** The new active file could not be started: the segment is unnamed again, or the journal freezes; a line must not grow a sealed file. */
function undoSeal(options: SealOptions, target: string, cause: unknown): void {
  const { directory, file, disk } = options;
  try {
    if (!isSealedTwin(disk, join(directory, file), target)) throw cause;
    writeSealed(directory, options.sealed, disk);
    disk.unlinkSync(target);
  } catch {
    options.active.freeze('could not be sealed', cause);
  }
}

/** A file with these bytes takes the active name, by rename: some of them may have been fsynced under the old one. */
export function startActive(disk: Disk, directory: string, file: JournalFile, mode: number, bytes: Buffer = Buffer.alloc(0)): void {
  const path = join(directory, file);
  const temporary = `${path}.new`;
  const fd = disk.openSync(temporary, 'w', mode);
  try {
    if (bytes.length > 0) {
      writeFully(disk, fd, bytes, 0);
      disk.fsyncSync(fd);
    }
  } finally {
    disk.closeSync(fd);
  }
  const owner = disk.statSync(directory);
  if (process.getuid?.() === 0 && owner.uid !== 0) disk.chownSync(temporary, owner.uid, owner.gid);
  disk.renameSync(temporary, path);
  syncDirectory(disk, directory);
}

export function digestOfPrefix(readAt: ReadAt, sizeBytes: number): string {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(1 << 20);
  for (let at = 0; at < sizeBytes;) {
    const got = readAt(at, chunk.subarray(0, Math.min(chunk.length, sizeBytes - at)));
    if (got === 0)
      throw new CtxError('journal.short_read', 'EIO', `the segment ends at byte ${at} of ${sizeBytes}`, { next: 'run ctx fsck' });
    hash.update(chunk.subarray(0, got));
    at += got;
  }
  return hash.digest('hex');
}

/** Equal bytes may be sealed twice in one session: each keeps its own inode, or the crash check above would be blind. */
function freeName(options: SealOptions, sha256: string): string {
  const stem = `${SEGMENTS_DIR}/${options.file.replace('.jsonl', '')}-${sha256.slice(0, 16)}`;
  const taken = new Set(options.sealed.map((segment) => segment.file));
  let name = `${stem}.jsonl`;
  for (let copy = 2; taken.has(name); copy++) name = `${stem}.${copy}.jsonl`;
  return name;
}

function link(disk: Disk, path: string, target: string): void {
  try {
    disk.linkSync(path, target);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') {
      throw new CtxError('journal.no_hard_links', 'EOPNOTSUPP', 'a session cannot be forked on a filesystem without hard links', {
        where: target,
        next: 'move the store',
        cause: error,
      });
    }
    // Left by a fork that crashed before segments.json named it.
    disk.unlinkSync(target);
    disk.linkSync(path, target);
  }
}
