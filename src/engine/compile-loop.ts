// The one place where compiles start and end: at most one waits for each session and one runs, the newest pack wins.
import { setImmediate } from 'node:timers/promises';
import { CtxError } from '../abi/errors.ts';
import type { ArtifactStore } from './artifact-store.ts';
import type { Entries, Entry } from './compile-entries.ts';
import { CompileQueue } from './compile-queue.ts';
import type { Job } from './compile-queue.ts';
import { compilePrompt } from './compile-run.ts';
import type { RunResult } from './compile-run.ts';
import { orAborted, Running } from './compile-running.ts';
import { readyManifest } from './compile-result.ts';
import { compare, fingerprintHere } from './fingerprint.ts';
import { absent, compiling, failed, progressed, queued, stale } from './manifest.ts';
import type { EngineName, Manifest, PackIdentity } from './manifest.ts';
import type { EngineDriver, Fingerprint, Prompt } from './types.ts';

/** What somebody who reads a pack knows. Nothing is read before the compile starts. */
export interface CompileRequest {
  /** Where the session lies, below the store. */
  readonly session: string;
  readonly pack: PackIdentity;
  /** ENG-11: only sessions whose state is `active` are compiled. */
  readonly active: boolean;
  /** policy.yaml: remote.allow. */
  readonly remoteAllowed: boolean;
  /** context/budget, where there is one. */
  readonly budgetTokens?: number;
  /** The prompt as it is when the compile starts, and the pack it is of. */
  readonly read: (signal: AbortSignal) => Promise<{ readonly prompt: Prompt; readonly pack: PackIdentity }>;
}

export interface LoopOptions {
  readonly maxQueued: number;
  readonly backoffMs: { readonly first: number; readonly most: number };
  /** How long the end waits for what was evaluated to be saved. */
  readonly keepMs: number;
  /** `lasting`: worth keeping for the next run of the program. */
  readonly publish: (entry: Entry, manifest: Manifest, lasting: boolean) => void;
  /** The last manifest that lasted. */
  readonly kept: (entry: Entry) => Manifest | undefined;
  /** Whether the state that a ready manifest names is still on disk. */
  readonly hasState: (manifest: Manifest) => boolean;
}

export interface Engine {
  readonly driver: EngineDriver;
  readonly name: EngineName;
  readonly generation: number;
}

export const NO_ENGINE = 'no engine is configured; ctx model add names a model';

export class CompileLoop {
  readonly #store: ArtifactStore;
  readonly #entries: Entries;
  readonly #options: LoopOptions;
  readonly #queue: CompileQueue<CompileRequest>;
  #engine: Engine | undefined;
  #fingerprint: Fingerprint | undefined;
  #generation = 0;
  #running: Running | undefined;
  #ended: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #lastFailure: string | null = null;
  #closed = false;

  constructor(store: ArtifactStore, entries: Entries, options: LoopOptions) {
    this.#store = store;
    this.#entries = entries;
    this.#options = options;
    this.#queue = new CompileQueue(options.maxQueued);
  }

  get engine(): Engine | undefined {
    return this.#engine;
  }

  get compiling(): string | null {
    return this.#running?.job.session ?? null;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get lastFailure(): string | null {
    return this.#lastFailure;
  }

  /** What waits is compiled with the new engine; what runs begins again. */
  setEngine(engine: { readonly driver: EngineDriver; readonly model: string } | undefined): void {
    this.#generation += 1;
    this.#engine =
      engine === undefined
        ? undefined
        : { driver: engine.driver, name: { model: engine.model, driver: engine.driver.kind }, generation: this.#generation };
    this.#fingerprint = undefined;
    this.#lastFailure = null;
    for (const entry of this.#entries.all()) entry.forgetFailures();
    this.#running?.controller.abort();
    if (engine === undefined) for (const { session } of this.#queue.clear()) this.#giveUp(this.#entries.of(session), NO_ENGINE);
    this.#pump();
  }

  async describe(): Promise<void> {
    if (this.#engine !== undefined) this.#fingerprint = (await this.#engine.driver.describe()).fingerprint;
  }

  /** The sequence to wait for; undefined when nothing is asked of the engine: the state is there, or will not be. */
  ask(request: CompileRequest, awaited: boolean): number | undefined {
    const { session, pack } = request;
    const entry = this.#entries.of(session);
    const refusal = this.refusal(request);
    const engine = this.#engine;
    if (refusal !== undefined || engine === undefined) {
      this.#queue.drop(session);
      this.#giveUp(entry, refusal ?? NO_ENGINE, pack);
      return undefined;
    }
    const running = this.#running?.job.session === session && !this.#running.controller.signal.aborted ? this.#running : undefined;
    if (running?.pack.digest === pack.digest) {
      this.#queue.drop(session);
      return running.job.sequence;
    }
    if (running === undefined && this.#holds(entry, pack, engine)) return undefined;
    if (!this.#mayTry(entry, pack)) return undefined;
    const { job, dropped } = this.#queue.put(session, request, awaited, entry.notBeforeMs);
    if (dropped !== undefined)
      this.#giveUp(this.#entries.of(dropped.session), 'too many sessions wait for the engine; read the pack again', dropped.request.pack);
    if (dropped === job) return undefined;
    if (running === undefined) this.#announce(entry, job, engine);
    else this.#giveWay(running, entry, pack);
    this.#pump();
    return job.sequence;
  }

  /** Why a request is not for the engine. */
  refusal({ active, remoteAllowed }: CompileRequest): string | undefined {
    if (this.#closed) return 'the engine was closed';
    if (this.#engine === undefined) return NO_ENGINE;
    if (!active) return 'the session is not active: reading its pack compiles nothing';
    if (this.#engine.driver.kind === 'llama' || remoteAllowed) return undefined;
    return 'the engine is a server, and policy.yaml of this session does not allow one (remote.allow)';
  }

  /** Afterwards nothing of the session runs or waits. */
  async cancel(session: string): Promise<void> {
    this.#queue.drop(session);
    if (this.compiling === session) {
      this.#running?.controller.abort();
      await this.#ended;
      this.#queue.drop(session);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const running = this.#running;
    if (running === undefined) return this.#ended;
    // ENG-19: for so long and no longer; whoever closes the driver afterwards ends what goes on.
    const late = new AbortController();
    running.keep = late.signal;
    const { keepMs } = this.#options;
    if (keepMs === 0) late.abort();
    const timer = setTimeout(() => late.abort(), keepMs);
    running.controller.abort();
    await orAborted(this.#ended, late.signal).catch(() => undefined);
    clearTimeout(timer);
  }

  #holds(entry: Entry, pack: PackIdentity, engine: Engine): boolean {
    const { manifest, generation } = entry;
    const same = manifest.state === 'ready' && manifest.pack?.digest === pack.digest && generation === engine.generation;
    return same && this.#options.hasState(manifest);
  }

  /** ENG-12: right after a failure the same pack is not tried again; another one is, at once where the prompt was at fault. */
  #mayTry(entry: Entry, pack: PackIdentity): boolean {
    const { failure, manifest } = entry;
    if (failure === undefined) return true;
    const same = manifest.state === 'failed' && manifest.pack?.digest === pack.digest;
    if (same) return Date.now() >= entry.notBeforeMs;
    if (failure.errno === 'EMSGSIZE' || failure.code === 'engine.empty') entry.forgetFailures();
    return true;
  }

  #announce(entry: Entry, job: Job<CompileRequest>, engine: Engine): void {
    const { manifest } = entry;
    const { pack } = job.request;
    if (manifest.state === 'queued' && manifest.pack?.digest === pack.digest) return;
    const sinceMs = manifest.state === 'queued' && manifest.queued_at !== null ? Date.parse(manifest.queued_at) : Date.now();
    const later = entry.notBeforeMs > Date.now() && entry.failure !== undefined;
    const reason = later ? `waits until ${new Date(entry.notBeforeMs).toISOString()} after a failure: ${entry.failure?.describe()}` : null;
    this.#options.publish(entry, queued(engine.name, pack, sinceMs, reason), false);
  }

  /** Only once in a row: a session whose pack never rests is compiled too. */
  #giveWay(running: Running, entry: Entry, newer: PackIdentity): void {
    if (entry.gaveWay || !running.losesLittle(newer)) return;
    entry.gaveWay = true;
    running.controller.abort();
  }

  /** Nothing is compiled for this request: what there is stays what it is, of its own pack. */
  #giveUp(entry: Entry, reason: string, pack?: PackIdentity): void {
    if (this.compiling === entry.session) return;
    const last = entry.manifest.state === 'queued' ? (this.#options.kept(entry) ?? absent(reason)) : entry.manifest;
    const same = pack === undefined || last.pack?.digest === pack.digest;
    const next =
      last.state === 'absent' ? absent(reason) : same || last.state !== 'ready' ? last : stale(last, reason, this.judge(last, pack));
    if (next !== entry.manifest) this.#options.publish(entry, next, false);
    entry.settle(Infinity, new CtxError('engine.no_state', 'ENODATA', reason, { where: entry.session }));
  }

  /** What a manifest says of the model and the pack as they are now. */
  judge({ fingerprint }: Manifest, pack: PackIdentity | undefined): Manifest['compatibility'] {
    if (fingerprint === null) return null;
    return compare(fingerprint, fingerprintHere(fingerprint, { model: this.#fingerprint, packDigest: pack?.digest }));
  }

  #pump(): void {
    const engine = this.#engine;
    if (this.#running !== undefined || engine === undefined || this.#closed) return;
    clearTimeout(this.#timer);
    const next = this.#queue.take(Date.now());
    if (next === undefined) return;
    if ('job' in next) this.#ended = this.#run(next.job, engine);
    else this.#timer = setTimeout(() => this.#pump(), next.waitMs).unref();
  }

  /** Never rejects. */
  async #run(job: Job<CompileRequest>, engine: Engine): Promise<void> {
    const entry = this.#entries.of(job.session);
    const running = new Running(job);
    const { signal } = running.controller;
    this.#running = running;
    try {
      // The request returns first: what `read` does is no part of the read of a pack that asked.
      await setImmediate();
      this.#options.publish(entry, compiling(entry.manifest, Date.now()), false);
      const { prompt, pack } = await orAborted(job.request.read(signal), signal);
      running.pack = pack;
      const onProgress = (done: number, total: number): void => {
        running.progress(done, total);
        this.#options.publish(entry, progressed(entry.manifest, done, total), false);
      };
      const result = await compilePrompt(engine.driver, this.#store, {
        session: job.session,
        prompt,
        packDigest: pack.digest,
        signal,
        onProgress,
        keep: () => running.keep,
      });
      this.#running = undefined;
      this.#succeeded(entry, job, engine, pack, result);
    } catch (error) {
      this.#running = undefined;
      if (signal.aborted) this.#again(entry, job);
      else this.#failed(entry, job, engine, running.pack, error);
    }
    const newer = this.#queue.of(job.session);
    if (newer !== undefined && this.#engine !== undefined) this.#announce(entry, newer, this.#engine);
    this.#pump();
  }

  #succeeded(entry: Entry, job: Job<CompileRequest>, engine: Engine, pack: PackIdentity, result: RunResult): void {
    const { artifact, description } = result;
    if (engine === this.#engine) this.#fingerprint = description.fingerprint;
    const manifest = readyManifest(entry.manifest, engine.name, pack, result, job.request.budgetTokens);
    entry.forgetFailures();
    entry.gaveWay = false;
    entry.generation = engine.generation;
    this.#options.publish(entry, manifest, true);
    entry.settle(job.sequence, { manifest, artifact });
  }

  #failed(entry: Entry, job: Job<CompileRequest>, engine: Engine, pack: PackIdentity, error: unknown): void {
    const failure =
      error instanceof CtxError
        ? error
        : new CtxError('engine.failed', 'EIO', `the compile failed: ${(error as Error).message}`, { where: job.session, cause: error });
    entry.failed(failure, Date.now(), this.#options.backoffMs);
    this.#lastFailure = failure.describe();
    this.#options.publish(entry, failed({ ...entry.manifest, ...engine.name, pack }, failure.describe(), Date.now()), true);
    entry.settle(job.sequence, failure);
    const newer = this.#queue.of(job.session);
    if (newer !== undefined) this.ask(newer.request, newer.awaited);
  }

  /** It was given up for a newer pack, another engine or the end: what was asked still stands. */
  #again(entry: Entry, job: Job<CompileRequest>): void {
    if (this.#closed || this.#engine === undefined) {
      const last = this.#options.kept(entry) ?? absent(NO_ENGINE);
      this.#options.publish(entry, last, false);
      if (!this.#closed) this.#giveUp(entry, NO_ENGINE);
      return;
    }
    if (this.#queue.of(job.session) === undefined) this.#queue.put(job.session, job.request, entry.awaited, 0);
  }
}
