// `.control`: one open is one transaction (src/abi/control.ts). The kernel says who asks, so who may is checked here.
import * as fs from 'node:fs';
import type { ControlReply, ControlRequest } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import { parseSessionRelativePath } from '../abi/names.ts';
import { parseGcPolicy } from '../context/gc.ts';
import { lstat, lstatOrFail, syntheticAttr, syntheticIno } from './backing.ts';
import type { Owner } from './bytes-node.ts';
import type { DeriverRequest } from './deriver-client.ts';
import type { Session } from './sessions.ts';
import type { Store } from './store.ts';
import { fail, Handle, S_IFREG, Slow, TreeNode } from './types.ts';
import type { Attr, AttrChange, Caller } from './types.ts';

const MAX_REQUEST_BYTES = 1024 * 1024;

export class ControlChannel extends TreeNode {
  override readonly attrTtlMs = 0;
  readonly store: Store;
  readonly status: () => string;
  readonly #attr: Attr;

  constructor(store: Store, owner: Owner, status: () => string) {
    super();
    this.store = store;
    this.status = status;
    this.#attr = syntheticAttr(syntheticIno(), S_IFREG | 0o666, 0, owner, Date.now());
  }
  attr(): Attr {
    return this.#attr;
  }
  override setattr(_change: AttrChange): Attr {
    return this.#attr;
  }
  override open(_flags: number, caller: Caller): Handle {
    return new Transaction(this, caller);
  }
}

class Transaction extends Handle {
  override readonly mode = { directIo: true, nonSeekable: true };
  readonly #channel: ControlChannel;
  readonly #caller: Caller;
  #request = Buffer.alloc(0);
  #reply: Buffer | undefined;
  #sent = 0;

  constructor(channel: ControlChannel, caller: Caller) {
    super();
    this.#channel = channel;
    this.#caller = caller;
  }

  /** The write that ends the request returns when the reply is there; reads then never wait. */
  override write(_offset: number, bytes: Buffer): number | Slow<number> {
    if (this.#reply !== undefined) throw fail('EBUSY', 'one request a transaction');
    if (this.#request.length + bytes.length > MAX_REQUEST_BYTES) throw fail('EMSGSIZE', 'request too long');
    this.#request = Buffer.concat([this.#request, bytes]);
    return this.#request.includes(0x0a) ? this.#run(bytes.length) : bytes.length;
  }

  #run(count: number): number | Slow<number> {
    const answer = (reply: ControlReply): void => {
      this.#reply = Buffer.from(`${JSON.stringify(reply)}\n`);
    };
    try {
      const request = JSON.parse(this.#request.toString('utf8')) as ControlRequest;
      const result = perform(this.#channel, request, this.#caller);
      if (!(result instanceof Later)) {
        answer({ ok: true, result });
        return count;
      }
      return new Slow(count, (done, ticket) => {
        result.slow.start((outcome) => {
          answer('error' in outcome ? failure(outcome.error) : { ok: true, result: result.value });
          done({ value: count });
        }, ticket);
      });
    } catch (error) {
      answer(failure(error));
      return count;
    }
  }

  override read(_offset: number, into: Buffer): number {
    if (this.#reply === undefined) throw fail('EINVAL', 'write a request first');
    const count = this.#reply.copy(into, 0, this.#sent);
    this.#sent += count;
    return count;
  }
}

/** A result that the deriver brings, or that follows from something it does. */
class Later {
  value: unknown;
  readonly slow: Slow<unknown>;
  constructor(session: Session, request: DeriverRequest, then: (value: unknown) => unknown = (value) => value) {
    this.slow = session.ask(request, null, (value) => {
      this.value = then(value);
    });
  }
}

function failure(error: unknown): ControlReply {
  const known = error instanceof CtxError ? error : undefined;
  const system = error as { code?: unknown; message?: unknown };
  return {
    ok: false,
    error: {
      code: known?.code ?? 'control.failed',
      errno: known?.errno ?? (typeof system.code === 'string' ? system.code : 'EIO'),
      message: String(system.message ?? error),
      ...(known?.where === undefined ? {} : { where: known.where }),
      ...(known?.next === undefined ? {} : { next: known.next }),
    },
  };
}

/** A value, or Later when the deriver answers. */
function perform(channel: ControlChannel, request: ControlRequest, caller: Caller): unknown {
  const { store } = channel;
  switch (request.verb) {
    case 'status':
      return Object.fromEntries(
        channel
          .status()
          .trim()
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
    case 'explain': {
      const session = reach(store, request.session, caller);
      return new Later(session, { kind: 'explain', name: request.file.replace(/^context\//, ''), revision: session.at() });
    }
    case 'search': {
      const session = reach(store, request.session, caller);
      return new Later(session, { kind: 'search', query: request.query, limit: request.limit, revision: session.at() });
    }
    case 'pack-at': {
      const session = reach(store, request.session, caller);
      return new Later(session, { kind: 'pack-at', at: request.at, revision: session.at() });
    }
    case 'gc': {
      const session = reach(store, request.session, caller, true);
      return new Later(session, { kind: 'gc', dryRun: request.dryRun }, (value) => {
        // What is known to be fresh may have been swept.
        session.fresh.clear();
        return value;
      });
    }
    case 'fork':
      return fork(store, request, caller);
    case 'archive': {
      const session = reach(store, request.session, caller, true);
      const to = `${store.root}/archive/${request.session}-${new Date().toISOString().replaceAll(':', '')}`;
      return takeAway(store, session, () => {
        fs.mkdirSync(to.slice(0, to.lastIndexOf('/')), { recursive: true, mode: 0o700 });
        fs.renameSync(session.directory, to);
        return { archived: to };
      });
    }
    case 'rm': {
      const session = reach(store, request.session, caller, true);
      if (!request.force) refuseUnlessPolicy(session);
      return takeAway(store, session, () => {
        fs.rmSync(session.directory, { recursive: true });
        return { removed: request.session };
      });
    }
    default:
      throw new CtxError('control.unknown_verb', 'EINVAL', 'unknown verb', {
        where: String((request as { verb?: unknown }).verb),
        next: 'see src/abi/control.ts for the verbs',
      });
  }
}

/** The session, when the caller may read it (or own it, to change it). */
function reach(store: Store, relative: string, caller: Caller, change: boolean = false): Session {
  const path = typeof relative === 'string' ? parseSessionRelativePath(relative) : undefined;
  if (path === undefined)
    throw new CtxError('control.session_name', 'EINVAL', 'not a session path', {
      where: String(relative),
      next: 'name it home/<uid>/agent/<agent>/session/<session>',
    });
  const directory = `${store.root}/${relative}`;
  if (caller.uid !== 0) {
    if ('home' in path.owner ? path.owner.home !== caller.uid : !sharedReach(store, relative, caller, change)) {
      throw new CtxError('control.denied', 'EACCES', 'this session is not yours', { where: relative });
    }
  }
  if (lstat(directory) === undefined)
    throw new CtxError('control.no_session', 'ENOENT', 'no such session', {
      where: relative,
      next: 'ctx ls lists them, ctx new makes one',
    });
  return store.sessions.get(directory);
}

/** Shared sessions: their owner may change them; others may read what every directory on the way lets them reach. */
function sharedReach(store: Store, relative: string, caller: Caller, change: boolean): boolean {
  let path = store.root;
  const parts = relative.split('/');
  for (const [index, part] of parts.entries()) {
    path += `/${part}`;
    if (index === 0) continue;
    const stat = lstatOrFail(path);
    const mine = Number(stat.uid) === caller.uid;
    if (index === parts.length - 1 && change) return mine;
    const bits = mine ? 0o500 : Number(stat.gid) === caller.gid ? 0o050 : 0o005;
    if ((Number(stat.mode) & bits) !== bits) return false;
  }
  return true;
}

function refuseUnlessPolicy(session: Session): void {
  const policy = parseGcPolicy(fs.readFileSync(`${session.directory}/context/gc.policy`, 'utf8'));
  if (policy.keepMessages || policy.keepEvents) {
    throw new CtxError('session.kept', 'EPERM', "gc.policy keeps this session's history", {
      where: session.directory.split('/').at(-1) ?? '',
      next: 'set keep_messages=0 and keep_events=0 in context/gc.policy, or use ctx archive',
    });
  }
}

function takeAway(store: Store, session: Session, act: () => unknown): unknown {
  if (session.handles > 0)
    throw new CtxError('session.busy', 'EBUSY', 'a journal of this session is open', { next: 'close its readers and writers first' });
  const { directory } = session;
  return new Later(session, { kind: 'close' }, () => {
    store.forgetSession(directory);
    return act();
  });
}

function fork(store: Store, request: Extract<ControlRequest, { verb: 'fork' }>, caller: Caller): unknown {
  const from = reach(store, request.from, caller);
  const to = parseSessionRelativePath(request.to);
  if (to === undefined) throw new CtxError('control.session_name', 'EINVAL', 'not a session path', { where: String(request.to) });
  if (caller.uid !== 0 && 'home' in to.owner && to.owner.home !== caller.uid)
    throw new CtxError('control.denied', 'EACCES', 'that home is not yours', { where: request.to });
  const directory = `${store.root}/${request.to}`;
  if (lstat(directory) !== undefined) throw new CtxError('fork.exists', 'EEXIST', 'that session exists', { where: request.to });
  const parent = directory.slice(0, directory.lastIndexOf('/'));
  const agent = parent.slice(0, parent.lastIndexOf('/'));
  if (lstat(agent.slice(0, agent.lastIndexOf('/'))) === undefined)
    throw new CtxError('fork.no_home', 'ENOENT', 'no such home or shared space', { where: request.to });
  const owner = lstatOrFail(agent.slice(0, agent.lastIndexOf('/')));
  for (const path of [agent, parent]) if (lstat(path) === undefined) store.makeDirectory(path, 0o755, Number(owner.uid), Number(owner.gid));
  // The order log first holds all that the parent has: the child's order is its prefix.
  return new Later(from, { kind: 'settle', revision: from.at() }, () => {
    store.makeSession(directory, 0o755, caller, fs.readFileSync(`${from.directory}/cwd`, 'utf8').trim() || '/');
    try {
      from.journals.forkInto(directory, request.at);
      copyInputs(store, from.directory, directory);
    } catch (error) {
      fs.rmSync(directory, { recursive: true, force: true });
      throw error;
    }
    return { session: request.to, from: request.from, ...(request.at === undefined ? {} : { at: request.at }) };
  });
}

/** Controls and pinned files of a fork start as its parent's are now. */
function copyInputs(store: Store, from: string, to: string): void {
  const stat = fs.lstatSync(to);
  for (const name of ['meta.json', 'context/budget', 'context/gc.policy', 'context/policy.yaml', 'context/tools.json'])
    fs.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  fs.cpSync(`${from}/context/pinned`, `${to}/context/pinned`, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  if (!store.isRoot) return;
  for (const name of fs.readdirSync(`${to}/context/pinned`, { recursive: true, encoding: 'utf8' }))
    fs.lchownSync(`${to}/context/pinned/${name}`, stat.uid, stat.gid);
}
