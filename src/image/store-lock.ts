// flock(2) on a file of the image store: shared by writers, alone for gc. The kernel releases it when its holder dies.
import { tryLockFile } from '../journal/flock.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { CtxError } from '../abi/errors.ts';

export interface StoreLock {
  release(): Promise<void>;
}

const WAIT_MS = 60_000;

/** Waits, asking again, so that an interrupt ends it; EBUSY after a minute. */
export async function lockFile(path: string, mode: 'shared' | 'exclusive', waitMs: number = WAIT_MS): Promise<StoreLock> {
  const deadline = Date.now() + waitMs;
  for (let pause = 1; ; pause = Math.min(50, pause * 2)) {
    const lock = tryLockFile(path, mode);
    if (lock !== undefined) return { release: () => Promise.resolve(lock.release()) };
    if (Date.now() >= deadline)
      throw new CtxError('image.store_locked', 'EBUSY', 'is held by another ctx', { where: path, next: 'wait for it, then try again' });
    await sleep(pause);
  }
}
