// flock(2) on a file of the image store: shared by writers, alone for gc. The kernel releases it when its holder dies.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { CtxError } from '../abi/errors.ts';
import { LOCK_EX, LOCK_SH, tryLockOpen } from '../journal/flock.ts';

export interface StoreLock {
  release(): Promise<void>;
}

const WAIT_MS = 60_000;

/**
 * Waits, asking again, so that an interrupt ends it; EBUSY after a minute. Opened and closed beside the thread that asks: the file
 * is on a mount, whose daemon may have stopped (CLI-10).
 */
export async function lockFile(path: string, mode: 'shared' | 'exclusive', waitMs: number = WAIT_MS): Promise<StoreLock> {
  const deadline = Date.now() + waitMs;
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    for (let pause = 1; ; pause = Math.min(50, pause * 2)) {
      if (tryLockOpen(file.fd, path, mode === 'shared' ? LOCK_SH : LOCK_EX)) return { release: () => file.close() };
      if (Date.now() >= deadline)
        throw new CtxError('image.store_locked', 'EBUSY', 'is held by another ctx', {
          where: path,
          next: 'wait for it, then try again',
        });
      await sleep(pause);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
}
