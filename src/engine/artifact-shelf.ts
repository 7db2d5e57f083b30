// ENG-5: one directory of compiled state, `kv/<model, 16 hex>/<2 hex>/<key>.{kv,tok,json}`: finding, checking, putting, removing.
// No locks: files appear by rename, meta last, and one that vanishes is a miss.
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import {
  artifactDirectory,
  fileOf,
  artifactKey,
  artifactPath,
  listNames,
  makeMeta,
  missing,
  modelDirectory,
  parseMeta,
  readOrMiss,
  readTokenRange,
  readTokens,
  replaceWhole,
} from './artifact-files.ts';
import type { ArtifactMeta } from './artifact-files.ts';
import { ArtifactIndexes } from './artifact-index.ts';
import type { ArtifactIndex } from './artifact-index.ts';
import { bestBase, prefixChain, tokenBytes } from './prefix.ts';
import { listNamesNow } from './sharded-files.ts';
import { digestFile } from './state-file.ts';
import { looksSame, lookOf, lookOfWritten } from './state-seal.ts';
import type { ArtifactFile, Fingerprint, SavedFile } from './types.ts';

export interface Artifact {
  readonly meta: ArtifactMeta;
  readonly file: ArtifactFile;
}

export interface Removed {
  /** Below the engine's directory. */
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

const SETTLED_MS = 2000;
const MODEL_NAME = /^[0-9a-f]{16}$/;
/** Of at most 4 KiB each. */
const MOST_WINDOWS = 4096;

export class ArtifactShelf {
  readonly root: string;
  readonly #indexes: ArtifactIndexes;
  /** State files whose digest was checked, by path and identity on disk. */
  readonly #checked = new Map<string, string>();
  /** Token ids beside which prompts were laid before, by key. */
  readonly #windows = new Map<string, { readonly from: number; readonly to: number; readonly ids: Uint32Array }>();
  /** What was found damaged since the last {@link takeDamage}: one sentence each. */
  #damage: string[] = [];

  constructor(root: string) {
    this.root = root;
    this.#indexes = new ArtifactIndexes({ path: root, models: () => listNamesNow(root).filter((name) => MODEL_NAME.test(name)) });
  }

  /** What lies here now, of every model. Cost: 256 stats a model, and a listing of what changed. */
  indexes(): readonly ArtifactIndex[] {
    return this.#indexes.all();
  }

  /** Why something that was here had to be built again. */
  takeDamage(): readonly string[] {
    const found = this.#damage;
    this.#damage = [];
    return found;
  }

  /** A name for the driver to write to, beside where the state will lie. */
  async temporary(model: string): Promise<string> {
    const directory = join(this.root, modelDirectory(model));
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    // Random: other containers have other processes of the same id.
    return join(directory, `.tmp-${process.pid}-${randomUUID()}`);
  }

  /** Removes what a driver may have left of a save under this name. */
  async discard(temporary: string): Promise<void> {
    const directory = join(temporary, '..');
    for (const name of await listNames(directory))
      if (name.startsWith(basename(temporary))) await fs.rm(join(directory, name), { force: true });
  }

  statePath(model: string, key: string): string {
    return artifactPath(this.#place(model, key), key, 'kv');
  }

  /** The artifact of exactly these tokens. */
  find(model: string, tokens: Uint32Array): Promise<Artifact | undefined> {
    return this.load(model, artifactKey(model, tokens));
  }

  /** A damaged one is removed and a miss. Its state is not read: {@link verify}. */
  async load(model: string, key: string): Promise<Artifact | undefined> {
    const directory = this.#place(model, key);
    const text = await readOrMiss(artifactPath(directory, key, 'json'));
    if (text === undefined) return undefined;
    const meta = parseMeta(text.toString('utf8'), key, modelDirectory(model));
    const tokens = meta === undefined ? undefined : await readTokens(artifactPath(directory, key, 'tok'), meta);
    const path = artifactPath(directory, key, 'kv');
    const stats = await missing(fs.stat(path));
    if (meta === undefined || meta.model !== model || tokens === undefined || stats?.size !== meta.bytes) {
      // A file that somebody evicts at this moment is a miss, not damage.
      const whole = meta?.model === model && tokens !== undefined;
      const size = stats === undefined ? 'is missing' : `has ${stats.size} bytes instead of ${meta?.bytes}`;
      await this.#dropDamaged(directory, key, whole ? `its state ${size}` : 'its description or its tokens are damaged');
      return undefined;
    }
    return { meta, file: fileOf(meta, path, tokens) };
  }

  /** ENG-14: nobody wrote to it since its digest was taken. For who only offers it: an engine that loads it takes the digest. */
  async trust(artifact: Artifact, signal?: AbortSignal): Promise<boolean> {
    const stats = await missing(fs.stat(artifact.file.path, { bigint: true }));
    return stats !== undefined && (looksSame(artifact.file.look, stats) || this.verify(artifact, signal));
  }

  /** ENG-6: whether the state file still has its digest; read once for each file and process. One that has not is removed. */
  async verify(artifact: Artifact, signal?: AbortSignal): Promise<boolean> {
    const { path, digest } = artifact.file;
    const file = await missing(fs.open(path, 'r'));
    if (file === undefined) return false;
    try {
      const stats = await file.stat({ bigint: true });
      // A change in the tick of the check could go unseen: only files older than that are remembered.
      const settled = Date.now() - Number(stats.ctimeMs) > SETTLED_MS;
      const identity = `${digest} ${lookOf(stats)}`;
      if (this.#checked.get(path) === identity) return true;
      if ((await digestFile(file, signal)) === digest) {
        if (settled) this.#checked.set(path, identity);
        return true;
      }
    } finally {
      await file.close();
    }
    await this.#dropDamaged(join(path, '..'), artifact.meta.key, 'its state is not the one that was saved: the digest differs');
    return false;
  }

  /** ENG-4: the artifact that shares the longest token prefix. */
  async bestBase(model: string, tokens: Uint32Array): Promise<{ readonly artifact: Artifact; readonly shared: number } | undefined> {
    const index = await this.#index(model);
    const candidates = index
      .sharing(prefixChain(tokens))
      .map(({ key, chain }) => ({ value: key, tokens: chain.at(-1)?.tokens ?? 0, chain }));
    const best = await bestBase(tokens, candidates, (key, from, to) => this.#tokensOf(model, key, from, to));
    if (best === undefined) return undefined;
    const artifact = await this.load(model, best.value);
    // Gone or damaged since: the next best, which takes its place in a listing without it.
    return artifact === undefined ? this.bestBase(model, tokens) : { artifact, shared: best.shared };
  }

  /** Takes over what the driver wrote: renamed, never copied. On failure nothing of it is left. */
  async put(model: string, fingerprint: Fingerprint, tokens: Uint32Array, saved: SavedFile & { readonly path: string }): Promise<Artifact> {
    const key = artifactKey(model, tokens);
    const directory = this.#place(model, key);
    await fs.mkdir(directory, { recursive: true, mode: 0o700 });
    const path = artifactPath(directory, key, 'kv');
    // Meta goes first and comes last: a crash in between leaves files without meaning, never a meta of another state.
    await fs.rm(artifactPath(directory, key, 'json'), { force: true });
    let meta: ArtifactMeta;
    try {
      await fs.rename(saved.path, path);
      // The rename was the last to move the ctime.
      const stats = await missing(fs.stat(path, { bigint: true }));
      // Another process may have evicted it already: then what follows is swept with it.
      meta = makeMeta(model, fingerprint, tokens, saved, stats === undefined ? undefined : lookOfWritten(saved.written, stats));
      await replaceWhole(artifactPath(directory, key, 'tok'), await this.temporary(model), tokenBytes(tokens));
      await replaceWhole(artifactPath(directory, key, 'json'), await this.temporary(model), `${JSON.stringify(meta)}\n`);
    } catch (error) {
      await this.remove(model, key, '');
      throw error;
    }
    return { meta, file: fileOf(meta, path, tokens) };
  }

  /** Keys of artifacts whose tokens begin those of this one. */
  async prefixesOf({ meta, file }: Artifact): Promise<readonly string[]> {
    return (await this.#index(meta.model)).prefixesOf(file.tokens);
  }

  remove(model: string, key: string, reason: string): Promise<readonly Removed[]> {
    return this.removeFrom(this.#place(model, key), key, reason);
  }

  /** Meta first: from then on it is a miss. */
  async removeFrom(directory: string, key: string, reason: string): Promise<readonly Removed[]> {
    const removed: Removed[] = [];
    this.#windows.delete(key);
    this.#checked.delete(artifactPath(directory, key, 'kv'));
    for (const kind of ['json', 'kv', 'tok'] as const) {
      const path = artifactPath(directory, key, kind);
      const bytes = (await missing(fs.stat(path)))?.size;
      if (bytes === undefined) continue;
      await fs.rm(path, { force: true });
      removed.push({ path: relative(join(this.root, '..'), path), bytes, reason });
    }
    return removed;
  }

  async #dropDamaged(directory: string, key: string, what: string): Promise<void> {
    const removed = await this.removeFrom(directory, key, what);
    if (removed.length > 0) this.#damage.push(`the saved state ${key.slice(0, 12)} was dropped: ${what}`);
  }

  /** With everything in it whose description could be read. */
  async #index(model: string): Promise<ArtifactIndex> {
    const index = this.#indexes.of(modelDirectory(model));
    await index.readChains((directory, key) => this.#dropDamaged(directory, key, 'its description is damaged'));
    return index;
  }

  /** Ids of an artifact that were looked at before are remembered, up to a bound: they never change. */
  async #tokensOf(model: string, key: string, from: number, to: number): Promise<Uint32Array | undefined> {
    const window = this.#windows.get(key);
    if (window?.from === from && window.to === to) return window.ids;
    const ids = await readTokenRange(artifactPath(this.#place(model, key), key, 'tok'), from, to);
    if (ids !== undefined && (window !== undefined || this.#windows.size < MOST_WINDOWS)) this.#windows.set(key, { from, to, ids });
    return ids;
  }

  #place(model: string, key: string): string {
    return artifactDirectory(join(this.root, modelDirectory(model)), key);
  }
}
