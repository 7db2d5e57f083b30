// Who may reach which session through the control channel. The kernel checks permissions on paths; here no path is walked
// by the kernel, so the same checks are made on the backing directories, none of which may be a symbolic link.
import { CtxError } from '../abi/errors.ts';
import { isReservedSession, parseSessionRelativePath } from '../abi/names.ts';
import type { SessionPath } from '../abi/names.ts';
import { isDirectory, lstat } from './backing.ts';
import type { Session } from './sessions.ts';
import type { Store } from './store.ts';
import type { Caller } from './types.ts';

const READ = 0o4;
const WRITE = 0o2;
const SEARCH = 0o1;

/** `read`: explain, search, fork from. `change`: gc, archive, rm: the owner's alone. */
export type Access = 'read' | 'change';

/** The session, when the caller may do that with it. */
export function reachSession(store: Store, relative: string, caller: Caller, access: Access): Session {
  const path = sessionPath(relative);
  if (denied(store, path, relative, caller, access))
    throw new CtxError('control.denied', 'EACCES', 'this session is not yours', {
      where: relative,
      next: 'ask its owner, or share it below shared/',
    });
  if (!isDirectory(`${store.root}/${relative}`))
    throw new CtxError('control.no_session', 'ENOENT', 'no such session', {
      where: relative,
      next: 'ctx ls lists them, ctx new makes one',
    });
  return store.sessions.get(`${store.root}/${relative}`);
}

/** The path of a session that does not exist yet, when the caller could make it with mkdir. */
export function newSessionPath(store: Store, relative: string, caller: Caller): SessionPath {
  const path = sessionPath(relative);
  const where = { where: relative };
  if (isReservedSession(path.session))
    throw new CtxError('control.session_name', 'EINVAL', 'this name belongs to the listing', { ...where, next: 'choose another name' });
  if (lstat(`${store.root}/${relative}`) !== undefined)
    throw new CtxError('fork.exists', 'EEXIST', 'that session exists', { ...where, next: 'choose another name' });
  // agent/ of the home or space has to be there; the agent and its session/ are made when they are missing.
  const parts = relative.split('/').slice(0, -1);
  let at = store.root;
  let deepest = at;
  for (const [index, part] of parts.entries()) {
    at += `/${part}`;
    const stat = lstat(at);
    if (stat === undefined && index >= 3) break;
    if (stat?.isDirectory() !== true)
      throw new CtxError('fork.no_home', 'ENOENT', 'no such home or shared space', { ...where, next: 'make its agent/ directory first' });
    deepest = at;
    if (index > 0 && !allows(at, caller, SEARCH)) throw notYours(relative);
  }
  if (!allows(deepest, caller, WRITE | SEARCH)) throw notYours(relative);
  return path;
}

function notYours(relative: string): CtxError {
  return new CtxError('control.denied', 'EACCES', 'you may not make a session there', {
    where: relative,
    next: 'name one in your own home, or in a shared space that you may write',
  });
}

function sessionPath(relative: string): SessionPath {
  const path = parseSessionRelativePath(relative);
  if (path !== undefined) return path;
  throw new CtxError('control.session_name', 'EINVAL', 'not a session path', {
    where: relative,
    next: 'name it home/<uid>/agent/<agent>/session/<session>',
  });
}

function denied(store: Store, path: SessionPath, relative: string, caller: Caller, access: Access): boolean {
  if (caller.uid !== 0 && 'home' in path.owner && path.owner.home !== caller.uid) return true;
  let at = store.root;
  for (const [index, part] of relative.split('/').entries()) {
    at += `/${part}`;
    // home/ and shared/ themselves let everyone through; what is missing further down is for the caller to hear of.
    if (index === 0) continue;
    const stat = lstat(at);
    if (stat === undefined) return false;
    if (!stat.isDirectory()) return true;
    if (!allows(at, caller, READ | SEARCH)) return true;
    if (index === 5 && access === 'change' && caller.uid !== 0 && Number(stat.uid) !== caller.uid) return true;
  }
  return false;
}

/** Whether the caller may pass through every directory above a place of the store. */
export function mayReach(store: string, relative: string, caller: Caller): boolean {
  const above = relative.split('/').slice(0, -1);
  return above.every((_part, index) => index === 0 || allows(`${store}/${above.slice(0, index + 1).join('/')}`, caller, SEARCH));
}

/** Permission bits as the kernel reads them; the caller's supplementary groups are not known here and count as others. */
function allows(path: string, caller: Caller, bits: number): boolean {
  if (caller.uid === 0) return true;
  const stat = lstat(path);
  if (stat === undefined) return false;
  const shift = Number(stat.uid) === caller.uid ? 6 : Number(stat.gid) === caller.gid ? 3 : 0;
  return ((Number(stat.mode) >> shift) & bits) === bits;
}
