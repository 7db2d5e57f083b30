// What a session's compiled state is and how to get at it: the room's face to the mount. A read of a pack asks and goes on;
// no failure leaves here but as a manifest, or as the error of who waits for state.bin.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { adoptState, type ForeignState } from './adopt.ts';
import type { Artifact } from './artifact-shelf.ts';
import type { ArtifactStore, Eviction } from './artifact-store.ts';
import { Entries } from './compile-entries.ts';
import type { Entry, Outcome } from './compile-entries.ts';
import { CompileLoop, NO_ENGINE } from './compile-loop.ts';
import type { CompileRequest } from './compile-loop.ts';
import { binaryDigest } from './fingerprint.ts';
import { absent, stale } from './manifest.ts';
import type { Manifest, PackIdentity } from './manifest.ts';
import { ManifestFiles } from './manifest-files.ts';
import type { EngineDriver } from './types.ts';

export interface Ready {
  readonly manifest: Manifest;
  /** Kept from eviction for space until `release`. */
  readonly artifact: Artifact;
  readonly release: () => void;
}

export interface CompilerOptions {
  /** Called with every manifest that a session gets, in order. */
  readonly onChange?: (session: string, manifest: Manifest) => void;
  /** Sessions that wait at once: a recursive reader fills no more than this. */
  readonly maxQueued?: number;
  readonly backoffMs?: { readonly first: number; readonly most: number };
  readonly keepMs?: number;
}

export interface CompilerStatus {
  readonly model: string | null;
  /** The session that compiles. */
  readonly compiling: string | null;
  readonly queued: number;
  readonly lastFailure: string | null;
}

const EVICTED = 'the compiled state was evicted; the next read of the pack builds it again';

export class Compiler {
  readonly store: ArtifactStore;
  readonly #files: ManifestFiles;
  readonly #entries: Entries;
  readonly #loop: CompileLoop;
  readonly #onChange: CompilerOptions['onChange'];

  /** The store must be open. */
  constructor(store: ArtifactStore, options: CompilerOptions = {}) {
    this.store = store;
    this.#onChange = options.onChange;
    this.#files = new ManifestFiles(join(store.directory, 'manifests'));
    this.#entries = new Entries(this.#files);
    this.#loop = new CompileLoop(store, this.#entries, {
      maxQueued: options.maxQueued ?? 64,
      backoffMs: options.backoffMs ?? { first: 1000, most: 60_000 },
      keepMs: options.keepMs ?? 2000,
      publish: (entry, manifest, lasting) => this.#publish(entry, manifest, lasting),
      kept: ({ session }) => this.#files.read(session),
      hasState: (manifest) => this.#hasState(manifest),
    });
  }

  /** `model`: `provider/name`; undefined: none. Who opened the driver closes it. What waits is compiled with the new engine. */
  setEngine(engine: { readonly driver: EngineDriver; readonly model: string } | undefined): void {
    this.#loop.setEngine(engine);
  }

  /** ENG-11: a pack was read. Returns at once, without reading anything; never throws. */
  request(request: CompileRequest): void {
    this.#loop.ask(request, false);
  }

  /** As it is now; `pack`: what the session's pack is, where the caller knows. */
  manifest(session: string, pack?: PackIdentity): Manifest {
    const { engine } = this.#loop;
    if (engine === undefined) return absent(NO_ENGINE);
    const { manifest } = this.#entries.of(session);
    if (manifest.state !== 'ready') return manifest;
    const judged = this.#loop.judge(manifest, pack);
    if (manifest.model !== engine.name.model)
      return stale(manifest, `it was compiled for ${manifest.model}; the engine is ${engine.name.model} now`, judged);
    if (!this.#hasState(manifest)) return absent(EVICTED);
    const moved = pack !== undefined && pack.digest !== manifest.pack?.digest;
    return moved ? stale(manifest, 'the pack has moved on; its next read compiles it', judged) : manifest;
  }

  /** The same, judged by what the engine says of itself now: `ctx inspect`. Fails as the engine does. */
  async inspect(session: string, pack?: PackIdentity): Promise<Manifest> {
    await this.#loop.describe();
    const manifest = this.manifest(session, pack);
    return manifest.fingerprint === null ? manifest : { ...manifest, compatibility: this.#loop.judge(manifest, pack) };
  }

  /**
   * ENG-13: the verified state of this pack or a newer one, once it is there. Rejects with the reason when none will come:
   * ENODATA (no engine, session not active, state in a server), EINTR (the signal), or what the compile failed with.
   */
  async waitReady(request: CompileRequest, signal: AbortSignal): Promise<Ready> {
    const entry = this.#entries.of(request.session);
    for (let attempt = 0; ; attempt += 1) {
      const need = this.#loop.ask(request, true);
      const { manifest, artifact } = need === undefined ? await this.#settled(entry, request) : await entry.wait(need, signal);
      if (artifact === undefined) throw noState(request.session, 'the state stays in the server: there is no file of it');
      const release = this.store.pin(artifact);
      if (await this.#verified(artifact, signal, release)) return { manifest, artifact, release };
      release();
      // Evicted or damaged since: once more, from the start.
      entry.generation = -1;
      if (attempt > 0) throw noState(request.session, 'the compiled state was removed while it was read');
    }
  }

  /** ENG-8 */
  async evict(session: string): Promise<Eviction> {
    const eviction = await this.store.evictSession(session);
    const entry = this.#entries.of(session);
    if (['ready', 'stale', 'failed'].includes(entry.manifest.state)) this.#publish(entry, absent(EVICTED), true);
    return eviction;
  }

  /** State of an image becomes an artifact that this session uses; a compile of the same tokens then has nothing to evaluate. */
  adopt(session: string, foreign: ForeignState): Promise<{ readonly key: string; readonly tokens: number }> {
    return adoptState(this.store, session, foreign);
  }

  /** The session was removed. */
  async forget(session: string): Promise<void> {
    await this.#loop.cancel(session);
    this.#entries.of(session).settle(Infinity, noState(session, 'the session was removed'));
    this.#entries.delete(session);
    this.#files.forget(session);
    await this.store.refs.forget(session);
  }

  status(): CompilerStatus {
    const { engine, compiling, queued, lastFailure } = this.#loop;
    return { model: engine?.name.model ?? null, compiling, queued, lastFailure };
  }

  /** Nothing runs or waits afterwards. The driver stays open. */
  async close(): Promise<void> {
    await this.#loop.close();
    for (const entry of this.#entries.all()) entry.settle(Infinity, new CtxError('engine.closed', 'EINTR', 'the engine was closed'));
  }

  #publish(entry: Entry, manifest: Manifest, lasting: boolean): void {
    entry.manifest = manifest;
    if (lasting) this.#files.write(entry.session, manifest);
    this.#onChange?.(entry.session, manifest);
  }

  /** What is there already, though nothing was asked of the engine; else why nothing will be. */
  async #settled({ failure }: Entry, request: CompileRequest): Promise<Outcome> {
    const manifest = this.manifest(request.session, request.pack);
    const { state, fingerprint, key, reason } = manifest;
    if (state === 'ready' && fingerprint !== null) {
      const artifact = key === null ? undefined : await this.store.shelf.load(binaryDigest(fingerprint), key);
      if (key === null || artifact !== undefined) return { manifest, artifact };
    }
    if (failure !== undefined && state === 'failed') throw failure;
    throw noState(request.session, this.#loop.refusal(request) ?? reason ?? 'the compiled state was removed while it was read');
  }

  async #verified(artifact: Artifact, signal: AbortSignal, release: () => void): Promise<boolean> {
    try {
      if (!(await this.store.shelf.verify(artifact, signal))) return false;
      await this.store.touch(artifact);
      return true;
    } catch (error) {
      release();
      throw signal.aborted ? new CtxError('engine.interrupted', 'EINTR', 'the reader stopped waiting') : error;
    }
  }

  #hasState({ key, fingerprint }: Manifest): boolean {
    return key === null || fingerprint === null || existsSync(this.store.shelf.statePath(binaryDigest(fingerprint), key));
  }
}

function noState(session: string, what: string): CtxError {
  return new CtxError('engine.no_state', 'ENODATA', what, { where: session, next: 'context/kv/manifest.json says more' });
}
