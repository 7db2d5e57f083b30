// Which session uses which artifacts: one small file a session in `refs/<2 hex>/`. A lost one costs a later `ctx gc` a rebuild,
// never a wrong state.
import { hash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDigest, readOrMiss, replaceWhole } from './artifact-files.ts';
import { ShardedFiles, shardOf } from './sharded-files.ts';

export interface ArtifactRef {
  readonly model: string;
  readonly key: string;
}

export interface SessionRefs {
  readonly session: string;
  /** Newest first. */
  readonly artifacts: readonly ArtifactRef[];
}

/** An epoch leaves one behind; older ones are for the LRU to find. */
const KEPT_REFS = 32;
const REF_NAME = /^[0-9a-f]{32}\.json$/;

export class RefFiles {
  readonly #directory: string;
  readonly #owner: string;
  readonly #files: ShardedFiles;
  /** By path, as last read. */
  readonly #known = new Map<string, SessionRefs>();
  readonly #damaged = new Set<string>();
  readonly #unread = new Set<string>();
  /** One look after the other: each ends with everything read. */
  #turn: Promise<void> = Promise.resolve();
  /** Paths of those that refer to a key. */
  readonly #users = new Map<string, Set<string>>();

  /** `owner`: whose session keys these are, where several stores share one cache. */
  constructor(directory: string, owner: string) {
    this.#directory = directory;
    this.#owner = owner;
    this.#files = new ShardedFiles(directory, REF_NAME);
  }

  async of(session: string): Promise<readonly ArtifactRef[]> {
    return (await this.#read(this.#path(session)))?.artifacts ?? [];
  }

  /** Puts an artifact first; it stands there once. */
  async add(session: string, ref: ArtifactRef): Promise<void> {
    const before = await this.of(session);
    if (before[0]?.key === ref.key && before[0].model === ref.model) return;
    const artifacts = [ref, ...before.filter(({ key }) => key !== ref.key)].slice(0, KEPT_REFS);
    await this.#write(session, artifacts);
  }

  async remove(session: string, keys: ReadonlySet<string>): Promise<void> {
    const before = await this.of(session);
    const after = before.filter(({ key }) => !keys.has(key));
    if (after.length === before.length) return;
    if (after.length === 0) await this.forget(session);
    else await this.#write(session, after);
  }

  async forget(session: string): Promise<void> {
    await fs.rm(this.#path(session), { force: true });
  }

  /** Every session's, with the names of files that are none. Other owners' count as much as ours. */
  async all(): Promise<{
    readonly refs: readonly (SessionRefs & { readonly path: string; readonly ours: boolean })[];
    readonly damaged: readonly string[];
  }> {
    await this.#look();
    const refs = [...this.#known].map(([path, found]) => ({ ...found, path, ours: this.#path(found.session) === path }));
    return { refs, damaged: [...this.#damaged] };
  }

  /** Sessions other than this one, by the key they refer to. */
  async others(session: string): Promise<(key: string) => readonly string[]> {
    await this.#look();
    const own = this.#path(session);
    return (key) => [...(this.#users.get(key) ?? [])].flatMap((path) => (path === own ? [] : (this.#known.get(path)?.session ?? [])));
  }

  /** Reads the files that came since the last look. */
  #look(): Promise<void> {
    const turn = this.#turn.then(() => this.#lookNow());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #lookNow(): Promise<void> {
    const { added, removed } = this.#files.refresh();
    for (const file of removed) this.#forget(join(file.directory, file.name));
    for (const file of added) this.#unread.add(join(file.directory, file.name));
    for (const path of this.#unread) {
      const found = await this.#read(path);
      this.#unread.delete(path);
      this.#forget(path);
      if (found !== undefined) this.#learn(path, found);
      else if (existsSync(path)) this.#damaged.add(path);
    }
  }

  #learn(path: string, refs: SessionRefs): void {
    this.#known.set(path, refs);
    for (const { key } of refs.artifacts) {
      const users = this.#users.get(key);
      if (users === undefined) this.#users.set(key, new Set([path]));
      else users.add(path);
    }
  }

  #forget(path: string): void {
    this.#unread.delete(path);
    this.#damaged.delete(path);
    for (const { key } of this.#known.get(path)?.artifacts ?? []) {
      const users = this.#users.get(key);
      users?.delete(path);
      if (users?.size === 0) this.#users.delete(key);
    }
    this.#known.delete(path);
  }

  async #write(session: string, artifacts: readonly ArtifactRef[]): Promise<void> {
    const temporary = join(this.#directory, `.tmp-${process.pid}-${randomUUID()}`);
    const path = this.#path(session);
    await fs.mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await replaceWhole(path, temporary, `${JSON.stringify({ session, artifacts })}\n`);
  }

  async #read(path: string): Promise<SessionRefs | undefined> {
    const bytes = await readOrMiss(path);
    if (bytes === undefined) return undefined;
    try {
      const value = JSON.parse(bytes.toString('utf8')) as Partial<SessionRefs> | null;
      if (typeof value?.session !== 'string' || !Array.isArray(value.artifacts)) return undefined;
      const artifacts = (value.artifacts as readonly Partial<ArtifactRef>[]).filter(
        (ref): ref is ArtifactRef => isDigest(ref?.model) && typeof ref.key === 'string' && /^[0-9a-f]{64}$/.test(ref.key),
      );
      return { session: value.session, artifacts };
    } catch {
      return undefined;
    }
  }

  #path(session: string): string {
    const name = refName(this.#owner, session);
    return join(shardOf(this.#directory, name), name);
  }
}

/** A session's path has slashes and no bound: its files are named by its digest. */
export function sessionFileName(owner: string, session: string): string {
  return hash('sha256', `${owner}\n${session}`, 'hex').slice(0, 32);
}

function refName(owner: string, session: string): string {
  return `${sessionFileName(owner, session)}.json`;
}
