// `.control`: one open is one transaction (src/abi/control.ts). The kernel says who asks, so who may is checked here.
import * as fs from 'node:fs';
import type { ControlReply, ControlRequest } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import { parseGcPolicy } from '../context/gc.ts';
import type { ForkPart, ForkPlan } from '../journal/fork-plan.ts';
import { EPHEMERAL_DIR } from './binding-dir.ts';
import { syntheticAttr, syntheticIno } from './backing.ts';
import type { Owner } from './bytes-node.ts';
import { readControl } from './control-file.ts';
import { parseControlRequest } from './control-request.ts';
import type { DeriverRequest } from './deriver-client.ts';
import { askEngine } from './engine-client.ts';
import type { EngineRequest, ModelChange } from './engine-client.ts';
import { prepareFork } from './fork-session.ts';
import { foreignState, linkHistory, startInstance } from './image-verbs.ts';
import { listSealed, prepareSeal } from './seal-session.ts';
import { reachSession } from './session-access.ts';
import type { Session } from './sessions.ts';
import type { Store } from './store.ts';
import { prepareReady, sweepUnfinished } from './starting-sessions.ts';
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
      const request = parseControlRequest(this.#request.toString('utf8'));
      const result = perform(this.#channel, request, this.#caller);
      if (!(result instanceof Later)) {
        answer({ ok: true, result });
        return count;
      }
      return new Slow(count, (done, ticket) => {
        result.slow.start((outcome) => {
          if ('error' in outcome) result.failed();
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

/** A result that the deriver or the engine brings, or that follows from something it does. */
class Later {
  value: unknown;
  readonly slow: Slow<unknown>;
  readonly failed: () => void;
  constructor(ask: (finish: (value: unknown) => void) => Slow<unknown>, failed: () => void) {
    this.failed = failed;
    this.slow = ask((value) => {
      this.value = value;
    });
  }
}

/** `failed`: the deriver refused, or `then` threw. */
function afterDeriver(
  session: Session,
  request: DeriverRequest,
  then: (value: unknown) => unknown = (value) => value,
  failed: () => void = () => {},
): Later {
  return new Later((finish) => session.ask(request, null, (value) => finish(then(value))), failed);
}

/** The journals of now are on the disk, and the order log is sealed as far; then `act`. */
function afterPlan(session: Session, ask: (parts: readonly ForkPart[]) => DeriverRequest, act: (plan: ForkPlan) => unknown): Later {
  const { parts, settle, release } = session.journals.beginFork();
  let settled = false;
  const end = (how: () => void): void => {
    if (!settled) how();
    settled = true;
  };
  return afterDeriver(
    session,
    ask(parts),
    (plan) => {
      end(settle);
      return act(plan as ForkPlan);
    },
    () => end(release),
  );
}

function afterEngine(store: Store, request: EngineRequest): Later {
  const { engine } = store.sessions.options.deriver;
  return new Later(
    (finish) => askEngine(engine, request, null, finish),
    () => {},
  );
}

/** Models are the store's, and their files are read as the user who owns it. */
function changeModels(store: Store, change: ModelChange, caller: Caller): Later {
  ownStore(caller);
  return afterEngine(store, { kind: 'models', change });
}

function ownStore({ uid }: Caller): void {
  if (uid === 0 || uid === process.getuid?.()) return;
  throw new CtxError('control.denied', 'EACCES', 'the engine belongs to who mounted the store', {
    next: 'ask them, or mount a store of your own',
  });
}

function failure(error: unknown): ControlReply {
  const system = error as { code?: unknown; message?: unknown };
  const known = error instanceof CtxError ? error : system.code === 'ENOSPC' || system.code === 'EDQUOT' ? noSpace(error) : undefined;
  return {
    ok: false,
    error: {
      code: known?.code ?? 'control.failed',
      errno: known?.errno ?? (typeof system.code === 'string' ? system.code : 'EIO'),
      message: known?.message ?? String(system.message ?? error),
      ...(known?.where === undefined ? {} : { where: known.where }),
      ...(known?.next === undefined ? {} : { next: known.next }),
    },
  };
}

function noSpace(cause: unknown): CtxError {
  return new CtxError('store.no_space', 'ENOSPC', 'has no space left', {
    where: 'the store',
    next: 'free space on its disk, or run: ctx gc',
    cause,
  });
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
      const session = reachSession(store, request.session, caller, 'read');
      return afterDeriver(session, { kind: 'explain', name: request.file.replace(/^context\//, ''), revision: session.at() });
    }
    case 'search': {
      const session = reachSession(store, request.session, caller, 'read');
      return afterDeriver(session, { kind: 'search', query: request.query, limit: request.limit, revision: session.at() });
    }
    case 'pack-at': {
      const session = reachSession(store, request.session, caller, 'read');
      return afterDeriver(session, { kind: 'pack-at', at: request.at, revision: session.at() });
    }
    case 'gc': {
      const session = reachSession(store, request.session, caller, 'change');
      return afterDeriver(session, { kind: 'gc', dryRun: request.dryRun }, (value) => {
        // What is known to be fresh may have been swept.
        session.fresh.clear();
        return value;
      });
    }
    case 'fork': {
      const from = reachSession(store, request.from, caller, 'read');
      const act = prepareFork(store, from, request, caller);
      // The order log first holds all that the parent has: the child's order is its prefix.
      return afterPlan(from, (parts) => ({ kind: 'plan-fork', revision: from.at(), parts, at: request.at }), act);
    }
    case 'seal': {
      const session = reachSession(store, request.session, caller, 'read');
      const act = prepareSeal(session, request.session);
      return afterPlan(session, (parts) => ({ kind: 'plan-seal', revision: session.at(), parts }), act);
    }
    case 'digest': {
      const session = reachSession(store, request.session, caller, 'read');
      return afterDeriver(session, { kind: 'digest' }, listSealed(session, request.session));
    }
    case 'image.link': {
      const session = reachSession(store, request.session, caller, 'read');
      return linkHistory(store, session, listSealed(session, request.session)(), caller);
    }
    case 'image.adopt': {
      // What one user gives, sessions of all would load.
      ownStore(caller);
      const { directory } = reachSession(store, request.session, caller, 'change');
      return afterEngine(store, { kind: 'adopt', directory, foreign: foreignState(store, request, caller) });
    }
    case 'image.start':
      return startInstance(store, request, caller);
    case 'image.ready': {
      const session = reachSession(store, request.session, caller, 'change');
      const act = prepareReady(store, session, request.as, caller);
      return takeAway(store, session, act);
    }
    case 'sweep':
      return sweepUnfinished(store, caller, request.dryRun);
    case 'archive': {
      const session = reachSession(store, request.session, caller, 'change');
      const to = `${store.root}/archive/${request.session}-${new Date().toISOString().replaceAll(':', '')}`;
      return takeAway(store, session, () => {
        fs.mkdirSync(to.slice(0, to.lastIndexOf('/')), { recursive: true, mode: 0o700 });
        // IMG-92.
        fs.rmSync(`${session.directory}/${EPHEMERAL_DIR}`, { recursive: true, force: true });
        fs.renameSync(session.directory, to);
        forgetState(store, session);
        return { archived: to };
      });
    }
    case 'model.ls':
      return afterEngine(store, { kind: 'models', change: { op: 'ls' } });
    case 'model.add':
      return changeModels(store, { op: 'add', model: request.model, makeDefault: request.makeDefault }, caller);
    case 'model.rm':
      return changeModels(store, { op: 'rm', model: request.model }, caller);
    case 'model.use':
      return changeModels(store, { op: 'use', model: request.model }, caller);
    case 'kv.inspect':
      return afterEngine(store, { kind: 'inspect', of: reachSession(store, request.session, caller, 'read').forEngine() });
    case 'kv.evict':
      return afterEngine(store, { kind: 'evict', directory: reachSession(store, request.session, caller, 'change').directory });
    case 'kv.gc':
      ownStore(caller);
      return afterEngine(store, { kind: 'collect', dryRun: request.dryRun });
    case 'rm': {
      const session = reachSession(store, request.session, caller, 'change');
      if (!request.force) refuseUnlessPolicy(session);
      return takeAway(store, session, () => {
        // Out of sight first: a crash in between leaves a hidden rest, never half a session.
        const aside = `${session.directory.slice(0, session.directory.lastIndexOf('/'))}/.removed-${process.pid}-${Date.now()}`;
        fs.renameSync(session.directory, aside);
        fs.rmSync(aside, { recursive: true });
        forgetState(store, session);
        return { removed: request.session };
      });
    }
  }
}

/** KVT-11: what was compiled of a history goes where the history goes; nobody waits for it. */
function forgetState(store: Store, { directory }: Session): void {
  store.sessions.options.deriver.engine.request({ kind: 'forget', directory }, () => {});
}

function refuseUnlessPolicy(session: Session): void {
  const path = `${session.directory}/context/gc.policy`;
  const policy = parseGcPolicy(fs.existsSync(path) ? readControl(path).toString('utf8') : '');
  if (policy.keepMessages || policy.keepEvents) {
    throw new CtxError('session.kept', 'EPERM', "gc.policy keeps this session's history", {
      where: sessionName(session),
      next: 'set keep_messages=0 and keep_events=0 in context/gc.policy, or use ctx archive',
    });
  }
}

function sessionName(session: Session): string {
  return session.directory.split('/').at(-1) ?? '';
}

function takeAway(store: Store, session: Session, act: () => unknown): unknown {
  const busy = (): CtxError =>
    new CtxError('session.busy', 'EBUSY', 'a journal of this session is open', {
      where: sessionName(session),
      next: 'close its readers and writers first (fuser shows them)',
    });
  if (session.handles > 0) throw busy();
  const { directory } = session;
  return afterDeriver(session, { kind: 'close' }, () => {
    if (session.handles > 0) throw busy();
    store.forgetSession(directory);
    return act();
  });
}
