// System calls that Node lacks, through koffi (prebuilt FFI). Rare operations only: nothing on a hot path.
// Where koffi cannot load, these report EOPNOTSUPP and everything else works.
import { createRequire } from 'node:module';
import { fail } from './types.ts';
import type { ErrnoName } from '../abi/errors.ts';
import { constants } from 'node:os';

/** As `fs` takes it: a string, or bytes that need not be UTF-8. */
export type NativePath = string | Buffer;

type Call = (...args: readonly unknown[]) => number;

interface Libc {
  readonly utimensat: Call;
  readonly mknod: Call;
  readonly renameat2: Call;
  readonly fallocate: Call;
  readonly lseek: Call;
  readonly lgetxattr: Call;
  readonly llistxattr: Call;
  readonly lsetxattr: Call;
  readonly lremovexattr: Call;
  readonly errno: () => number;
}

let loaded: Libc | null | undefined;

function libc(): Libc {
  if (loaded === undefined) loaded = load();
  if (loaded === null) throw fail('EOPNOTSUPP', 'this operation needs the koffi package, which did not load');
  return loaded;
}

function load(): Libc | null {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as { load(name: string): { func(signature: string): Call }; errno(): number };
    const lib = koffi.load('libc.so.6');
    return {
      utimensat: lib.func('int utimensat(int dirfd, const uint8_t *path, const int64_t *times, int flags)'),
      mknod: lib.func('int mknod(const uint8_t *path, uint32_t mode, uint64_t dev)'),
      renameat2: lib.func('int renameat2(int olddir, const uint8_t *from, int newdir, const uint8_t *to, uint32_t flags)'),
      fallocate: lib.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
      lseek: lib.func('int64_t lseek(int fd, int64_t offset, int whence)'),
      lgetxattr: lib.func('int64_t lgetxattr(const uint8_t *path, const char *name, _Out_ uint8_t *value, size_t size)'),
      llistxattr: lib.func('int64_t llistxattr(const uint8_t *path, _Out_ uint8_t *list, size_t size)'),
      lsetxattr: lib.func('int lsetxattr(const uint8_t *path, const char *name, const uint8_t *value, size_t size, int flags)'),
      lremovexattr: lib.func('int lremovexattr(const uint8_t *path, const char *name)'),
      errno: () => koffi.errno(),
    };
  } catch {
    return null;
  }
}

const NAME_OF = new Map<number, string>(Object.entries(constants.errno).map(([name, number]) => [number, name]));

function check(result: number, what: string): number {
  if (Number(result) >= 0) return Number(result);
  const name = NAME_OF.get(libc().errno()) ?? 'EIO';
  throw fail((name === 'ENOTSUP' ? 'EOPNOTSUPP' : name) as ErrnoName, what);
}

/** With the NUL at its end. */
function cPath(path: NativePath): Buffer {
  const bytes = Buffer.from(path as string);
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

export type TimeChange = 'now' | readonly [number, number] | undefined;

/** utimensat(2) with nanoseconds; symbolic links themselves. */
export function setTimes(path: NativePath, atime: TimeChange, mtime: TimeChange): void {
  utimens(path, atime, mtime, AT_SYMLINK_NOFOLLOW);
}

/** The same for an open file, which may have no name any more. */
export function setOpenTimes(fd: number, atime: TimeChange, mtime: TimeChange): void {
  utimens(`/proc/self/fd/${fd}`, atime, mtime, 0);
}

function utimens(path: NativePath, atime: TimeChange, mtime: TimeChange, flags: number): void {
  const pair = (time: TimeChange): [bigint, bigint] =>
    time === undefined ? [0n, BigInt(UTIME_OMIT)] : time === 'now' ? [0n, BigInt(UTIME_NOW)] : [BigInt(time[0]), BigInt(time[1])];
  const times = BigInt64Array.from([...pair(atime), ...pair(mtime)]);
  check(libc().utimensat(AT_FDCWD, cPath(path), times, flags), 'utimensat');
}

export function makeNode(path: NativePath, mode: number, rdev: number): void {
  check(libc().mknod(cPath(path), mode, rdev), 'mknod');
}

/** RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2. */
export function rename2(from: NativePath, to: NativePath, flags: number): void {
  check(libc().renameat2(AT_FDCWD, cPath(from), AT_FDCWD, cPath(to), flags), 'renameat2');
}

export function allocate(fd: number, mode: number, offset: number, length: number): void {
  check(libc().fallocate(fd, mode, offset, length), 'fallocate');
}

/** SEEK_DATA = 3, SEEK_HOLE = 4. */
export function seek(fd: number, offset: number, whence: number): number {
  return check(libc().lseek(fd, offset, whence), 'lseek');
}

export function getXattr(path: NativePath, name: string): Buffer {
  const value = Buffer.alloc(65_536);
  return value.subarray(0, check(libc().lgetxattr(cPath(path), name, value, value.length), 'lgetxattr'));
}

export function listXattr(path: NativePath): readonly string[] {
  const list = Buffer.alloc(65_536);
  const size = check(libc().llistxattr(cPath(path), list, list.length), 'llistxattr');
  return list
    .subarray(0, size)
    .toString('utf8')
    .split('\0')
    .filter((name) => name !== '');
}

export function setXattr(path: NativePath, name: string, value: Buffer, flags: number): void {
  check(libc().lsetxattr(cPath(path), name, value, value.length, flags), 'lsetxattr');
}

export function removeXattr(path: NativePath, name: string): void {
  check(libc().lremovexattr(cPath(path), name), 'lremovexattr');
}
