// What an fsync of a journal has to do, as data: the serving thread says what, another thread does it (or the caller itself,
// where nobody else waits). Nothing is acknowledged before all of it is done.
import * as fs from 'node:fs';
import { errnoOf, syncDirectory, type Disk } from './disk.ts';

let nextKey = 1;

/** A key that nothing else has. */
export function freshSyncKey(): number {
  return nextKey++;
}

export interface SyncWork {
  /** Works with the same key run one after the other, and after a failure none of them succeeds: the kernel reports it once. */
  readonly key: number;
  /** Refused lines; one that made room for newer ones may be gone. */
  readonly rejects: readonly string[];
  /** A descriptor of this process; stays open until the work is settled. */
  readonly file: number | undefined;
  readonly directories: readonly string[];
}

export interface PendingSync {
  readonly work: SyncWork;
  /** Ends it, on the thread that began it. Returns the failure to report, which is sticky. */
  settle(error: unknown): Error | undefined;
}

export function performSync(work: SyncWork, disk: Disk): void {
  for (const path of work.rejects) {
    try {
      syncDirectory(disk, path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  if (work.file !== undefined) disk.fdatasyncSync(work.file);
  for (const path of work.directories) syncDirectory(disk, path);
}

/** The same without holding up this thread. */
export async function performSyncLater(work: SyncWork): Promise<void> {
  for (const path of work.rejects) {
    await syncPath(path).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
    });
  }
  const { file } = work;
  if (file !== undefined)
    await new Promise<void>((resolve, reject) => {
      fs.fdatasync(file, (error) => (error === null ? resolve() : reject(error)));
    });
  for (const path of work.directories) await syncPath(path);
}

async function syncPath(path: string): Promise<void> {
  const handle = await fs.promises.open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
