// `fork` of the control channel: a new session that shares its parent's history, with the parent's inputs as they are now.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import type { ControlRequest } from '../abi/control.ts';
import type { ForkPlan } from '../journal/fork-plan.ts';
import { freshSyncKey } from '../journal/sync-work.ts';
import { MAX_INPUT_BYTES } from '../session/input-bytes.ts';
import { bytePath, native } from './backing.ts';
import { readControl } from './control-file.ts';
import { newSessionPath } from './session-access.ts';
import type { Session } from './sessions.ts';
import type { Store } from './store.ts';
import type { Caller } from './types.ts';

type ForkRequest = Extract<ControlRequest, { verb: 'fork' }>;

/** Checks what may be checked now; the result makes the fork once the parent's order log is settled. */
export function prepareFork(store: Store, from: Session, request: ForkRequest, caller: Caller): (plan: ForkPlan) => unknown {
  const beganMs = performance.now();
  const check = (): string => {
    newSessionPath(store, request.to, caller);
    return `${store.root}/${request.to}`;
  };
  check();
  return (plan) => {
    // Again: another may have made it while the order log settled.
    const directory = check();
    store.makeAgent(directory, caller);
    let leftOut: readonly string[] = [];
    store.makeSession(directory, 0o755, caller, cwdOf(from), (aside) => {
      from.journals.forkInto(aside, request.at, plan);
      leftOut = copyInputs(store, from.directory, aside);
    });
    // Nobody waits for it: whoever needs the fork on the disk now syncs one of its journals.
    const names = {
      key: freshSyncKey(),
      rejects: [],
      file: undefined,
      directories: [directory, directory.slice(0, directory.lastIndexOf('/'))],
    };
    store.sessions.options.deriver.sync(names, () => {});
    return {
      session: request.to,
      from: request.from,
      ...(request.at === undefined ? {} : { at: request.at }),
      ...(leftOut.length === 0 ? {} : { left_out: leftOut }),
      elapsed_ms: Math.round((performance.now() - beganMs) * 100) / 100,
    };
  };
}

function cwdOf(session: Session): string {
  try {
    return readControl(`${session.directory}/cwd`).toString('utf8').trim() || '/';
  } catch {
    return '/';
  }
}

/** Controls, pinned and child files of a fork start as its parent's are now. Returns what was left out. */
function copyInputs(store: Store, from: string, to: string): readonly string[] {
  for (const name of ['meta.json', 'context/budget', 'context/gc.policy', 'context/policy.yaml', 'context/tools.json'])
    // One that was deleted in the store has its default, which a new session starts with.
    if (fs.lstatSync(`${from}/${name}`, { throwIfNoEntry: false }) !== undefined)
      fs.writeFileSync(`${to}/${name}`, readControl(`${from}/${name}`));
  const { uid, gid } = fs.lstatSync(to);
  const leftOut: string[] = [];
  const own = (path: string): void => (store.isRoot ? fs.lchownSync(native(path), uid, gid) : undefined);
  for (const area of ['context/pinned', 'context/child'])
    copyTree(bytePath(`${from}/${area}`), bytePath(`${to}/${area}`), area, own, leftOut);
  return leftOut;
}

/**
 * Byte paths. Symbolic links are copied as links and never followed, neither to read nor to give
 * away: their owner may point them anywhere. A file too large for any pack is shared by reflink or left out, because this
 * runs on the thread that serves the mount; so are FIFOs and sockets.
 */
function copyTree(from: string, to: string, relative: string, own: (path: string) => void, leftOut: string[]): void {
  for (const entry of fs.readdirSync(native(from), { withFileTypes: true, encoding: 'latin1' })) {
    const [source, target, name] = [`${from}/${entry.name}`, `${to}/${entry.name}`, `${relative}/${entry.name}`];
    if (entry.isDirectory()) {
      fs.mkdirSync(native(target));
      copyTree(source, target, name, own, leftOut);
    } else if (entry.isSymbolicLink()) {
      fs.symlinkSync(native(fs.readlinkSync(native(source), 'latin1')), native(target));
      own(target);
      continue;
    } else if (!entry.isFile() || !copyFile(source, target)) {
      leftOut.push(Buffer.from(name, 'latin1').toString('utf8'));
      continue;
    }
    const stat = fs.lstatSync(native(source));
    own(target);
    fs.chmodSync(native(target), stat.mode & 0o777);
    fs.utimesSync(native(target), stat.atimeMs / 1000, stat.mtimeMs / 1000);
  }
}

function copyFile(source: string, target: string): boolean {
  const large = fs.lstatSync(native(source)).size > MAX_INPUT_BYTES;
  try {
    fs.copyFileSync(
      native(source),
      native(target),
      constants.COPYFILE_EXCL | (large ? constants.COPYFILE_FICLONE_FORCE : constants.COPYFILE_FICLONE),
    );
    return true;
  } catch (error) {
    if (large) return false;
    throw error;
  }
}
