// Reading a derived file that may still be built: while a long rebuild answers ETIMEDOUT, wait on with progress.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { CtxError } from '../abi/errors.ts';
import type { Shell } from './shell.ts';

const REBUILD_LIMIT_MS = 15 * 60_000;

export async function rebuilt(shell: Shell, path: string): Promise<string> {
  const progress = shell.terminal.progress();
  const startedMs = Date.now();
  for (;;) {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ETIMEDOUT' && code !== 'EAGAIN') throw error;
      if (Date.now() - startedMs > REBUILD_LIMIT_MS)
        throw new CtxError('pack.slow', 'ETIMEDOUT', 'is still being built', { where: path, next: 'watch: ctx status', cause: error });
      progress.update(`building ${path} … ${Math.round((Date.now() - startedMs) / 1000)} s`);
      await sleep(100);
    } finally {
      progress.done();
    }
  }
}
