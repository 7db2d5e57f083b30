// Names and session paths of the tree (abi-spec/tree.md). Imports nothing.

const OBJECT_NAME = /^[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}$/;

/** NAM-1: `[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}`, never ending in `.sock` or `.d`. */
export function isObjectName(name: string): boolean {
  return OBJECT_NAME.test(name) && !name.endsWith('.sock') && !name.endsWith('.d');
}

/** Names beside the sessions that are not sessions: `session/index/` is the listing. */
export function isReservedSession(name: string): boolean {
  return name === 'index';
}

/** IMG-110: the agent of a home whose sessions are being made: it answers by name and is not listed. */
export const STARTING_AGENT = '.start';

/** A uid as a directory name of `home/`: canonical decimal, no leading zero. */
export function isUidName(name: string): boolean {
  return /^(0|[1-9][0-9]{0,9})$/.test(name) && Number(name) < 0xffff_ffff;
}

/** Where a session lives: a person's home, or a shared directory. */
export type SessionOwner = { readonly home: number } | { readonly shared: string };

export interface SessionPath {
  readonly owner: SessionOwner;
  readonly agent: string;
  readonly session: string;
}

/** Path of a session below the mount point or store, without a leading slash. */
export function sessionRelativePath(path: SessionPath): string {
  const top = 'home' in path.owner ? `home/${path.owner.home}` : `shared/${path.owner.shared}`;
  return `${top}/agent/${path.agent}/session/${path.session}`;
}

const SESSION_PATH = /^(?:home\/([0-9]+)|shared\/([^/]+))\/agent\/([^/]+)\/session\/([^/]+)$/;

/** The inverse of {@link sessionRelativePath}; undefined when the path is not a session's. */
export function parseSessionRelativePath(path: string): SessionPath | undefined {
  const match = SESSION_PATH.exec(path);
  if (match === null) return undefined;
  const [, uid, shared, agent, session] = match;
  if (agent === undefined || session === undefined || !isObjectName(session)) return undefined;
  if (!isObjectName(agent) && (agent !== STARTING_AGENT || uid === undefined)) return undefined;
  if (uid !== undefined) return isUidName(uid) ? { owner: { home: Number(uid) }, agent, session } : undefined;
  if (shared === undefined || !isObjectName(shared)) return undefined;
  return { owner: { shared }, agent, session };
}
