// Sessions that are being made from an image: below an agent that is not listed, until they are whole and get their name (IMG-110).
// What was left there, or half made or half removed elsewhere, when its maker ended, `sweep` removes (IMG-111).
import * as fs from 'node:fs';
import type { SweepReply } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import { sessionRelativePath, STARTING_AGENT } from '../abi/names.ts';
import { isDirectory, lstat } from './backing.ts';
import { doerOf } from './doer.ts';
import { newSessionPath } from './session-access.ts';
import type { Session } from './sessions.ts';
import type { Store } from './store.ts';
import type { Caller } from './types.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Of the thread that serves. */
const SLICE_MS = 20;

/** The maker's process is in the name. */
export function startingPath(caller: Caller): string {
  const { uid, pid } = doerOf(caller);
  const random = Math.floor(Math.random() * 2 ** 48).toString(36);
  return sessionRelativePath({ owner: { home: uid }, agent: STARTING_AGENT, session: `${pid}-${Date.now().toString(36)}${random}` });
}

/** Checks what may be checked now; the result gives the session its name once nobody works on it. */
export function prepareReady(store: Store, session: Session, as: string, caller: Caller): () => { readonly session: string } {
  if (!session.relative.startsWith(`home/${caller.uid}/agent/${STARTING_AGENT}/`))
    throw new CtxError('control.not_starting', 'EINVAL', 'has its name already', {
      where: session.relative,
      next: 'use mv to rename a session inside its agent',
    });
  newSessionPath(store, as, caller);
  return () => {
    // Again: another may have taken the name meanwhile.
    newSessionPath(store, as, caller);
    store.makeAgent(`${store.root}/${as}`, caller);
    fs.renameSync(session.directory, `${store.root}/${as}`);
    return { session: as };
  };
}

/** Costs one listing of each agent of the caller's home, and what it removes. */
export function sweepUnfinished(store: Store, caller: Caller, dryRun: boolean): SweepReply {
  const began = performance.now();
  const removed: SweepReply['removed'][number][] = [];
  for (const { path, reason } of unfinished(store, caller)) {
    if (!dryRun && performance.now() - began > SLICE_MS) return { removed, more: true };
    removed.push({ path, reason, bytes: ownBytes(`${store.root}/${path}`) });
    if (!dryRun) remove(store, `${store.root}/${path}`);
  }
  return { removed, more: false };
}

function* unfinished(store: Store, { uid }: Caller): Generator<{ readonly path: string; readonly reason: string }> {
  const agents = `home/${uid}/agent`;
  for (const agent of namesIn(`${store.root}/${agents}`)) {
    if (!isDirectory(`${store.root}/${agents}/${agent}/session`)) continue;
    const below = `${agents}/${agent}/session`;
    for (const name of namesIn(`${store.root}/${below}`)) {
      const path = `${below}/${name}`;
      // Made and removed by this thread without a pause: what is there now is nobody's work.
      if (/^\.(?:new|removed)-/.test(name)) yield { path, reason: 'half made or half removed when the daemon ended' };
      else if (agent === STARTING_AGENT) {
        const reason = endedBy(name, `${store.root}/${path}`);
        if (reason !== undefined) yield { path, reason };
      }
    }
  }
}

/** Why nobody will go on with it; undefined while somebody may. Process 0 is one that this daemon cannot see. */
function endedBy(name: string, path: string): string | undefined {
  const pid = Number(/^[0-9]+/.exec(name)?.[0] ?? 0);
  const stat = lstat(path);
  if (stat === undefined) return undefined;
  if (pid > 0 && !isAlive(pid)) return `process ${pid} left it behind`;
  return Date.now() - Number(stat.ctimeMs) > DAY_MS ? 'older than a day' : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Out of sight first, as by `rm`. */
function remove(store: Store, directory: string): void {
  if (!directory.slice(directory.lastIndexOf('/') + 1).startsWith('.')) store.forgetSession(directory);
  fs.rmSync(directory, { recursive: true, force: true });
}

/** Of regular files that have no other name. Links are not followed. */
function ownBytes(path: string): number {
  const stat = fs.lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return namesIn(path).reduce((sum, name) => sum + ownBytes(`${path}/${name}`), 0);
  return stat?.isFile() === true && stat.nlink === 1 ? stat.size : 0;
}

function namesIn(path: string): readonly string[] {
  try {
    return fs.readdirSync(path).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
