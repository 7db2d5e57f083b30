// ENG-5: one directory of compiled state, `kv/<model, 16 hex>/<key>.{kv,tok,json}`: finding, checking, putting, removing.
// No locks: files appear by rename, meta last, and one that vanishes is a miss.
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import {
  ARTIFACT_NAME,
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
import { bestBase, prefixChain, sharedLinks, tokenBytes } from './prefix.ts';
import type { PrefixLink } from './prefix.ts';
import { digestFile } from './state-file.ts';
import { holdsSeal, sealIdentity, sealWritten } from './state-seal.ts';
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

export class ArtifactShelf {
  readonly root: string;
  /** Chains by path of the meta: a key never names other tokens. */
  readonly #chains = new Map<string, readonly PrefixLink[]>();
  /** State files whose digest was checked, by path and identity on disk. */
  readonly #checked = new Map<string, string>();
  /** What was found damaged since the last {@link takeDamage}: one sentence each. */
  #damage: string[] = [];

  constructor(root: string) {
    this.root = root;
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
    return artifactPath(join(this.root, modelDirectory(model)), key, 'kv');
  }

  /** The artifact of exactly these tokens. */
  find(model: string, tokens: Uint32Array): Promise<Artifact | undefined> {
    return this.load(model, artifactKey(model, tokens));
  }

  /** A damaged one is removed and a miss. Its state is not read: {@link verify}. */
  async load(model: string, key: string): Promise<Artifact | undefined> {
    const directory = join(this.root, modelDirectory(model));
    const text = await readOrMiss(artifactPath(directory, key, 'json'));
    if (text === undefined) return undefined;
    const meta = parseMeta(text.toString('utf8'), key, basename(directory));
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

  /** ENG-6: whether the state file still has its digest; read once for each file and process. One that has not is removed. */
  async verify(artifact: Artifact, signal?: AbortSignal): Promise<boolean> {
    const { path, digest, seal } = artifact.file;
    const file = await missing(fs.open(path, 'r'));
    if (file === undefined) return false;
    try {
      const stats = await file.stat({ bigint: true });
      // A change in the tick of the check could go unseen: only files older than that are remembered.
      const settled = Date.now() - Number(stats.ctimeMs) > SETTLED_MS;
      const identity = `${digest} ${sealIdentity(stats)}`;
      if (this.#checked.get(path) === identity) return true;
      if ((await holdsSeal(file, stats, seal, signal)) || (await digestFile(file, signal)) === digest) {
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
    const directory = join(this.root, modelDirectory(model));
    const candidates = (await this.#listChains(directory)).map(({ key, chain }) => ({
      value: key,
      tokens: chain.at(-1)?.tokens ?? 0,
      chain,
    }));
    const best = await bestBase(tokens, candidates, (key, from, to) => readTokenRange(artifactPath(directory, key, 'tok'), from, to));
    if (best === undefined) return undefined;
    const artifact = await this.load(model, best.value);
    // Gone or damaged since: the next best, which takes its place in a listing without it.
    return artifact === undefined ? this.bestBase(model, tokens) : { artifact, shared: best.shared };
  }

  /** Takes over what the driver wrote: renamed, never copied. On failure nothing of it is left. */
  async put(model: string, fingerprint: Fingerprint, tokens: Uint32Array, saved: SavedFile & { readonly path: string }): Promise<Artifact> {
    const key = artifactKey(model, tokens);
    const directory = join(this.root, modelDirectory(model));
    const path = artifactPath(directory, key, 'kv');
    // Meta goes first and comes last: a crash in between leaves files without meaning, never a meta of another state.
    await fs.rm(artifactPath(directory, key, 'json'), { force: true });
    let meta: ArtifactMeta;
    try {
      await fs.rename(saved.path, path);
      // The rename was the last to move the ctime.
      meta = makeMeta(model, fingerprint, tokens, saved, sealWritten(saved.written, await fs.stat(path, { bigint: true })));
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
    const chains = await this.#listChains(join(this.root, modelDirectory(meta.model)));
    return chains.filter(({ key, chain }) => key !== meta.key && isPrefix(chain, meta, file.tokens)).map(({ key }) => key);
  }

  remove(model: string, key: string, reason: string): Promise<readonly Removed[]> {
    return this.removeFrom(join(this.root, modelDirectory(model)), key, reason);
  }

  /** Meta first: from then on it is a miss. */
  async removeFrom(directory: string, key: string, reason: string): Promise<readonly Removed[]> {
    const removed: Removed[] = [];
    this.#chains.delete(artifactPath(directory, key, 'json'));
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

  async #listChains(directory: string): Promise<readonly { readonly key: string; readonly chain: readonly PrefixLink[] }[]> {
    const found: { key: string; chain: readonly PrefixLink[] }[] = [];
    for (const name of await listNames(directory)) {
      const [, key, kind] = ARTIFACT_NAME.exec(name) ?? [];
      if (key === undefined || kind !== 'json') continue;
      const path = join(directory, name);
      let chain = this.#chains.get(path);
      if (chain === undefined) {
        const text = await readOrMiss(path);
        // Evicted since the listing, or being put again.
        if (text === undefined) continue;
        chain = parseMeta(text.toString('utf8'), key, basename(directory))?.chain;
        if (chain === undefined) {
          await this.#dropDamaged(directory, key, 'its description is damaged');
          continue;
        }
        this.#chains.set(path, chain);
      }
      found.push({ key, chain });
    }
    const present = new Set(found.map(({ key }) => artifactPath(directory, key, 'json')));
    for (const path of this.#chains.keys()) if (path.startsWith(`${directory}/`) && !present.has(path)) this.#chains.delete(path);
    return found;
  }
}

function fileOf({ bytes, digest, seal }: ArtifactMeta, path: string, tokens: Uint32Array): ArtifactFile {
  return { path, bytes, digest, tokens, ...(seal === undefined ? {} : { seal }) };
}

function isPrefix(chain: readonly PrefixLink[], of: ArtifactMeta, tokens: Uint32Array): boolean {
  const last = chain.at(-1);
  if (last === undefined || last.tokens >= of.tokens) return false;
  if (sharedLinks(chain.slice(0, -1), of.chain) !== (chain.at(-2)?.tokens ?? 0)) return false;
  return prefixChain(tokens.subarray(0, last.tokens)).at(-1)?.digest === last.digest;
}
