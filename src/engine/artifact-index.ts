// Which artifacts of one model lie in the cache, by key and by the links of their prefixes. In memory only: the directories
// are the truth, and are looked at before every answer.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ARTIFACT_NAME, artifactPath, parseMeta, readOrMiss } from './artifact-files.ts';
import type { StoredArtifact } from './artifact-space.ts';
import { LINK_TOKENS, linkDigest, prefixChain } from './prefix.ts';
import type { PrefixLink } from './prefix.ts';
import { ShardedFiles } from './sharded-files.ts';
import type { ShardFile } from './sharded-files.ts';

export interface Chained {
  readonly key: string;
  readonly chain: readonly PrefixLink[];
}

/** What begins with nothing that is known. */
const NO_LINK = '';

export class ArtifactIndex {
  readonly #model: string;
  readonly #files: ShardedFiles;
  readonly #parts = new Map<string, Map<string, ShardFile>>();
  readonly #stored = new Map<string, StoredArtifact>();
  readonly #chains = new Map<string, readonly PrefixLink[]>();
  /** Artifacts that have a whole link, by its digest. */
  readonly #byLink = new Map<string, Set<string>>();
  /** Artifacts by their last whole link: what is left of them is shorter than a link. */
  readonly #byEnd = new Map<string, Set<string>>();
  /** Their descriptions were not read yet. */
  readonly #unread = new Set<string>();
  #bytes = 0;

  /** `directory`: kv/<16 hex of the model>. */
  constructor(directory: string, model: string) {
    this.#model = model;
    this.#files = new ShardedFiles(directory, ARTIFACT_NAME);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Beside the shards: temporary files. */
  get others(): readonly string[] {
    return this.#files.others.map((name) => join(this.#files.root, name));
  }

  artifacts(): Iterable<StoredArtifact> {
    return this.#stored.values();
  }

  refresh(): void {
    const { added, removed } = this.#files.refresh();
    const touched = new Set<string>();
    for (const file of removed) this.#drop(file, touched);
    for (const file of added) this.#take(file, touched);
    for (const key of touched) this.#settle(key);
  }

  /** Of artifacts that came since; `damaged` is called for those whose description is none. */
  async readChains(damaged: (directory: string, key: string) => Promise<void>): Promise<void> {
    this.refresh();
    for (const key of this.#unread) {
      const directory = this.#stored.get(key)?.directory;
      if (directory === undefined) continue;
      const text = await readOrMiss(artifactPath(directory, key, 'json'));
      // Evicted since the look, or being put again.
      if (text === undefined) continue;
      const chain = parseMeta(text.toString('utf8'), key, this.#model)?.chain;
      if (chain === undefined) await damaged(directory, key);
      else if (this.#unread.has(key)) this.#link(key, chain);
      this.#unread.delete(key);
    }
  }

  /** ENG-4: those that share the most whole links: one that shares fewer shares fewer tokens too. */
  sharing(chain: readonly PrefixLink[]): readonly Chained[] {
    for (const { digest } of [...chain].reverse()) {
      const keys = this.#byLink.get(digest);
      if (keys !== undefined) return this.#chained(keys);
    }
    return this.#chained(this.#chains.keys());
  }

  /** Keys of artifacts whose tokens begin these and are fewer. Cost: one hash of less than a link for each length there is. */
  prefixesOf(tokens: Uint32Array): readonly string[] {
    const found: string[] = [];
    const whole = prefixChain(tokens).filter((link) => link.tokens % LINK_TOKENS === 0);
    for (const before of [{ tokens: 0, digest: NO_LINK }, ...whole]) {
      const digests = new Map<number, string>();
      for (const { key, chain } of this.#chained(this.#byEnd.get(before.digest) ?? [])) {
        const last = chain.at(-1);
        if (last === undefined || last.tokens >= tokens.length) continue;
        let digest = digests.get(last.tokens);
        if (digest === undefined)
          digests.set(last.tokens, (digest = linkDigest(before.digest, tokens.subarray(before.tokens, last.tokens))));
        // One that ends with a whole link is there under it.
        if (last.digest === (last.tokens === before.tokens ? before.digest : digest)) found.push(key);
      }
    }
    return found;
  }

  #chained(keys: Iterable<string>): readonly Chained[] {
    const all: Chained[] = [];
    for (const key of keys) {
      const chain = this.#chains.get(key);
      if (chain !== undefined) all.push({ key, chain });
    }
    return all;
  }

  #take(file: ShardFile, touched: Set<string>): void {
    const [key, kind] = named(file);
    const parts = this.#parts.get(key) ?? new Map<string, ShardFile>();
    this.#parts.set(key, parts.set(kind, file));
    this.#bytes += file.bytes;
    touched.add(key);
  }

  #drop(file: ShardFile, touched: Set<string>): void {
    const [key, kind] = named(file);
    this.#bytes -= file.bytes;
    this.#parts.get(key)?.delete(kind);
    touched.add(key);
  }

  #settle(key: string): void {
    const parts = this.#parts.get(key);
    const first = parts?.values().next().value;
    if (parts === undefined || first === undefined) {
      this.#parts.delete(key);
      this.#stored.delete(key);
      this.#unlink(key);
      return;
    }
    const meta = parts.get('json');
    const bytes = [...parts.values()].reduce((sum, part) => sum + part.bytes, 0);
    this.#stored.set(key, { directory: first.directory, key, bytes, usedMs: (meta ?? first).modifiedMs, whole: meta !== undefined });
    if (meta === undefined) this.#unlink(key);
    // A key names its tokens for good: what was read of it once stays true.
    else if (!this.#chains.has(key)) this.#unread.add(key);
  }

  #link(key: string, chain: readonly PrefixLink[]): void {
    this.#chains.set(key, chain);
    for (const { digest } of chain) put(this.#byLink, digest, key);
    put(this.#byEnd, endOf(chain), key);
  }

  #unlink(key: string): void {
    this.#unread.delete(key);
    const chain = this.#chains.get(key);
    if (chain === undefined) return;
    this.#chains.delete(key);
    for (const { digest } of chain) take(this.#byLink, digest, key);
    take(this.#byEnd, endOf(chain), key);
  }
}

/** One index for each model that has a directory. */
export class ArtifactIndexes {
  readonly #root: ShardedRoot;
  readonly #indexes = new Map<string, ArtifactIndex>();

  constructor(root: ShardedRoot) {
    this.#root = root;
  }

  of(model: string): ArtifactIndex {
    let index = this.#indexes.get(model);
    if (index === undefined) this.#indexes.set(model, (index = new ArtifactIndex(join(this.#root.path, model), model)));
    return index;
  }

  /** All of them, as they are now. */
  all(): readonly ArtifactIndex[] {
    for (const model of this.#indexes.keys()) if (!existsSync(join(this.#root.path, model))) this.#indexes.delete(model);
    const all = this.#root.models().map((model) => this.of(model));
    for (const index of all) index.refresh();
    return all;
  }
}

export interface ShardedRoot {
  readonly path: string;
  readonly models: () => readonly string[];
}

/** Digest of the last whole link. */
function endOf(chain: readonly PrefixLink[]): string {
  return chain.findLast(({ tokens }) => tokens % LINK_TOKENS === 0)?.digest ?? NO_LINK;
}

function named({ name }: ShardFile): readonly [key: string, kind: string] {
  const dot = name.indexOf('.');
  return [name.slice(0, dot), name.slice(dot + 1)];
}

function put(sets: Map<string, Set<string>>, at: string, key: string): void {
  const set = sets.get(at);
  if (set === undefined) sets.set(at, new Set([key]));
  else set.add(key);
}

function take(sets: Map<string, Set<string>>, at: string, key: string): void {
  const set = sets.get(at);
  set?.delete(key);
  if (set?.size === 0) sets.delete(at);
}
