// Open sessions of the serving thread: their journals, their revision, and what is known to be fresh.
import type { CommitNote, JournalWriter, SessionJournals } from '../journal/types.ts';
import type { Revision } from '../session/types.ts';
import { settling } from './deriver-client.ts';
import type { DeriverClient, DeriverRequest, DeriverResults } from './deriver-client.ts';
import type { EngineClient, EngineSession } from './engine-client.ts';
import { openFilesLimit, sessionsWithin } from './open-files.ts';
import { fail, Slow } from './types.ts';
import type { TreeNode } from './types.ts';

export type OpenJournals = (directory: string, options: { maxLineBytes: number; onCommit: (note: CommitNote) => void }) => SessionJournals;

export interface SessionsOptions {
  readonly openJournals: OpenJournals;
  readonly deriver: DeriverClient;
  readonly maxLineBytes: number;
  /** Longest wait for a rebuild before ETIMEDOUT, in ms. */
  readonly rebuildWaitMs: number;
}

/** Where descriptors allow it. */
const MAX_ACTIVE_SESSIONS = 256;
const MAX_REASON_CHARACTERS = 512;

/** Sessions with open journals; the least recently used without open handles are closed. */
export class Sessions {
  readonly options: SessionsOptions;
  readonly #open: Map<string, Session> = new Map();
  readonly #active: Set<Session> = new Set();
  readonly #mostActive: number = Math.min(MAX_ACTIVE_SESSIONS, sessionsWithin(openFilesLimit()));
  #nextId = 1;

  constructor(options: SessionsOptions) {
    this.options = options;
  }

  /** `directory`: the session's directory in the store. */
  get(directory: string): Session {
    const known = this.#open.get(directory);
    if (known !== undefined) return known;
    const session = new Session(this.#nextId++, directory, this);
    this.#open.set(directory, session);
    return session;
  }

  /** The session of this directory when it has been looked at already. */
  peek(directory: string): Session | undefined {
    return this.#open.get(directory);
  }

  get activeCount(): number {
    return this.#active.size;
  }

  sessions(): Iterable<Session> {
    return this.#open.values();
  }

  /** Called when a session opens its journals: closes those least recently opened that nobody holds. */
  opened(session: Session): void {
    this.#active.delete(session);
    this.#active.add(session);
    if (this.#active.size <= this.#mostActive) return;
    for (const idle of this.#active) {
      if (this.#active.size <= this.#mostActive / 2) return;
      if (idle.handles === 0 && idle !== session) this.rest(idle);
    }
  }

  /** Lets go of descriptors and the deriver; the session opens again on the next look. */
  rest(session: Session): void {
    this.#active.delete(session);
    session.rest();
  }

  /** The session's directory is gone or moved. */
  remove(session: Session): void {
    this.rest(session);
    session.gone = true;
    this.#open.delete(session.directory);
  }

  closeAll(): void {
    for (const session of this.#open.values()) session.rest();
    this.#open.clear();
  }
}

export class Session {
  readonly id: number;
  readonly directory: string;
  readonly options: SessionsOptions;
  readonly #registry: Sessions;
  gone = false;
  /** Moves with every commit and every change of an input: equal revision means everything derived is unchanged. */
  revision = 0;
  /** Open file handles on its journals: such a session stays open. */
  handles = 0;
  /** Nodes by path below the session: journals, controls, and the newest version of each derived file. */
  readonly fixed: Map<string, TreeNode> = new Map();
  readonly fresh: Map<string, { readonly revision: number; readonly node: TreeNode }> = new Map();
  #journals: SessionJournals | undefined;
  #announced = false;
  /** Which pack the engine was told of: at most one message for each version. */
  #told = '';
  lastCommitMs = 0;

  constructor(id: number, directory: string, registry: Sessions) {
    this.id = id;
    this.directory = directory;
    this.options = registry.options;
    this.#registry = registry;
  }

  get journals(): SessionJournals {
    if (this.#journals !== undefined) return this.#journals;
    this.mustExist();
    this.#journals = this.options.openJournals(this.directory, {
      maxLineBytes: this.options.maxLineBytes,
      onCommit: (note) => {
        this.revision += 1;
        this.lastCommitMs = note.timeMs;
        this.#announce();
        this.options.deriver.committed(this.id, note);
      },
    });
    this.#registry.opened(this);
    return this.#journals;
  }

  /** Renamed or removed: the kernel may still know the old node by the new name. ESTALE makes it look the name up again. */
  mustExist(): void {
    if (this.gone) throw fail('ESTALE', 'the session was removed');
  }

  get isOpen(): boolean {
    return this.#journals !== undefined;
  }

  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    this.options.deriver.openSession(this.id, this.directory);
  }

  at(): Revision {
    // Lines that others appended in the store are seen by the files' sizes.
    this.journals.refresh();
    return { messagesBytes: this.journals.messages.sizeBytes, eventsBytes: this.journals.events.sizeBytes };
  }

  /** `path` below the session directory; '' when anything may have changed. */
  inputChanged(path: string): void {
    this.revision += 1;
    this.#announce();
    this.options.deriver.inputChanged(this.id, path);
  }

  /** Below the store: `home/0/agent/coder/session/default`. */
  get relative(): string {
    return this.directory.split('/').slice(-6).join('/');
  }

  /** A value that was not taken, and why: an `error` event. The refusal stands whatever hinders the event. */
  refused(target: string, error: unknown): void {
    try {
      const { errno = 'EIO', message } = error as { errno?: string; message: string };
      this.journals.appendEvent({ type: 'error', code: errno, target, reason: message.slice(0, MAX_REASON_CHARACTERS) });
    } catch {
      // The caller has its errno.
    }
  }

  get engine(): EngineClient {
    return this.options.deriver.engine;
  }

  forEngine(): EngineSession {
    const revision = this.at();
    this.#announce();
    return { session: this.id, directory: this.directory, revision };
  }

  /** KVT-5: a pack was opened. Told once for each version, at the price of one message. */
  packRead(): void {
    const { engine } = this;
    if (engine.mark === undefined) return;
    const mark = `${this.revision} ${engine.mark}`;
    if (mark === this.#told) return;
    this.#told = mark;
    try {
      engine.packRead(this.forEngine());
    } catch {
      // The pack is open and stays so, whatever hinders the engine.
    }
  }

  /** Work of the deriver: `ready` is the answer; `finish` completes it with the result on the serving thread. */
  ask<R extends DeriverRequest, T>(
    request: R,
    ready: T,
    finish: (value: DeriverResults[R['kind']]) => void,
    current?: Slow<T>['current'],
  ): Slow<T> {
    return new Slow<T>(
      ready,
      (done, ticket) => {
        this.#announce();
        this.options.deriver.request(this.id, request, settling(ready, finish, current, done), ticket);
      },
      current,
    );
  }

  /** JRN-11: `ready` once the journal is on the disk as far as it goes now. The serving thread waits for no disk. */
  durable<T>(journal: JournalWriter, ready: T): T | Slow<T> {
    const pending = journal.beginSync();
    if (pending === undefined) return ready;
    return new Slow<T>(ready, (done, ticket) => {
      this.options.deriver.sync(
        pending.work,
        (outcome) => {
          const failure = pending.settle('error' in outcome ? outcome.error : undefined);
          done(failure === undefined ? { value: ready } : { error: failure });
        },
        ticket,
      );
    });
  }

  rest(): void {
    this.#journals?.close();
    this.#journals = undefined;
    this.fresh.clear();
    if (!this.#announced) return;
    this.#announced = false;
    this.options.deriver.request(this.id, { kind: 'close' }, () => {});
  }
}
