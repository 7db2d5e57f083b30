// Advisory locks that the kernel releases when their holder dies (flock(2)), for a store and for one session's journals.
// `flock(1)` on the same file takes part: `flock SESSION/journal.lock sh -c 'cat lines >> SESSION/messages.jsonl'`.
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';

const STORE_LOCK_FILE = 'lock';
const JOURNAL_LOCK_FILE = 'journal.lock';

export interface Lock {
  release(): void;
}

/** JRN: one daemon owns a store. EBUSY names the process that holds it. */
export function lockStore(directory: string): Lock {
  const path = join(directory, STORE_LOCK_FILE);
  const lock = tryLock(path, `pid=${process.pid}\n`);
  if (lock !== undefined) return lock;
  const pid = /^pid=(\d+)$/m.exec(readText(path))?.[1];
  throw new CtxError(
    'journal.store_locked',
    'EBUSY',
    `the store is in use by ${pid === undefined ? 'another process' : `process ${pid}`}`,
    {
      where: directory,
      next: 'stop that daemon (ctx umount) or choose another store with --store',
    },
  );
}

/** The journals' lock: whoever appends more than one write(2) from outside holds it; the daemon holds it to cut a tail. */
export function lockJournal(directory: string, waitMs = 0): Lock {
  const deadline = Date.now() + waitMs;
  for (;;) {
    const lock = tryLock(join(directory, JOURNAL_LOCK_FILE));
    if (lock !== undefined) return lock;
    if (Date.now() >= deadline) {
      throw new CtxError('journal.locked', 'EAGAIN', 'another process holds the journal lock', { where: directory, next: 'try again' });
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
  }
}

/** Undefined when another open file description holds it in a way that excludes this one. */
export function tryLockFile(path: string, mode: 'shared' | 'exclusive'): Lock | undefined {
  return tryLock(path, undefined, mode === 'shared' ? LOCK_SH : LOCK_EX);
}

/** Undefined when another open file description holds it. `note` becomes the file's text. */
function tryLock(path: string, note?: string, operation: number = LOCK_EX): Lock | undefined {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  try {
    if (!tryLockOpen(fd, path, operation)) {
      fs.closeSync(fd);
      return undefined;
    }
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  if (note !== undefined) {
    // On a full disk it is held all the same, and does not say by whom.
    attempt(() => fs.ftruncateSync(fd, 0));
    attempt(() => fs.writeSync(fd, note, 0));
  }
  let held = true;
  return {
    release(): void {
      if (!held) return;
      held = false;
      if (note !== undefined) attempt(() => fs.ftruncateSync(fd, 0));
      fs.closeSync(fd);
    },
  };
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // Said where it is called.
  }
}

/** On a file that is open: false when another open file description holds it; closing it releases the lock. */
export function tryLockOpen(fd: number, path: string, operation: number): boolean {
  const { flock, errno, again } = libc();
  if (flock(fd, operation | LOCK_NB) === 0) return true;
  const code = errno();
  if (code === again) return false;
  throw new CtxError('journal.lock_failed', 'EIO', `flock failed with errno ${code}`, {
    where: path,
    next: 'put the store on a filesystem with flock',
  });
}

/** lseek(2) to the end: a third of what fstat costs in Node. */
export function endOfFile(fd: number): number {
  return libc().lseek(fd, 0, SEEK_END);
}

/** write(2) where the descriptor stands: two thirds of what it costs in Node. -1 where it fails. */
export function writeThrough(fd: number, bytes: Uint8Array): number {
  return libc().write(fd, bytes, bytes.length);
}

const SEEK_END = 2;
export const LOCK_SH = 1;
export const LOCK_EX = 2;
const LOCK_NB = 4;

interface Libc {
  flock(fd: number, operation: number): number;
  lseek(fd: number, offset: number, whence: number): number;
  write(fd: number, bytes: Uint8Array, size: number): number;
  errno(): number;
  readonly again: number;
}

let loaded: Libc | undefined;

/** Loaded on first use: the library costs some milliseconds that a plain reader does not pay. */
function libc(): Libc {
  if (loaded !== undefined) return loaded;
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
  const flock = koffi.load(null).func('int flock(int fd, int operation)');
  const lseek = koffi.load(null).func('int64_t lseek(int fd, int64_t offset, int whence)');
  const write = koffi.load(null).func('int64_t write(int fd, const uint8_t *bytes, size_t size)');
  return (loaded = {
    write: (fd, bytes, size) => write(fd, bytes, size) as number,
    lseek: (fd, offset, whence) => lseek(fd, offset, whence) as number,
    flock: (fd, operation) => flock(fd, operation) as number,
    errno: () => koffi.errno(),
    again: koffi.os.errno['EAGAIN'] ?? 11,
  });
}

function readText(path: string): string {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
