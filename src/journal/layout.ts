// Which files hold a session's journals: sealed segments (segments.json), then the active `<journal>` file.
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { JOURNALS, type JournalFile } from '../abi/session-files.ts';
import { nodeDisk, readWhole, writeDurably, type Disk } from './disk.ts';
import type { SegmentRef } from './types.ts';

export const SEGMENTS_FILE = 'segments.json';
export const SEGMENTS_DIR = 'segments';

/** One sealed segment as segments.json names it. `bytes` may be a prefix of the file (a fork at a line). */
export interface SealedSegment {
  readonly journal: JournalFile;
  /** Relative to the session directory: `segments/messages-<16 hex>.jsonl`. */
  readonly file: string;
  readonly bytes: number;
  /** Of the first `bytes` bytes; undefined: not known yet (segment-digests.ts finds it out). */
  readonly sha256: string | undefined;
}

const SEGMENT_NAME = /^segments\/(messages|events)-[0-9a-f]{16}(\.[0-9]+)?\.jsonl$/;

export function readSealed(directory: string, disk: Disk = nodeDisk): readonly SealedSegment[] {
  const path = join(directory, SEGMENTS_FILE);
  const bytes = readWhole(disk, path);
  if (bytes === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw damaged(path, 'is not JSON', cause);
  }
  if (!Array.isArray(value)) throw damaged(path, 'is not an array');
  return value.map((entry: unknown) => checkEntry(path, entry));
}

/** On the disk under its temporary name; `nameSealed` names it. Whoever calls syncs the directory then. */
export function prepareSealed(directory: string, sealed: readonly SealedSegment[], disk: Disk = nodeDisk): void {
  const lines = sealed.map(({ journal, file, bytes, sha256 }) => JSON.stringify({ journal, file, bytes, sha256: sha256 ?? null }));
  writeDurably(disk, join(directory, `${SEGMENTS_FILE}.new`), Buffer.from(`[\n${lines.join(',\n')}\n]\n`));
}

export function nameSealed(directory: string, disk: Disk = nodeDisk): void {
  disk.renameSync(join(directory, `${SEGMENTS_FILE}.new`), join(directory, SEGMENTS_FILE));
}

export function sealedOf(sealed: readonly SealedSegment[], journal: JournalFile): readonly SealedSegment[] {
  return sealed.filter((entry) => entry.journal === journal);
}

/**
 * Every segment of both journals, for tools that read without a mount: `cat` of these prefixes in order is the journal.
 * The active segment's size is its size on disk now (a torn tail included, if a daemon died and none has opened it since).
 */
export function readableSegments(directory: string, disk: Disk = nodeDisk): Readonly<Record<JournalFile, readonly SegmentRef[]>> {
  const sealed = readSealed(directory, disk);
  const of = (journal: JournalFile): readonly SegmentRef[] => {
    const refs: SegmentRef[] = sealedOf(sealed, journal).map((entry) => ({ path: join(directory, entry.file), sizeBytes: entry.bytes }));
    const path = join(directory, journal);
    if (!disk.existsSync(path)) return refs;
    const stat = disk.statSync(path);
    if (!stat.isFile()) throw new CtxError('journal.not_a_file', 'EIO', 'is not a regular file', { where: path, next: 'run ctx fsck' });
    const sizeBytes = stat.size;
    const last = refs.at(-1);
    // A seal in progress (or a crash in it): one inode, and all of it is history, also what lies behind the sealed bytes.
    if (last !== undefined && isSealedTwin(disk, path, last.path)) refs.splice(-1, 1, { path: last.path, sizeBytes });
    else refs.push({ path, sizeBytes });
    return refs;
  };
  return { [JOURNALS[0]]: of(JOURNALS[0]), [JOURNALS[1]]: of(JOURNALS[1]) } as Record<JournalFile, readonly SegmentRef[]>;
}

/**
 * A second name of the active file, by the journal offset where it begins: `segments/messages-at-<offset>.jsonl`.
 * It keeps naming the same bytes after a fork has sealed them, so an extent given out before the fork stays right.
 */
export function lastingName(directory: string, journal: JournalFile, baseBytes: number): string {
  return join(directory, SEGMENTS_DIR, `${journal.replace('.jsonl', '')}-at-${baseBytes}.jsonl`);
}

/** Makes the lasting name, or renews one that a restored copy of the store left on other bytes. Without hard links there is none. */
export function ensureLastingName(directory: string, journal: JournalFile, baseBytes: number, disk: Disk = nodeDisk): void {
  const path = join(directory, journal);
  const name = lastingName(directory, journal, baseBytes);
  if (isSealedTwin(disk, path, name)) return;
  try {
    disk.mkdirSync(join(directory, SEGMENTS_DIR), { recursive: true, mode: 0o700 });
    if (disk.existsSync(name)) disk.unlinkSync(name);
    disk.linkSync(path, name);
  } catch {
    // Extents then name the active file itself and hold until the next fork.
  }
}

/** A crash between naming a sealed segment and starting a new active file leaves both names on one inode. */
export function isSealedTwin(disk: Disk, activePath: string, lastSealedPath: string | undefined): boolean {
  if (lastSealedPath === undefined || !disk.existsSync(activePath) || !disk.existsSync(lastSealedPath)) return false;
  const active = disk.statSync(activePath);
  const sealed = disk.statSync(lastSealedPath);
  return active.ino === sealed.ino && active.dev === sealed.dev;
}

function checkEntry(path: string, entry: unknown): SealedSegment {
  const { journal, file, bytes, sha256 } = (entry ?? {}) as Partial<Record<keyof SealedSegment, unknown>>;
  if (
    (journal !== 'messages.jsonl' && journal !== 'events.jsonl') ||
    typeof file !== 'string' ||
    !SEGMENT_NAME.test(file) ||
    typeof bytes !== 'number' ||
    !Number.isSafeInteger(bytes) ||
    bytes < 0 ||
    (sha256 !== null && (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)))
  ) {
    throw damaged(path, 'names a segment that cannot be');
  }
  return { journal, file, bytes, sha256: sha256 ?? undefined };
}

function damaged(path: string, what: string, cause?: unknown): CtxError {
  return new CtxError('journal.segments_damaged', 'EIO', what, { where: path, next: 'run ctx fsck', cause });
}
