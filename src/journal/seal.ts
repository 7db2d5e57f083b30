// Sealing: the active file becomes an immutable segment. Every step is on the disk before the next names it.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { ACTIVE_FLAGS, type ActiveFile } from './active-file.ts';
import { errnoOf, syncDirectory, writeFully, type Disk } from './disk.ts';
import { isSealedTwin, nameSealed, prepareSealed, sealedOf, SEGMENTS_DIR, type SealedSegment } from './layout.ts';
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
  /** Seals only the first `bytes` bytes; the lines behind them begin the new active file. */
  readonly bytes: number;
}

/**
 * The caller syncs the directory before it says of a line in the new file that it is on the disk.
 * Returns the new list, and the descriptor and size of the new active file. Cost: names, and a copy of the lines behind `bytes`;
 * the digest is found out later.
 */
export function sealActive(options: SealOptions): Sealed {
  const { directory, file, disk, active } = options;
  if (active.endBytes > active.ackBytes) {
    const partial = Buffer.alloc(active.endBytes - active.ackBytes);
    active.readAt(active.ackBytes, partial);
    options.rejects.keep([partial], { target: file, reason: 'torn', stage: 'seal', timeMs: options.nowMs });
  }
  const { bytes } = options;
  const segment: SealedSegment = { journal: file, file: freeName(options), bytes, sha256: undefined };
  const rest = Buffer.alloc(active.ackBytes - bytes);
  if (active.readAt(bytes, rest) < rest.length) throw active.freeze('ends before its last line');
  const path = join(directory, file);
  const target = join(directory, segment.file);
  const mode = disk.statSync(path).mode & 0o777;
  disk.mkdirSync(join(directory, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
  link(disk, path, target);
  const sealed = [...options.sealed, segment];
  prepareSealed(directory, sealed, disk);
  syncDirectory(disk, join(directory, SEGMENTS_DIR));
  // From here on both names are one inode: a reopen sees that (isSealedTwin) and starts a new active file. Both renames are in
  // one directory, so no crash leaves the second without the first; one that undoes both leaves the old file, with every line.
  nameSealed(directory, disk);
  try {
    startActive(disk, directory, file, mode, rest);
    disk.chmodSync(target, mode & 0o444);
    return { sealed, bytes, fd: disk.openSync(path, ACTIVE_FLAGS, mode), restBytes: rest.length };
  } catch (error) {
    undoSeal(options, target, error);
    throw error;
  }
}

const NAMED_BYTES = 4096;

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
    prepareSealed(directory, options.sealed, disk);
    nameSealed(directory, disk);
    syncDirectory(disk, directory);
    disk.unlinkSync(target);
  } catch {
    options.active.freeze('could not be sealed', cause);
  }
}

/**
 * A file with these bytes takes the active name, by rename: some of them may have been fsynced under the old one. The caller
 * syncs the directory.
 */
export function startActive(disk: Disk, directory: string, file: JournalFile, mode: number, bytes: Buffer = Buffer.alloc(0)): void {
  prepareActive(disk, directory, file, mode, bytes);
  nameActive(disk, directory, file);
}

export function nameActive(disk: Disk, directory: string, file: JournalFile): void {
  disk.renameSync(join(directory, `${file}.new`), join(directory, file));
}

export function prepareActive(disk: Disk, directory: string, file: JournalFile, mode: number, bytes: Buffer): void {
  const temporary = join(directory, `${file}.new`);
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
}

/**
 * From where the segment lies and how it ends, so that a repeated seal has the same name. Equal bytes may be sealed twice in one
 * session: each keeps its own inode, or the crash check above would be blind.
 */
function freeName(options: SealOptions): string {
  const { active, bytes, file } = options;
  const end = Buffer.alloc(Math.min(bytes, NAMED_BYTES));
  active.readAt(bytes - end.length, end);
  const base = sealedOf(options.sealed, file).reduce((sum, segment) => sum + segment.bytes, 0);
  const hex = createHash('sha256').update(`${base}:${bytes}:`).update(end).digest('hex');
  const stem = `${SEGMENTS_DIR}/${file.replace('.jsonl', '')}-${hex.slice(0, 16)}`;
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
