// The deriver thread: one SessionDeriver for each open session; answers the serving thread's requests.
import * as fs from 'node:fs';
import * as path from 'node:path';
import { watch } from 'chokidar';
import type { FSWatcher } from 'chokidar';
import { digestOf } from '../src/abi/digest.ts';
import { CtxError } from '../src/abi/errors.ts';
import { SESSION_CONTROLS, CONTEXT_CONTROLS } from '../src/abi/session-files.ts';
import { orderHolds } from '../src/journal/order-pages.ts';
import { openOrderLog } from '../src/journal/index.ts';
import { planFork, type ForkPart, type ForkPlan } from '../src/journal/fork-plan.ts';
import type { SyncWork } from '../src/journal/sync-work.ts';
import type { CommitNote, OrderLog } from '../src/journal/types.ts';
import { findLatest } from '../src/session/latest-text.ts';
import type { Revision, SessionDeriver } from '../src/session/types.ts';
import type { DeriverRequest } from '../src/tree/deriver-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { CommitRing } from './commit-ring.ts';
import { knownFailure } from './deriver-messages.ts';
import type { ToDeriver } from './deriver-messages.ts';
import { settle } from './replies.ts';
import type { Replies } from './replies.ts';
import { DigestQueue } from './digest-queue.ts';
import { openFilesLimit, sessionsWithin } from '../src/tree/open-files.ts';
import { SyncQueue } from './sync-queue.ts';

export interface HostOptions extends Replies {
  readonly openDeriver: (directory: string) => SessionDeriver;
  readonly ring: CommitRing;
  readonly rebuildWaitMs: number;
  readonly log: (line: string) => void;
  /** Sessions that nobody looks at any more and that are not closed yet; what a quarter of the descriptors allows where left out. */
  readonly mostIdle?: number;
  /** Lines that go into a session's order log now. */
  readonly onCommitted?: (directory: string, notes: readonly CommitNote[]) => void;
}

/**
 * Commits settle for this long before the order log is written: many appends become one record write. The longer time while
 * they do not end: each look costs the writers a tenth of a millisecond (rationale 0011). Who asks for a session waits for neither.
 */
const COALESCE_MS = 3;
const BURST_MS = 25;
/** Sessions that are to be closed and still build are looked at again so much later. */
const BUSY_MS = 100;
const PROGRESS_MS = 250;
/** Longest run of order-log writing before requests get their turn. */
const SLICE_MS = 20;
/** Of this many idle sessions one is closed in each turn: readers of others come first, and descriptors stay bounded. */
const IDLE_FOR_EACH_CLOSE = 16;
/** Closes that may be under way at once: one that waits for a long rebuild does not hold up the rest. */
const MAX_CLOSING = 64;

type SessionRequest = Extract<ToDeriver, { op: 'request' }>;

/** About the session's files: a deriver is not needed. */
type ApartRequest = Extract<DeriverRequest, { kind: 'plan-fork' | 'plan-seal' | 'digest' }>;

function isApart(request: DeriverRequest): request is ApartRequest {
  return request.kind === 'plan-fork' || request.kind === 'plan-seal' || request.kind === 'digest';
}

interface OpenSession {
  readonly directory: string;
  readonly deriver: SessionDeriver;
  watcher: FSWatcher | undefined;
}

export class DeriverHost {
  readonly #options: HostOptions;
  /** Sessions that the serving thread announced. */
  readonly #directories: Map<number, string> = new Map();
  readonly #sessions: Map<number, OpenSession> = new Map();
  /** Sessions that the serving thread let go of, with its request. */
  readonly #idle: Map<number, SessionRequest> = new Map();
  #closing = 0;
  /** Commits whose order records are not written yet. */
  readonly #notes: Map<number, CommitNote[]> = new Map();
  /** Why a session's deriver did not open, for whoever asks it. */
  readonly #failures: Map<number, unknown> = new Map();
  readonly #syncs: SyncQueue = new SyncQueue();
  readonly #digests: DigestQueue;
  readonly #mostIdle: number;
  #drainTimer: NodeJS.Timeout | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  #coalesceMs = COALESCE_MS;
  #lastNotesMs = 0;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#digests = new DigestQueue(options.log);
    this.#mostIdle = options.mostIdle ?? sessionsWithin(openFilesLimit());
  }

  handle(message: ToDeriver): void {
    switch (message.op) {
      case 'open':
        // Opened when first needed: a burst of appends to thousands of sessions must not hold up a reader of one.
        this.#directories.set(message.session, message.directory);
        this.#failures.delete(message.session);
        this.#stay(message.session);
        return;
      case 'notes':
        this.#drainSoon(this.#settleMs());
        return;
      case 'input':
        // In order: what was committed before the change comes before it.
        this.#commit(message.session);
        return this.#opened(message.session)?.deriver.inputChanged(message.path);
      case 'fsync': {
        const sync = message.dataOnly ? fs.fdatasync : fs.fsync;
        sync(message.file, (error) => this.#settle(message.id, message.ticket, error ?? undefined, null, true));
        return;
      }
      case 'sync': {
        const { id, work, ticket } = message;
        this.#syncs.push({ work, done: (error) => this.#settle(id, ticket, error, null, true) });
        return;
      }
      case 'request':
        if (message.request.kind === 'close' && message.ticket === undefined) {
          // Nobody waits for the rest of an idle session: readers of others come first.
          this.#idle.set(message.session, message);
          this.#drainSoon(COALESCE_MS);
          return;
        }
        this.#commit(message.session);
        void this.#answer(message);
    }
  }

  /** Writes the order log of all sessions, in slices: requests are answered in between. */
  drain(): void {
    this.#drainTimer = undefined;
    this.#collect();
    const until = Date.now() + SLICE_MS;
    for (const session of this.#notes.keys()) {
      if (Date.now() > until) break;
      this.#commit(session);
    }
    let due = Math.min(Math.ceil(this.#idle.size / IDLE_FOR_EACH_CLOSE), MAX_CLOSING - this.#closing);
    let closed = 0;
    for (const close of this.#closable()) {
      if (due <= 0) break;
      due -= 1;
      closed += 1;
      void this.#close(close);
    }
    // Requests come in between.
    if (this.#notes.size > 0 || (closed > 0 && this.#idle.size > 0 && this.#closing < MAX_CLOSING)) this.#drainSoon(0);
    else if (this.#idle.size > 0) this.#drainSoon(BUSY_MS);
  }

  *#closable(): Iterable<SessionRequest> {
    for (const close of this.#idle.values()) {
      // It would build on beside the deriver that the next reader opens on the same files.
      if (this.#sessions.get(close.session)?.deriver.status().building !== true) yield close;
    }
  }

  async #close(close: SessionRequest): Promise<void> {
    this.#idle.delete(close.session);
    this.#commit(close.session);
    this.#closing += 1;
    await this.#answer(close);
    this.#closing -= 1;
    if (this.#idle.size > 0) this.#drainSoon(0);
  }

  /** Before another session is opened: who looks at thousands waits for those that it has left, for their descriptors. */
  async #room(): Promise<void> {
    for (const close of this.#closable()) {
      if (this.#idle.size <= this.#mostIdle) return;
      await this.#close(close);
    }
  }

  /** Doubled each time while commits go on. */
  #settleMs(): number {
    const now = performance.now();
    const goesOn = now - this.#lastNotesMs < 2 * BURST_MS;
    this.#lastNotesMs = now;
    this.#coalesceMs = goesOn ? Math.min(BURST_MS, this.#coalesceMs * 2) : COALESCE_MS;
    return this.#coalesceMs;
  }

  #drainSoon(delayMs: number): void {
    this.#drainTimer ??= setTimeout(() => this.drain(), delayMs);
  }

  /** A session that was to be closed is looked at again: it stays open. */
  #stay(session: number): void {
    const close = this.#idle.get(session);
    if (close === undefined) return;
    this.#idle.delete(session);
    this.#settle(close.id, undefined, undefined, null, false);
  }

  #collect(): void {
    for (const [session, notes] of this.#options.ring.drain()) {
      const known = this.#notes.get(session);
      if (known === undefined) this.#notes.set(session, notes);
      else for (const note of notes) known.push(note);
    }
  }

  /** Everything that was committed to this session so far is in its order log afterwards. */
  #commit(session: number): void {
    this.#collect();
    const notes = this.#notes.get(session);
    if (notes === undefined) return;
    this.#notes.delete(session);
    const directory = this.#directories.get(session);
    if (directory !== undefined) this.#options.onCommitted?.(directory, notes);
    try {
      this.#opened(session)?.deriver.committed(notes);
    } catch (error) {
      this.#options.log(`order log: ${(error as Error).stack ?? String(error)}`);
    }
  }

  #opened(session: number): OpenSession | undefined {
    const known = this.#sessions.get(session);
    const directory = this.#directories.get(session);
    if (known !== undefined || directory === undefined || this.#failures.has(session)) return known;
    try {
      const open = { directory, deriver: this.#options.openDeriver(directory), watcher: undefined };
      open.deriver.onMemory = () => this.#options.send({ op: 'changed', session, path: 'memory' });
      this.#sessions.set(session, open);
      return open;
    } catch (error) {
      this.#failures.set(session, knownFailure(error));
      this.#options.log(`deriver of ${path.basename(directory)}: ${(error as Error).stack ?? String(error)}`);
      return undefined;
    }
  }

  async #answer({ session, id, request, ticket }: SessionRequest): Promise<void> {
    // A control transaction carries its failure in the reply text; its write has succeeded.
    const refusable = ticket?.carriesAttributes === true || request.kind === 'list';
    try {
      if (request.kind === 'fetch' && !this.#sessions.has(session)) await this.#room();
      if (isApart(request)) return this.#settle(id, ticket, undefined, await this.#performApart(session, request), refusable);
      const open = request.kind === 'close' ? this.#sessions.get(session) : this.#opened(session);
      if (request.kind === 'close') {
        this.#directories.delete(session);
        this.#failures.delete(session);
      }
      if (open === undefined && request.kind === 'close') {
        // Never needed, or too damaged to derive from: it can be taken away all the same.
        return this.#settle(id, ticket, undefined, null, refusable);
      }
      if (open === undefined) throw this.#whyClosed(session);
      this.#settle(id, ticket, undefined, await this.#within(this.#perform(session, open, request), request), refusable);
    } catch (failure) {
      const error = knownFailure(failure);
      if (!(error instanceof CtxError)) this.#options.log((error as Error).stack ?? String(error));
      this.#settle(id, ticket, error, undefined, refusable);
    }
  }

  #settle(id: number, ticket: ReplyTicket | undefined, error: unknown, value: unknown, refusable: boolean): void {
    settle(this.#options, id, ticket, error, value, refusable);
  }

  /** The deriver of an announced session, for the engine, with everything in its order log that was committed so far. */
  async deriver(session: number): Promise<SessionDeriver> {
    this.#commit(session);
    const open = this.#opened(session);
    if (open !== undefined) return open.deriver;
    throw this.#failures.get(session) ?? new CtxError('deriver.closed', 'ESTALE', 'the session was closed', { next: 'read it again' });
  }

  /** A rebuild that takes longer goes on, and its waiter is told to come back. */
  async #within<T>(work: Promise<T>, what: DeriverRequest): Promise<T> {
    if (what.kind !== 'fetch' && what.kind !== 'list' && what.kind !== 'latest') return work;
    this.#showProgress();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new CtxError('derive.timeout', 'ETIMEDOUT', 'the rebuild goes on', {
              ...('name' in what ? { where: what.name } : {}),
              next: 'see /ctx/status for its progress, then read again',
            }),
          ),
        this.#options.rebuildWaitMs,
      );
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
      work.catch((error: unknown) => {
        if (!(knownFailure(error) instanceof CtxError)) this.#options.log((error as Error).stack ?? String(error));
      });
    }
  }

  async #performApart(session: number, what: ApartRequest): Promise<unknown> {
    switch (what.kind) {
      case 'plan-fork':
        return this.#plan(session, what, what.at);
      case 'plan-seal':
        return this.#plan(session, what, undefined, 0);
      case 'digest':
        this.#showProgress();
        await this.#digests.now(this.#directories.get(session) as string);
        return null;
    }
  }

  #whyClosed(session: number): unknown {
    return this.#failures.get(session) ?? new CtxError('deriver.closed', 'EIO', 'the session is not open', { next: 'see the daemon log' });
  }

  async #perform(id: number, open: OpenSession, what: Exclude<DeriverRequest, ApartRequest>): Promise<unknown> {
    const { deriver } = open;
    switch (what.kind) {
      case 'fetch':
        open.watcher ??= this.#watch(id, open.directory);
        return deriver.fetch(what.name, what.revision);
      case 'list':
        return deriver.list(what.directory, what.revision);
      case 'explain':
        return deriver.explain(what.name, what.revision);
      case 'search':
        return deriver.search(what.query, what.limit, what.revision);
      case 'pack-at':
        return deriver.packAt(what.at, what.revision);
      case 'latest': {
        const text = (await findLatest(open.directory, what.fromBytes, what.endBytes)) ?? what.otherwise;
        return { text, sizeBytes: Buffer.byteLength(text), modifiedMs: what.modifiedMs, digest: digestOf(text) };
      }
      case 'gc':
        return deriver.gc({ dryRun: what.dryRun, nowMs: Date.now() });
      case 'drop':
        deriver.drop(what.name);
        return null;
      case 'close':
        this.#sessions.delete(id);
        // The deriver first: it ends before anybody can open another one on its files.
        await Promise.all([deriver.close(), open.watcher?.close()]);
        return null;
    }
  }

  /** Changes made in the backing directory: pinned, child and control files. Journals are seen by their size. */
  #watch(session: number, directory: string): FSWatcher {
    const names = [...SESSION_CONTROLS, ...CONTEXT_CONTROLS.map((name) => `context/${name}`), 'context/pinned', 'context/child'];
    const watcher = watch(
      names.map((name) => `${directory}/${name}`),
      { ignoreInitial: true, followSymlinks: false, atomic: false },
    );
    const changed = (file: string): void => this.#options.send({ op: 'changed', session, path: path.relative(directory, file) });
    watcher.on('add', changed).on('change', changed).on('unlink', changed).on('unlinkDir', changed);
    watcher.on('error', (error) => this.#options.log(`watching ${directory}: ${String(error)}`));
    return watcher;
  }

  /** What the engine's tokenizer counted may be another pack now: it is looked at again. */
  modelChanged(): void {
    for (const [session, { deriver }] of this.#sessions) {
      if (deriver.countedByEngine) this.#options.send({ op: 'changed', session, path: 'engine' });
    }
  }

  async #plan(
    session: number,
    { revision, parts }: { readonly revision: Revision; readonly parts: readonly ForkPart[] },
    atLine: number | undefined,
    keptOrderBytes?: number,
  ): Promise<ForkPlan> {
    const directory = this.#directories.get(session) as string;
    // An image is of the files as they are now: they are recorded first, whoever looks at this session.
    const log = keptOrderBytes === undefined ? await this.#order(session, directory, revision) : await this.#settled(session, revision);
    const sync = (work: SyncWork): Promise<void> => this.#sync(work);
    const plan = await planFork({ directory, parts, atLine, log, sync, ...(keptOrderBytes === undefined ? {} : { keptOrderBytes }) });
    this.#digests.soon(directory);
    return plan;
  }

  /**
   * The order log of a session, holding everything up to the revision. Of one that nobody reads and whose log does (after a
   * restart, say), only the log is opened, and only to be sealed: its deriver may open meanwhile, and is its only writer then.
   */
  async #order(session: number, directory: string, revision: Revision): Promise<Pick<OrderLog, 'sync' | 'seal'>> {
    if (!this.#sessions.has(session) && orderHolds(directory, revision.messagesBytes, revision.eventsBytes))
      return {
        sync: () => Promise.resolve(),
        seal: (...limits) => {
          if (this.#sessions.has(session)) return;
          const log = openOrderLog(directory);
          log.seal(...limits);
          log.close();
        },
      };
    return this.#settled(session, revision);
  }

  async #settled(session: number, revision: Revision): Promise<Pick<OrderLog, 'sync' | 'seal'>> {
    const open = this.#opened(session);
    if (open === undefined) throw this.#whyClosed(session);
    return open.deriver.settle(revision);
  }

  #sync(work: SyncWork): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#syncs.push({ work, done: (error) => (error === undefined ? resolve() : reject(error as Error)) });
    });
  }

  #showProgress(): void {
    if (this.#progressTimer !== undefined) return;
    this.#progressTimer = setTimeout(() => {
      this.#progressTimer = undefined;
      const lines: string[] = [];
      for (const { directory, deriver } of this.#sessions.values()) {
        const status = deriver.status();
        if (status.building) lines.push(`building=${path.basename(directory)} ${Math.round(status.progress * 100)}% ${status.note}`);
      }
      this.#options.send({ op: 'progress', lines });
      lines.push(...this.#digests.progress());
      if (lines.length > 0) this.#showProgress();
    }, PROGRESS_MS);
  }

  async close(): Promise<void> {
    this.#digests.close();
    clearTimeout(this.#drainTimer);
    this.#collect();
    for (const session of this.#notes.keys()) this.#commit(session);
    clearTimeout(this.#progressTimer);
    for (const open of this.#sessions.values()) {
      await open.watcher?.close();
      await open.deriver.close();
    }
    this.#sessions.clear();
  }
}
