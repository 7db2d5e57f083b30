// Where the mount and the store are: option, then environment (CTX_ROOT, CTX_STORE), then the default of this user.
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

import type { Shell } from './shell.ts';

/** CLI-2: /ctx for root, ~/ctx otherwise. */
export function mountRoot(shell: Shell, option?: string): string {
  const given = option ?? nonEmpty(shell.env['CTX_ROOT']);
  if (given !== undefined) return resolve(given);
  return shell.uid === 0 ? '/ctx' : join(home(shell), 'ctx');
}

/** CLI-3: /var/lib/ctxfs for root, the XDG data directory otherwise. */
export function storeRoot(shell: Shell, option?: string): string {
  const given = option ?? nonEmpty(shell.env['CTX_STORE']);
  if (given !== undefined) return resolve(given);
  if (shell.uid === 0) return '/var/lib/ctxfs';
  return join(absolute(shell.env['XDG_DATA_HOME']) ?? join(home(shell), '.local/share'), 'ctxfs');
}

/** MNT-16: what is wrong with a store of root's that others can reach: links in it would lead the daemon, which is root, astray. */
export async function openStore(store: string, uid: number): Promise<{ readonly found: string; readonly next: string } | undefined> {
  if (uid !== 0) return undefined;
  for (let place = store; ; place = dirname(place)) {
    const mode = await stat(place).then(
      (found) => found.mode,
      () => 0,
    );
    if ((mode & 0o001) === 0) return undefined;
    if (place === dirname(place)) break;
  }
  return { found: `other users can reach the store (${store})`, next: `close it: chmod 700 ${store}` };
}

function home(shell: Shell): string {
  return absolute(shell.env['HOME']) ?? homedir();
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}

/** XDG: a relative path in these variables is to be ignored. */
function absolute(value: string | undefined): string | undefined {
  return value?.startsWith('/') === true ? value : undefined;
}
