// Waiting for what is derived: a long rebuild is shown as it goes on, and one that answers ETIMEDOUT is waited for further.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { CtxError } from '../abi/errors.ts';
import { parseStatus } from './mounted.ts';
import { mountRoot } from './roots.ts';
import type { Shell } from './shell.ts';

const REBUILD_LIMIT_MS = 15 * 60_000;
const LOOK_MS = 300;

export async function rebuilt(shell: Shell, path: string): Promise<string> {
  return whileBuilding(shell, async () => {
    for (const startedMs = Date.now(); ; await sleep(100)) {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ETIMEDOUT' && code !== 'EAGAIN') throw error;
        if (Date.now() - startedMs > REBUILD_LIMIT_MS)
          throw new CtxError('pack.slow', 'ETIMEDOUT', 'is still being built', { where: path, next: 'watch: ctx status', cause: error });
      }
    }
  });
}

/** On a terminal, what `status` says is being built is shown until `work` ends. Costs nothing elsewhere. */
export async function whileBuilding<T>(shell: Shell, work: () => Promise<T>): Promise<T> {
  const progress = shell.terminal.progress();
  if (!progress.shown) return work();
  const startedMs = Date.now();
  const look = async (): Promise<void> => {
    const text = await readFile(join(mountRoot(shell), 'status'), 'utf8').catch(() => '');
    const building = parseStatus(text).get('building');
    if (!ended && building !== undefined) progress.update(`building ${building} (${Math.round((Date.now() - startedMs) / 1000)} s)`);
  };
  let ended = false;
  const timer = setInterval(() => void look(), LOOK_MS);
  try {
    return await work();
  } finally {
    ended = true;
    clearInterval(timer);
    progress.done();
  }
}
