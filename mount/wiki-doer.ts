// Which session a process works for: what it says itself, in its environment; else where it stands.
import { readFile, readlink } from 'node:fs/promises';
import { isObjectName, parseSessionRelativePath, sessionRelativePath } from '../src/abi/names.ts';
import type { Doer } from '../src/tree/wiki-client.ts';

/** A process in trouble may not let its environment be read. */
const WAIT_MS = 1000;
const PATH = /(?:^|\/)((?:home\/[0-9]+|shared\/[^/]+)\/agent\/[^/]+\/session\/[^/]+)(?:\/|$)/;

/** As changes name it: AGENT/SESSION in the home of that uid, its path in the tree otherwise. Never fails. */
export async function sessionOf({ uid, pid, parent }: Doer, mountpoint: string): Promise<string | null> {
  if (pid === 0) return null;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), WAIT_MS)));
  try {
    return (await Promise.race([late, find(uid, pid, parent, mountpoint)])) ?? null;
  } finally {
    clearTimeout(timer);
  }
}

async function find(uid: number, pid: number, parent: number, mountpoint: string): Promise<string | undefined> {
  const own = await environmentOf(pid);
  // It has ended: who started it had the same environment, as a rule.
  const environment = own ?? (parent > 1 ? await environmentOf(parent) : undefined);
  const said = environment?.find((entry) => entry.startsWith('CTX_SESSION='))?.slice('CTX_SESSION='.length);
  if (said !== undefined && said !== '') return sessionNamed(said, uid);
  const at = await readlink(`/proc/${own === undefined ? parent : pid}/cwd`).catch(() => '');
  return at.startsWith(`${mountpoint}/`) ? sessionNamed(at.slice(mountpoint.length), uid) : undefined;
}

async function environmentOf(pid: number): Promise<readonly string[] | undefined> {
  const text = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return text === '' ? undefined : text.split('\0');
}

/** AGENT/SESSION, with or without `session:`, or any path that leads into one. */
function sessionNamed(text: string, uid: number): string | undefined {
  const [agent, session, ...more] = text.replace(/^session:/, '').split('/');
  if (agent !== undefined && session !== undefined && more.length === 0)
    return isObjectName(agent) && isObjectName(session) ? `${agent}/${session}` : undefined;
  const path = parseSessionRelativePath(PATH.exec(text)?.[1] ?? '');
  return path === undefined ? undefined : sessionName(sessionRelativePath(path), uid);
}

/** The name of a session for somebody. */
export function sessionName(relative: string, uid: number): string {
  const path = parseSessionRelativePath(relative);
  return path !== undefined && 'home' in path.owner && path.owner.home === uid ? `${path.agent}/${path.session}` : relative;
}
