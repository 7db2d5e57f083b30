// ENG-7, ENG-8: which compiled state is kept: pins, uses, sessions' references, the bound and the disk. All of it is a cache.
// Pins hold within this process; other processes that have a state open keep its bytes.
import * as fs from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { ARTIFACT_NAME, artifactKey, artifactPath, missing } from './artifact-files.ts';
import { RefFiles } from './artifact-refs.ts';
import { ArtifactShelf } from './artifact-shelf.ts';
import type { Artifact, Removed } from './artifact-shelf.ts';
import { freeBytes, isAbandoned, leastRecentlyUsed, takeInventory } from './artifact-space.ts';
import type { Inventory, StoredArtifact } from './artifact-space.ts';
import type { Fingerprint, SavedFile } from './types.ts';

export const DEFAULT_LIMIT_BYTES: number = 10 * 1024 ** 3;

export interface ArtifactStoreOptions {
  readonly limitBytes?: number;
  /** What is left free on the disk whatever is compiled: journals come first. Default: 5 % of it, at most 1 GiB. */
  readonly reserveBytes?: number;
  /** Whose sessions these are, where several stores share one cache. */
  readonly owner?: string;
}

export interface Eviction {
  readonly removed: readonly Removed[];
  /** Kept because these sessions use it too. */
  readonly kept: readonly { readonly key: string; readonly sessions: readonly string[] }[];
}

export class ArtifactStore {
  readonly directory: string;
  readonly refs: RefFiles;
  readonly shelf: ArtifactShelf;
  readonly #kv: string;
  readonly #options: ArtifactStoreOptions;
  readonly #pins = new Map<string, number>();

  constructor(directory: string, options: ArtifactStoreOptions = {}) {
    this.directory = directory;
    this.#kv = join(directory, 'kv');
    this.#options = options;
    this.shelf = new ArtifactShelf(this.#kv);
    this.refs = new RefFiles(join(directory, 'refs'), options.owner ?? '');
  }

  get limitBytes(): number {
    return this.#options.limitBytes ?? DEFAULT_LIMIT_BYTES;
  }

  /** Makes the directories and removes what dead writers left. */
  async open(): Promise<void> {
    for (const path of [this.#kv, join(this.directory, 'refs')]) await fs.mkdir(path, { recursive: true, mode: 0o700 });
    await this.sweep();
  }

  async sweep(): Promise<readonly Removed[]> {
    const { temporaries } = this.#inventory();
    const removed: Removed[] = [];
    for (const file of temporaries) {
      if (!isAbandoned(file, Date.now())) continue;
      await fs.rm(file.path, { force: true });
      removed.push({ path: relative(this.directory, file.path), bytes: file.bytes, reason: 'its writer is gone' });
    }
    // Artifacts lay beside what are directories of them now.
    for (const path of this.shelf.indexes().flatMap(({ others }) => others)) {
      if (!ARTIFACT_NAME.test(basename(path))) continue;
      await fs.rm(path, { force: true });
      removed.push({ path: relative(this.directory, path), bytes: 0, reason: 'lies where artifacts lay before' });
    }
    return removed;
  }

  /** Takes over what the driver wrote: renamed, never copied. What holds a prefix of it and nobody else uses goes. */
  async put(
    model: string,
    fingerprint: Fingerprint,
    tokens: Uint32Array,
    saved: SavedFile & { readonly path: string },
    session: string,
  ): Promise<Artifact> {
    const stats = await fs.stat(saved.path);
    if (stats.size !== saved.bytes) {
      throw new CtxError('engine.short_save', 'EIO', `the saved state has ${stats.size} bytes instead of ${saved.bytes}`, {
        where: saved.path,
        next: 'check the disk; the state is compiled again at the next read of the pack',
      });
    }
    const key = artifactKey(model, tokens);
    // The reference comes first: a gc at this moment spares what it names.
    await this.refs.add(session, { model, key });
    const artifact = await this.shelf.put(model, fingerprint, tokens, saved).catch(async (error: unknown) => {
      await this.refs.remove(session, new Set([key]));
      throw error;
    });
    await this.#dropPrefixes(artifact, session);
    await this.makeRoom(0, new Set([key]));
    return artifact;
  }

  /** Marks a use (the LRU's time). */
  async touch(artifact: Artifact): Promise<void> {
    const now = new Date();
    await missing(fs.utimes(artifact.file.path.replace(/kv$/, 'json'), now, now));
  }

  /** ENG-7: not evicted for space until the returned function is called. */
  pin(artifact: Artifact): () => void {
    const { key } = artifact.meta;
    this.#pins.set(key, (this.#pins.get(key) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const left = (this.#pins.get(key) ?? 1) - 1;
      if (left === 0) this.#pins.delete(key);
      else this.#pins.set(key, left);
    };
  }

  /** Evicts until `bytes` more stay within the bound. */
  async makeRoom(bytes: number, spare: ReadonlySet<string> = new Set()): Promise<readonly Removed[]> {
    const { artifacts, bytes: used } = this.#inventory();
    const over = used + bytes - this.limitBytes;
    return over <= 0 ? [] : this.#evict(artifacts, over, spare, `more than ${this.limitBytes} bytes of compiled state`);
  }

  /**
   * Room for a state of about `bytes`, within the bound and on the disk. Throws engine.space (ENOSPC) when even evicting
   * does not make it; nothing is evicted then.
   */
  async reserve(bytes: number, spare: ReadonlySet<string> = new Set()): Promise<readonly Removed[]> {
    if (bytes > this.limitBytes) throw tooLarge(bytes, this.limitBytes);
    const removed = await this.makeRoom(bytes, spare);
    const { free, size } = await freeBytes(this.#kv);
    const reserve = this.#options.reserveBytes ?? Math.min(1024 ** 3, size * 0.05);
    const short = bytes + reserve - free;
    return short <= 0 ? removed : [...removed, ...(await this.free(short, spare))];
  }

  /** Gives back at least `bytes` of disk, the longest unused first; throws when there is not as much to give. */
  async free(bytes: number, spare: ReadonlySet<string> = new Set()): Promise<readonly Removed[]> {
    const { artifacts } = this.#inventory();
    const evictable = artifacts.filter(({ key }) => !this.#spared(key, spare)).reduce((sum, entry) => sum + entry.bytes, 0);
    if (evictable < bytes) throw diskFull(bytes - evictable);
    return this.#evict(artifacts, bytes, spare, 'the disk is full');
  }

  /** ENG-8: what only this session uses goes, whoever reads it now; what others use too stays. */
  async evictSession(session: string): Promise<Eviction> {
    const others = await this.refs.others(session);
    const removed: Removed[] = [];
    const kept: { key: string; sessions: readonly string[] }[] = [];
    for (const { model, key } of await this.refs.of(session)) {
      const sessions = others(key);
      if (sessions.length > 0) kept.push({ key, sessions });
      else removed.push(...(await this.shelf.remove(model, key, 'evicted by request')));
    }
    await this.refs.forget(session);
    return { removed, kept };
  }

  async usage(): Promise<{ readonly artifacts: number; readonly bytes: number }> {
    const { artifacts, bytes } = this.#inventory();
    return { artifacts: artifacts.filter(({ whole }) => whole).length, bytes };
  }

  /** ENG-8: what no living session needs. `exists` says whether a session of this store is still there. */
  async gc(exists: (session: string) => boolean, dryRun = false): Promise<readonly Removed[]> {
    const { refs, damaged } = await this.refs.all();
    const used = new Set<string>();
    const removed: Removed[] = [];
    const drop = async (path: string, bytes: number, reason: string): Promise<void> => {
      if (!dryRun) await fs.rm(join(this.directory, path), { force: true });
      removed.push({ path, bytes, reason });
    };
    for (const { session, path, ours, artifacts } of refs) {
      if (ours && !exists(session)) await drop(relative(this.directory, path), 0, `the session ${session} is gone`);
      else for (const { key } of artifacts) used.add(key);
    }
    for (const path of damaged) await drop(relative(this.directory, path), 0, 'is not a list of artifacts');
    const { artifacts, temporaries } = this.#inventory();
    for (const file of temporaries)
      if (isAbandoned(file, Date.now())) await drop(relative(this.directory, file.path), file.bytes, 'its writer is gone');
    for (const { directory, key, whole, usedMs, bytes } of artifacts) {
      if (whole ? used.has(key) || this.#pins.has(key) : Date.now() - usedMs < SETTLE_MS) continue;
      const reason = whole ? 'no session uses it' : 'has no description';
      if (dryRun) removed.push({ path: relative(this.directory, artifactPath(directory, key, 'kv')), bytes, reason });
      else removed.push(...(await this.shelf.removeFrom(directory, key, reason)));
    }
    return removed;
  }

  async #evict(
    artifacts: readonly StoredArtifact[],
    bytes: number,
    spare: ReadonlySet<string>,
    reason: string,
  ): Promise<readonly Removed[]> {
    const removed: Removed[] = [];
    for (const { directory, key } of leastRecentlyUsed(artifacts, bytes, (entry) => this.#spared(entry.key, spare)))
      removed.push(...(await this.shelf.removeFrom(directory, key, reason)));
    return removed;
  }

  #inventory(): Inventory {
    return takeInventory(this.shelf, join(this.directory, 'refs'));
  }

  #spared(key: string, spare: ReadonlySet<string>): boolean {
    return this.#pins.has(key) || spare.has(key);
  }

  /** ENG-5: a state is cut back to any prefix, so one whose tokens begin another's says nothing more. */
  async #dropPrefixes(artifact: Artifact, session: string): Promise<void> {
    const prefixes = await this.shelf.prefixesOf(artifact);
    if (prefixes.length === 0) return;
    const others = await this.refs.others(session);
    const dropped = prefixes.filter((key) => others(key).length === 0 && !this.#pins.has(key));
    for (const key of dropped) await this.shelf.remove(artifact.meta.model, key, 'begins another');
    await this.refs.remove(session, new Set(dropped));
  }
}

/** Another process may be between its renames. */
const SETTLE_MS = 3_600_000;

function tooLarge(bytes: number, limitBytes: number): CtxError {
  return new CtxError('engine.space', 'ENOSPC', `the state takes about ${bytes} bytes, and compiled state is limited to ${limitBytes}`, {
    next: 'raise the limit, lower context/budget, or choose a smaller K/V type (ctx model add --kv)',
  });
}

function diskFull(missingBytes: number): CtxError {
  return new CtxError('engine.space', 'ENOSPC', `the disk lacks ${missingBytes} bytes for the state`, {
    next: 'free some space, or run ctx gc; the pack files are unaffected',
  });
}
