// Which session uses which artifacts: one small file a session in `refs/`. A lost one costs a later `ctx gc` a rebuild,
// never a wrong state.
import { hash, randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { isDigest, listNames, readOrMiss, replaceWhole } from './artifact-files.ts';

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

  /** `owner`: whose session keys these are, where several stores share one cache. */
  constructor(directory: string, owner: string) {
    this.#directory = directory;
    this.#owner = owner;
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
    readonly refs: readonly (SessionRefs & { readonly name: string; readonly ours: boolean })[];
    readonly damaged: readonly string[];
  }> {
    const refs: (SessionRefs & { name: string; ours: boolean })[] = [];
    const damaged: string[] = [];
    for (const name of await listNames(this.#directory)) {
      if (!REF_NAME.test(name)) continue;
      const found = await this.#read(join(this.#directory, name));
      if (found === undefined) damaged.push(name);
      else refs.push({ ...found, name, ours: refName(this.#owner, found.session) === name });
    }
    return { refs, damaged };
  }

  /** Sessions other than this one, by the key they refer to. */
  async others(session: string): Promise<ReadonlyMap<string, readonly string[]>> {
    const byKey = new Map<string, string[]>();
    const own = refName(this.#owner, session);
    for (const { name, session: other, artifacts } of (await this.all()).refs) {
      if (name === own) continue;
      for (const { key } of artifacts) byKey.set(key, [...(byKey.get(key) ?? []), other]);
    }
    return byKey;
  }

  async #write(session: string, artifacts: readonly ArtifactRef[]): Promise<void> {
    const temporary = join(this.#directory, `.tmp-${process.pid}-${randomUUID()}`);
    await replaceWhole(this.#path(session), temporary, `${JSON.stringify({ session, artifacts })}\n`);
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
    return join(this.#directory, refName(this.#owner, session));
  }
}

/** A session's path has slashes and no bound: its files are named by its digest. */
export function sessionFileName(owner: string, session: string): string {
  return hash('sha256', `${owner}\n${session}`, 'hex').slice(0, 32);
}

function refName(owner: string, session: string): string {
  return `${sessionFileName(owner, session)}.json`;
}
