// A session that was taken away by the control channel: the kernel may know its name for a second more.
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Longer than the kernel remembers a name that nobody looks up again (entryTtlMs in src/tree/types.ts). */
const MOST_MS = 2000;
const LOOK_MS = 20;

/** Returns when the name is free for everybody: what comes next may make a session of the same name. */
export async function gone(root: string, path: string): Promise<void> {
  for (const began = performance.now(); performance.now() - began < MOST_MS; await sleep(LOOK_MS))
    try {
      await lstat(join(root, path));
    } catch {
      return;
    }
}
