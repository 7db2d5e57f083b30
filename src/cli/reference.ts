// REF: one grammar for naming a session: AGENT/SESSION, session:AGENT/SESSION, a path on the mount, `.` inside one.
import { isAbsolute, relative, resolve } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { isObjectName, parseSessionRelativePath, sessionRelativePath, type SessionPath } from '../abi/names.ts';

export interface Where {
  /** Mount point or store directory that paths are relative to. */
  readonly root: string;
  readonly cwd: string;
  readonly uid: number;
}

export interface Target {
  readonly session: SessionPath;
  /** Path of the session below the root: `home/0/agent/coder/session/default`. */
  readonly path: string;
  /** A file below the session that the reference named; '' for the session itself. */
  readonly rest: string;
}

/** Throws `cli.reference` (a usage error) when the text names no session. */
export function parseReference(text: string, where: Where): Target {
  if (text.startsWith('image:')) throw noSession(text, 'names an image, and a session is needed here');
  const explicit = text.startsWith('session:');
  const bare = explicit ? text.slice('session:'.length) : text;
  const [agent, session, ...more] = bare.split('/');
  if (agent !== undefined && session !== undefined && more.length === 0 && isObjectName(agent) && isObjectName(session)) {
    return target({ owner: { home: where.uid }, agent, session }, '');
  }
  const inTree = explicit ? undefined : onTree(bare, where);
  if (inTree !== undefined) return inTree;
  const treePath = parseSessionRelativePath(bare);
  if (treePath !== undefined) return target(treePath, '');
  throw noSession(text, 'names no session');
}

/** How a session is written for people: AGENT/SESSION in this user's home, its tree path otherwise. */
export function referenceOf(session: SessionPath, uid: number): string {
  const own = 'home' in session.owner && session.owner.home === uid;
  return own ? `${session.agent}/${session.session}` : sessionRelativePath(session);
}

function onTree(text: string, where: Where): Target | undefined {
  const below = relative(where.root, resolve(where.cwd, text));
  if (below === '' || below.startsWith('..') || isAbsolute(below)) return undefined;
  const parts = below.split('/');
  const session = parseSessionRelativePath(parts.slice(0, 6).join('/'));
  return session === undefined ? undefined : target(session, parts.slice(6).join('/'));
}

function target(session: SessionPath, rest: string): Target {
  return { session, path: sessionRelativePath(session), rest };
}

function noSession(text: string, why: string): CtxError {
  return new CtxError('cli.reference', 'EINVAL', why, {
    where: JSON.stringify(text),
    next: 'write AGENT/SESSION (see: ctx ls), a path on the mount, or . inside a session',
  });
}
