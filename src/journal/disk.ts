// The few calls that touch the disk, passed in so that tests can record writes and fsyncs or make one fail.
import * as fs from 'node:fs';
import { CtxError, type ErrnoName } from '../abi/errors.ts';
import { endOfFile, writeThrough } from './flock.ts';

export type Disk = Pick<
  typeof fs,
  | 'openSync'
  | 'closeSync'
  | 'readSync'
  | 'writeSync'
  | 'fstatSync'
  | 'statSync'
  | 'ftruncateSync'
  | 'futimesSync'
  | 'fsyncSync'
  | 'fdatasyncSync'
  | 'renameSync'
  | 'linkSync'
  | 'unlinkSync'
  | 'mkdirSync'
  | 'copyFileSync'
  | 'chmodSync'
  | 'chownSync'
  | 'readdirSync'
  | 'existsSync'
> & {
  /** Size of an open file, where there is a cheaper way than fstat. Moves the descriptor's position. */
  readonly sizeOf?: (fd: number) => number;
};

export const nodeDisk: Disk = { ...fs, openSync: openBounded, writeSync: writeQuick as typeof fs.writeSync, sizeOf: endOfFile };

/** JRN-44: a FIFO or device that lies in the store in place of a file is an error and never waited for. Costs an fstat. */
function openBounded(path: fs.PathLike, flags: fs.OpenMode, mode?: fs.Mode | null): number {
  const reads = flags === 'r';
  const fd = fs.openSync(path, reads ? fs.constants.O_RDONLY | fs.constants.O_NONBLOCK : flags, mode);
  const stat = reads ? fs.fstatSync(fd) : undefined;
  if (stat === undefined || stat.isFile() || stat.isDirectory()) return fd;
  fs.closeSync(fd);
  throw Object.assign(new Error(`EIO: not a regular file, open '${String(path)}'`), { code: 'EIO' });
}

/** Every appended line comes through here. What fails is tried once more by Node, which says why. */
function writeQuick(fd: number, bytes: Uint8Array, offset = 0, length: number = bytes.length - offset, position?: number | null): number {
  if (offset === 0 && length === bytes.length && typeof position !== 'number') {
    const wrote = writeThrough(fd, bytes);
    if (wrote >= 0) return wrote;
  }
  return fs.writeSync(fd, bytes, offset, length, position);
}

export function syncDirectory(disk: Disk, directory: string): void {
  const fd = disk.openSync(directory, 'r');
  try {
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
}

/** Writes all bytes at a position, or (position null) at the file's end. Loops over short writes; throws on failure. */
export function writeFully(disk: Disk, fd: number, bytes: Uint8Array, position: number | null = null): void {
  let done = 0;
  while (done < bytes.length) {
    done += disk.writeSync(fd, bytes, done, bytes.length - done, position === null ? null : position + done);
  }
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
export function readFully(disk: Disk, fd: number, position: number, length: number): Buffer {
  const into = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const got = disk.readSync(fd, into, done, length - done, position + done);
    if (got === 0) break;
    done += got;
  }
  return done === length ? into : into.subarray(0, done);
}

/** The whole file, or undefined when there is none. */
export function readWhole(disk: Disk, path: string): Buffer | undefined {
  let fd: number;
  try {
    fd = disk.openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return readFully(disk, fd, 0, disk.fstatSync(fd).size);
  } finally {
    disk.closeSync(fd);
  }
}

/** The bytes are on the disk; the name is when its directory is synced. */
export function writeDurably(disk: Disk, path: string, bytes: Uint8Array, mode = 0o600): void {
  const fd = disk.openSync(path, 'w', mode);
  try {
    writeFully(disk, fd, bytes);
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
}

/** Runs a part of the room; a failing system call comes out as a CtxError with its errno. */
export function guarded<T>(where: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof CtxError || errnoOf(error) === undefined) throw error;
    throw new CtxError('journal.io', errnoName(error), (error as Error).message, {
      where,
      next: 'check the disk, then run ctx fsck',
      cause: error,
    });
  }
}

/** The errno of a failed call as the ABI names it; EIO for what it has no name for. */
export function errnoName(error: unknown): ErrnoName {
  const errno = errnoOf(error);
  return errno !== undefined && REPORTED.has(errno) ? (errno as ErrnoName) : 'EIO';
}

const REPORTED: ReadonlySet<string> = new Set<ErrnoName>([
  'ENOSPC',
  'EDQUOT',
  'EFBIG',
  'EROFS',
  'EIO',
  'EAGAIN',
  'EINTR',
  'ENOMEM',
  'EACCES',
  'EPERM',
  'ENOENT',
  'EMFILE',
  'ENFILE',
  'ENOTDIR',
  'EEXIST',
  'EBUSY',
]);

export function errnoOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
