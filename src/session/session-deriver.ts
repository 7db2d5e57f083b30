// One session's deriver: the order log is brought up to what the asker knew, then rules answer from it.
// Everything here is a cache but the order log and the recorded inputs; deleting `context/.cache` changes no byte.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CtxError } from '../abi/errors.ts';
import { parseGcPolicy } from '../context/gc.ts';
import type { Engine } from '../derive/engine.ts';
import type { Content } from '../derive/types.ts';
import type { CommitNote, OrderLog } from '../journal/types.ts';
import { terms } from '../search/terms.ts';
import { planCacheGc, removeCacheFiles } from './cache-gc.ts';
import { CachedParts, isDamage, takesNothing } from './cached-parts.ts';
import { DerivedFiles } from './derived-files.ts';
import { explainedUnbuilt } from './explained-unbuilt.ts';
import { explained } from './explained.ts';
import { IdleWork } from './idle-work.ts';
import { MemoryChooser } from './memory-chooser.ts';
import { findPackPosition } from './pack-at.ts';
import { PackRun } from './pack-run.ts';
import { SaveSchedule } from './save-schedule.ts';
import { SectionFolds } from './section-folds.ts';
import type { DeriverServices } from './services.ts';
import { excerptOf } from './session-history.ts';
import type { ResolvedSource } from './sources.ts';
import { Turns } from './turns.ts';
import type { PackStatus, Revision, SessionDeriver } from './types.ts';

export { defaultServices } from './services.ts';
export type { DeriverServices } from './services.ts';

/** What tests and tools see beside the contract. */
export interface InspectableDeriver extends SessionDeriver {
  readonly engine: Engine;
  /** The bytes that a source names (abi-spec/sources.md), as of the last fetch. */
  resolve(source: string, range?: string): ResolvedSource | undefined;
}

/** The directory must exist; its journals may be written by another thread meanwhile. */
export function openSessionDeriver(directory: string, services: DeriverServices): InspectableDeriver {
  return new Deriver(directory, services);
}

/** All bytes of a content, for small ones. */
export function readContent(content: Content): Buffer {
  return Buffer.concat(
    content.extents.map((extent) => readFileSync(extent.path).subarray(extent.offsetBytes, extent.offsetBytes + extent.sizeBytes)),
  );
}

const CATCH_UP_BYTES = 4 << 20;

class Deriver implements InspectableDeriver {
  readonly #directory: string;
  readonly #services: DeriverServices;
  readonly #memory: MemoryChooser | undefined;
  readonly #cached: CachedParts;
  readonly #turns: Turns;
  readonly #files: DerivedFiles;
  readonly #idle: IdleWork;
  readonly #saving: SaveSchedule;
  #usedMs = 0;
  #closed = false;
  onMemory: () => void = () => {};

  constructor(directory: string, services: DeriverServices) {
    this.#directory = directory;
    this.#services = services;
    this.#memory =
      services.memory === undefined
        ? undefined
        : new MemoryChooser(directory, services.memory, {
            log: services.log,
            waitMs: services.memoryWaitMs,
            restMs: services.memoryRestMs,
            changed: () => this.onMemory(),
          });
    this.#cached = new CachedParts(directory, services);
    const isClosed = (): boolean => this.#closed;
    const isBusy = (): boolean => this.#turns.building !== '';
    const { now, log } = services;
    this.#files = new DerivedFiles(this.#cached, this.#memory, { packAsked: () => this.#idle.warmSoon(), isClosed, now, log });
    this.#idle = new IdleWork(this.#cached, {
      isClosed,
      isBusy,
      advancePack: () => this.#turns.take('pack.json', () => this.#files.advancePack()),
      log,
    });
    this.#saving = new SaveSchedule({ now, isBusy, save: () => this.#trySave() });
    this.#turns = new Turns({
      directory,
      mustBeOpen: () => this.#mustBeOpen(),
      counted: () => this.#cached.now.inputs.update(),
      begin: () => this.#cached.moveBack(),
      failed: (error, work) => this.#fromNothing(error, work),
      done: () => {
        if (!this.#closed) this.#saving.soon();
        this.#idle.afterTurn();
      },
    });
  }

  get engine(): Engine {
    return this.#cached.now.engine;
  }

  committed(notes: readonly CommitNote[]): void {
    if (!this.#closed) this.#cached.now.history.log.commit(notes);
  }

  inputChanged(_path: string): void {
    if (!this.#closed) this.#cached.opened?.inputs.update();
  }

  async settle(revision: Revision): Promise<OrderLog> {
    await this.#record(revision);
    return this.#cached.now.history.log;
  }

  async fetch(name: string, revision: Revision): Promise<Content> {
    return this.#asOf(revision, name, () => this.#files.fetch(name));
  }

  async list(directory: 'swap/chunk' | 'dedup/blob', revision: Revision): Promise<readonly string[]> {
    return this.#asOf(revision, directory, async () => {
      await this.#files.ready();
      if (directory === 'dedup/blob') return this.#cached.now.swap.blobDigests();
      await this.#files.advancePack();
      const { swap } = this.#cached.now;
      return swap.chunkIds(swap.cut);
    });
  }

  async explain(name: string, revision: Revision): Promise<Record<string, unknown>> {
    await this.#catchUp(revision);
    const unbuilt = explainedUnbuilt(name, this.#cached.now.history.log, revision);
    if (unbuilt !== undefined) return unbuilt;
    await this.fetch(name, revision);
    return explained(name, this.#cached.now, this.#memory?.error);
  }

  async search(
    query: string,
    limit: number,
    revision: Revision,
  ): Promise<readonly { line: number; score: number; role: string; excerpt: string }[]> {
    return this.#asOf(revision, 'search', async () => {
      await this.#files.ready();
      const { history } = this.#cached.now;
      const { lines } = history.messages;
      const words = [...new Set(terms(query))].map((term) => ({ term, weight: 16 }));
      return history
        .indexThrough(lines)
        .rank(words, limit, { throughLine: lines })
        .map((hit) => {
          const message = history.lines.at(hit.line);
          return { line: hit.line, score: hit.score, role: message.view.role, excerpt: excerptOf(message) };
        });
    });
  }

  async packAt(at: string, revision: Revision): Promise<Record<string, unknown>> {
    return this.#asOf(revision, `pack at ${at}`, async () => {
      await this.#files.ready();
      const { identity, cache, now } = this.#cached;
      const found = findPackPosition(now.history, at);
      const folds = new SectionFolds(now.history, undefined);
      const run = new PackRun(now.history, folds, this.#services, identity, join(cache, 'at'), now.blobs);
      try {
        await run.advance(found.order, true, found.line);
        return JSON.parse(readContent(run.content('pack.json')).toString('utf8')) as Record<string, unknown>;
      } finally {
        run.close();
      }
    });
  }

  async gc(options: { dryRun: boolean; nowMs: number }): Promise<readonly { path: string; bytes: number; reason: string }[]> {
    return this.#turns.take('gc', async () => {
      const { history } = this.#cached.now;
      const digest = history.log.inputsAsOf().get('context/gc.policy');
      const policy = parseGcPolicy(digest === undefined ? '' : (history.input('context/gc.policy', digest)?.toString('utf8') ?? ''));
      // What is listed in dedup/ occurs twice at least: smaller bounds need no look at history.
      if (policy.dedupMinRefs > 2) await this.#files.ready();
      const blobs = policy.dedupMinRefs > 2 ? this.#cached.now.swap.blobReferences() : new Map<string, number>();
      const plan = planCacheGc(this.#directory, policy, options.nowMs, this.#usedMs, blobs);
      if (!options.dryRun && plan.length > 0) {
        this.#cached.save();
        this.#cached.close();
        removeCacheFiles(this.#directory, plan);
      }
      return plan;
    });
  }

  resolve(source: string, range?: string): ResolvedSource | undefined {
    return this.#cached.now.sources.resolve(source, range);
  }

  drop(name: string): void {
    this.#cached.now.engine.drop(name);
  }

  get countedByEngine(): boolean {
    return this.#cached.opened?.inputs.countedByEngine ?? false;
  }

  status(): PackStatus {
    const { building } = this.#turns;
    return { building: building !== '', progress: this.#cached.opened?.history.progress ?? 1, note: building };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#memory?.close();
    this.#saving.cancel();
    await this.#turns.over();
    try {
      this.#cached.save();
    } catch (error) {
      // DRV-16: a session can be closed, and so taken away, on a full disk.
      if (!takesNothing(error)) throw error;
    } finally {
      this.#cached.close();
    }
  }

  /** Records for what has none yet. Many bytes (a copied session, an import) are taken in slices. */
  async #record(revision: Revision): Promise<void> {
    this.#mustBeOpen();
    const { messagesBytes, eventsBytes } = revision;
    for (let size = CATCH_UP_BYTES; ;) {
      const { log } = this.#cached.now.history;
      const before = log.last()?.messagesEnd ?? 0;
      if (messagesBytes - before <= size) {
        log.catchUp(messagesBytes, eventsBytes);
        break;
      }
      log.catchUp(before + size, 0);
      // One line longer than the slice.
      if ((log.last()?.messagesEnd ?? 0) === before) size *= 2;
      await nextTurn();
      this.#mustBeOpen();
    }
    this.#usedMs = this.#services.now();
  }

  async #catchUp(revision: Revision): Promise<void> {
    await this.#record(revision);
    this.#cached.now.inputs.update();
  }

  /** In a turn. What begins again may do so with an order log that was opened anew. */
  async #asOf<T>(revision: Revision, what: string, work: () => Promise<T>): Promise<T> {
    await this.#catchUp(revision);
    let begun = false;
    return this.#turns.take(what, async () => {
      if (begun) await this.#catchUp(revision);
      begun = true;
      return work();
    });
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new CtxError('derive.closed', 'ESTALE', 'the session is closed', { where: this.#directory });
  }

  /** DRV-11, DRV-16: once for each who asks. */
  #fromNothing<T>(error: unknown, work: () => Promise<T>): Promise<T> {
    if (takesNothing(error) && !this.#closed && this.#cached.moveAside()) return work();
    if (!isDamage(error) || this.#closed) throw error;
    this.#services.log(`derive.cache: ${(error as Error).message}; everything is built again: ${this.#directory}`);
    this.#cached.startFromNothing();
    return work();
  }

  #trySave(): void {
    try {
      this.#cached.save();
    } catch (error) {
      // A cache that cannot be written costs time later, nothing else.
      this.#services.log(`derive.save: ${String(error)}`);
    }
  }
}
