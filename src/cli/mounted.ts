// The live mount as a verb sees it. Liveness is probed in a child process, so a hung daemon never hangs ctx.
import { join, relative, resolve } from 'node:path';

import { runCommand } from '../../mount/command.ts';
import { CtxError } from '../abi/errors.ts';
import { parseSessionRelativePath } from '../abi/names.ts';
import { mountRoot } from './roots.ts';
import { parseReference, type Target, type Where } from './reference.ts';
import type { Shell } from './shell.ts';
import { watchMount } from './watch-mount.ts';

const PROBE_MS = 5_000;

export interface Mounted extends Where {
  /** Lines of `<root>/status`. */
  readonly status: ReadonlyMap<string, string>;
}

export interface SessionOnMount extends Target {
  /** Absolute path of the session directory on the mount. */
  readonly directory: string;
}

/** Fails with `cli.not_mounted` (exit 3) unless a daemon answers at the mount point. Costs one `cat`. */
export async function requireMount(shell: Shell): Promise<Mounted> {
  const root = mountRoot(shell);
  const text = await readGuarded(join(root, 'status'));
  const status = text === undefined ? undefined : parseStatus(text);
  if (status?.has('abi') !== true) {
    throw new CtxError('cli.not_mounted', 'ENOTDIR', 'is not a live ctx mount', { where: root, next: 'run: ctx mount, or set CTX_ROOT' });
  }
  watchMount(shell, root, status.get('pid'));
  return { root, status, uid: shell.uid, cwd: currentDirectory() };
}

/** The session a reference names, as a directory that exists. */
export async function requireSession(shell: Shell, reference: string): Promise<SessionOnMount & { readonly mounted: Mounted }> {
  const mounted = await requireMount(shell);
  const target = parseReference(reference, mounted);
  const { stat } = await import('node:fs/promises');
  const directory = join(mounted.root, target.path);
  const found = await stat(directory).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error && found.code !== 'ENOENT' && found.code !== 'ENOTDIR') throw found;
  if (found instanceof Error) {
    // AGENT/SESSION is read first, so a file of the session one stands in needs its ./ (REF).
    const here = parseSessionRelativePath(relative(mounted.root, mounted.cwd).split('/').slice(0, 6).join('/'));
    const file = here === undefined ? `run: ctx ls, or ctx new ${reference}` : `run: ctx ls; a file of this session is ./${reference}`;
    throw new CtxError('cli.no_session', 'ENOENT', 'does not exist', { where: reference, next: file });
  }
  return { ...target, directory, mounted };
}

/** KEY=VALUE lines; later keys win, other lines are ignored. */
export function parseStatus(text: string): ReadonlyMap<string, string> {
  const status = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) status.set(line.slice(0, at), line.slice(at + 1));
  }
  return status;
}

/** Reads a small file through a child process; undefined when it cannot be read or does not answer in time. */
export async function readGuarded(path: string, limitMs: number = PROBE_MS): Promise<string | undefined> {
  const { status, stdout } = await runCommand('cat', ['--', path], { timeoutMs: limitMs });
  return status === 0 ? stdout : undefined;
}

function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    // The directory was removed or its mount is gone: relative paths then name nothing.
    return resolve('/');
  }
}
