// The engine beside the derivers: packs that were read are compiled, and the serving thread's questions about compiled state
// are answered. Everything here waits; nothing of it is between a reader and a pack.
import * as fs from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOf } from '../src/abi/digest.ts';
import { CtxError } from '../src/abi/errors.ts';
import type { ForeignState } from '../src/engine/adopt.ts';
import type { CompileRequest } from '../src/engine/compile-loop.ts';
import { EngineTokenizer } from '../src/engine/engine-tokenizer.ts';
import { absent, formatManifest, stale } from '../src/engine/manifest.ts';
import type { Manifest, PackIdentity } from '../src/engine/manifest.ts';
import type { SessionDeriver } from '../src/session/types.ts';
import type { EngineRequest, EngineResults, EngineSession, StateFile } from '../src/tree/engine-client.ts';
import { ChosenEngine } from './chosen-engine.ts';
import { Compactions } from './compactions.ts';
import { knownFailure } from './deriver-messages.ts';
import type { ToEngine } from './deriver-messages.ts';
import { ReadPacks, readPrompt, standingOf } from './read-packs.ts';
import type { Standing } from './read-packs.ts';
import { settle } from './replies.ts';
import type { Replies } from './replies.ts';

export interface EngineHostOptions extends Replies {
  readonly store: string;
  readonly mountpoint: string;
  /** The deriver of an announced session. */
  readonly deriver: (session: number) => Promise<SessionDeriver>;
  /** Another model compiles, and counts, from now on. */
  readonly onModel: () => void;
  /** Longest wait of a request: the kernel takes a mount whose requests stand for long as hung. */
  readonly waitMs: number;
  readonly limitBytes: number | undefined;
  readonly log: (line: string) => void;
}

/** What a request that was taken leads to. */
const TAKEN: readonly Manifest['state'][] = ['queued', 'compiling', 'ready'];
/** What a look may take longer for the answer to be exact. */
const LOOK_MS = 2000;
const MOVED = 'history has moved on; the next read of the pack compiles it';

export class EngineHost {
  readonly #options: EngineHostOptions;
  readonly #engine: ChosenEngine;
  readonly #packs: ReadPacks;
  readonly #compactions: Compactions;
  /** What counts where a policy says `tokenizer: engine`. */
  readonly tokens: EngineTokenizer;
  /** Packs to look at, the newest of each session. */
  readonly #read: Map<string, EngineSession> = new Map();
  #looking = false;
  /** Descriptors that the serving thread reads from. */
  readonly #lent: Set<number> = new Set();
  #closed = false;

  constructor(options: EngineHostOptions) {
    this.#options = options;
    this.#compactions = new Compactions({
      store: options.store,
      mountpoint: options.mountpoint,
      busy: () => this.#engine.busy,
      onChange: () => this.#engine.showSoon(),
      log: options.log,
    });
    this.tokens = new EngineTokenizer(
      () => this.#engine.model,
      () => this.#engine.showSoon(),
    );
    this.#engine = new ChosenEngine({
      ...options,
      moreStatus: () => [...this.#compactions.status, ...tokenizerStatus(this.tokens)],
      onBusy: () => this.#compactions.busyChanged(),
    });
    this.#packs = new ReadPacks(options.deriver);
  }

  handle(message: ToEngine): void {
    switch (message.op) {
      case 'pack-read':
        return this.#packRead(message.of);
      case 'let-go':
        if (this.#lent.delete(message.file)) fs.closeSync(message.file);
        return;
      case 'engine':
        void this.#answer(message);
    }
  }

  inputChanged(session: number): void {
    this.#packs.moved(session);
  }

  async #answer({ id, request, ticket }: Extract<ToEngine, { op: 'engine' }>): Promise<void> {
    const controller = new AbortController();
    // A look waits for nothing that takes long.
    const looks = request.kind === 'manifest' || request.kind === 'state-now';
    const timer = looks ? undefined : setTimeout(() => controller.abort(), this.#options.waitMs);
    // A control transaction carries its failure in the reply text; its write has succeeded.
    const refusable = looks || request.kind === 'state';
    try {
      const value = await Promise.race([this.#perform(request, controller.signal), late(controller.signal)]);
      settle(this.#options, id, ticket, undefined, value, refusable);
    } catch (failure) {
      const error = knownFailure(failure);
      if (!(error instanceof CtxError)) this.#options.log((error as Error).stack ?? String(error));
      settle(this.#options, id, ticket, error, undefined, refusable);
    } finally {
      clearTimeout(timer);
    }
  }

  #perform(request: EngineRequest, signal: AbortSignal): Promise<EngineResults[EngineRequest['kind']]> {
    switch (request.kind) {
      case 'manifest':
        return this.#manifest(request.of);
      case 'state-now':
        return this.#stateNow(request.of, request.file);
      case 'state':
        return this.#state(request.of, request.file, request.wait, signal);
      case 'inspect':
        return this.#inspect(request.of);
      case 'evict':
        return this.#evict(request.directory);
      case 'forget':
        return this.#forget(request.directory);
      case 'adopt':
        return this.#adopt(request.directory, request.foreign);
      case 'collect':
        return this.#collect(request.dryRun);
      case 'models':
        return this.#engine.change(request.change);
    }
  }

  // Packs

  /** KVT-5: the reader has its pack already; the newest of each session is looked at, one after another. */
  #packRead(of: EngineSession): void {
    if (this.#engine.lacking !== undefined) return;
    this.#read.set(of.directory, of);
    if (!this.#looking) void this.#lookAtRead();
  }

  /** Never rejects. */
  async #lookAtRead(): Promise<void> {
    this.#looking = true;
    try {
      for (;;) {
        // The reader's own requests come first.
        await sleep(1);
        const next = this.#read.values().next();
        if (next.done === true || this.#closed) return;
        this.#read.delete(next.value.directory);
        try {
          const compiler = await this.#engine.compiler();
          const request = await this.#requestFor(next.value);
          compiler.request(request);
          if (request.active && request.compactAtEpoch) this.#compactions.seen(request.session, request.pack.epoch);
          // Not taken (soon after a failure, too many wait): a read a moment later is told of again.
          if (!TAKEN.includes(compiler.manifest(request.session, request.pack).state)) this.#engine.againSoon();
        } catch (error) {
          // Whoever asks for the state is told; this reader asked for a pack and has it.
          if (!(error instanceof CtxError)) this.#options.log(`engine: ${(error as Error).stack ?? String(error)}`);
        }
      }
    } finally {
      this.#looking = false;
    }
  }

  async #requestFor(of: EngineSession): Promise<CompileRequest & Standing> {
    const pack = await this.#packs.look(of);
    const standing = standingOf(of.directory);
    return { session: this.#key(of.directory), pack: pack.identity, ...standing, read: () => readPrompt(pack, of.directory) };
  }

  #key(directory: string): string {
    return relative(this.#options.store, directory);
  }

  // Files of context/kv

  async #manifest(of: EngineSession): Promise<EngineResults['manifest']> {
    const manifest = await this.#manifestOf(of);
    const text = formatManifest(manifest);
    return { text, sizeBytes: Buffer.byteLength(text), modifiedMs: timeOf(manifest), digest: digestOf(text) };
  }

  /** Builds no pack, but after a restart the one that was compiled: memos make that cheap. */
  async #manifestOf(of: EngineSession): Promise<Manifest> {
    const { lacking } = this.#engine;
    if (lacking !== undefined) return absent(lacking);
    const compiler = await this.#engine.compiler();
    const session = this.#key(of.directory);
    const uncounted = await this.#uncounted(of);
    if (uncounted !== undefined) {
      const last = compiler.manifest(session);
      return last.state === 'ready' ? stale(last, uncounted, last.compatibility) : absent(uncounted);
    }
    let pack: PackIdentity | 'moved' | undefined = this.#packs.known(of);
    if (pack === undefined && compiler.manifest(session).state === 'ready')
      pack = await Promise.race([this.#identityOf(of), sleep(LOOK_MS, undefined, { ref: false })]);
    if (pack !== 'moved') return compiler.manifest(session, pack);
    const manifest = compiler.manifest(session);
    return manifest.state === 'ready' ? stale(manifest, MOVED, manifest.compatibility) : manifest;
  }

  /** TOK-7: why this session has no pack: what counts for it does not. */
  async #uncounted(of: EngineSession): Promise<string | undefined> {
    const fault = this.tokens.faultFor(standingOf(of.directory).remoteAllowed);
    if (fault === undefined) return undefined;
    const deriver = await this.#options.deriver(of.session);
    return deriver.countedByEngine ? `the pack cannot be counted: ${fault}` : undefined;
  }

  async #identityOf(of: EngineSession): Promise<PackIdentity | undefined> {
    try {
      return (await this.#packs.look(of)).identity;
    } catch {
      // Whoever reads the pack meets the same and is told.
      return undefined;
    }
  }

  async #stateNow(of: EngineSession, file: StateFile): Promise<EngineResults['state-now']> {
    const manifest = await this.#manifestOf(of);
    const { state, key, bytes, tokens } = manifest;
    if (state !== 'ready' || key === null) return { sizeBytes: 0, modifiedMs: timeOf(manifest), digest: '' };
    return { sizeBytes: (file === 'state.bin' ? bytes : (tokens ?? 0) * 4) ?? 0, modifiedMs: timeOf(manifest), digest: key };
  }

  /** KVT-2, KVT-4 */
  async #state(of: EngineSession, file: StateFile, wait: boolean, signal: AbortSignal): Promise<EngineResults['state']> {
    const { lacking } = this.#engine;
    if (lacking !== undefined) throw noEngine(lacking);
    const compiler = await this.#engine.compiler();
    if (!wait && typeof this.#packs.known(of) !== 'object') {
      this.#packRead(of);
      throw notYet();
    }
    const request = await this.#requestFor(of);
    if (!wait) {
      compiler.request(request);
      if (['queued', 'compiling'].includes(compiler.manifest(request.session, request.pack).state)) throw notYet();
    }
    const { artifact, manifest, release } = await compiler.waitReady(request, signal);
    try {
      const path = file === 'state.bin' ? artifact.file.path : artifact.file.path.replace(/kv$/, 'tok');
      const descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
      this.#lent.add(descriptor);
      const sizeBytes = fs.fstatSync(descriptor).size;
      if (signal.aborted) this.handle({ op: 'let-go', file: descriptor });
      return { file: descriptor, sizeBytes, modifiedMs: timeOf(manifest), digest: artifact.meta.key };
    } finally {
      release();
    }
  }

  // Requests of people

  async #inspect(of: EngineSession): Promise<Readonly<Record<string, unknown>>> {
    const manifest = await this.#manifestOf(of);
    if (this.#engine.lacking !== undefined || manifest.fingerprint === null) return { ...manifest };
    const compiler = await this.#engine.compiler();
    // The engine answers one after another: while it compiles, what it said last stands.
    if (compiler.status().compiling !== null) return { ...manifest };
    const known = this.#packs.known(of);
    const judged = await compiler.inspect(this.#key(of.directory), typeof known === 'object' ? known : undefined);
    return { ...manifest, compatibility: judged.compatibility };
  }

  async #evict(directory: string): Promise<EngineResults['evict']> {
    const eviction = await (await this.#engine.compiler()).evict(this.#key(directory));
    this.#engine.again();
    // Whose sessions they are is not everybody's business.
    return { removed: eviction.removed, kept: eviction.kept.map(({ key, sessions }) => ({ key, sessions: sessions.length })) };
  }

  async #forget(directory: string): Promise<null> {
    const key = this.#key(directory);
    this.#read.delete(directory);
    this.#compactions.forget(key);
    if (!this.#engine.used) return null;
    const compiler = await this.#engine.compiler();
    await compiler.evict(key);
    await compiler.forget(key);
    return null;
  }

  async #adopt(directory: string, foreign: ForeignState): Promise<EngineResults['adopt']> {
    const { lacking } = this.#engine;
    if (lacking !== undefined) throw noEngine(lacking);
    return (await this.#engine.compiler()).adopt(this.#key(directory), foreign);
  }

  async #collect(dryRun: boolean): Promise<EngineResults['collect']> {
    if (!this.#engine.used) return [];
    const { store } = await this.#engine.compiler();
    return store.gc((session) => fs.existsSync(join(this.#options.store, session, 'messages.jsonl')), dryRun);
  }

  /** What compiles is given up, and compiled again after the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#compactions.close();
    await this.#engine.close();
    for (const file of this.#lent) fs.closeSync(file);
    this.#lent.clear();
  }
}

function tokenizerStatus({ fault }: EngineTokenizer): readonly string[] {
  return fault === undefined ? [] : [`engine_tokenizer_error=${fault.replaceAll('\n', ' ')}`];
}

function timeOf({ finished_at: finished, started_at: started, queued_at: queued }: Manifest): number {
  const at = finished ?? started ?? queued;
  return at === null ? 0 : Date.parse(at);
}

function noEngine(what: string): CtxError {
  return new CtxError('engine.no_state', 'ENODATA', what, { next: 'see context/kv/manifest.json' });
}

function notYet(): CtxError {
  return new CtxError('engine.not_ready', 'EAGAIN', 'the state is not compiled yet', {
    next: 'open it without O_NONBLOCK to wait; context/kv/manifest.json shows the progress',
  });
}

function late(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () =>
      reject(
        new CtxError('engine.timeout', 'ETIMEDOUT', 'the engine goes on', {
          next: 'see context/kv/manifest.json for its progress, then try again',
        }),
      ),
    );
  });
}
