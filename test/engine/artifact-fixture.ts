// A cache directory of its own, and states that are bytes like any others: the cache never looks into them.
import { hash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArtifactStore } from '../../src/engine/artifact-store.ts';
import type { ArtifactStoreOptions } from '../../src/engine/artifact-store.ts';
import type { Artifact } from '../../src/engine/artifact-shelf.ts';
import { binaryDigest } from '../../src/engine/fingerprint.ts';
import { writtenInode } from '../../src/engine/state-seal.ts';
import type { Fingerprint } from '../../src/engine/types.ts';

export const fingerprint: Fingerprint = { driver: 'llama', weights_digest: 'sha256-one', tokens: 1 };
export const model: string = binaryDigest(fingerprint);

export function ids(length: number, seed = 1): Uint32Array {
  return Uint32Array.from({ length }, (_, index) => (index * 31 * seed + seed) % 1000);
}

export function makeDirectory(): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'ctx-artifacts-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export async function openStore(directory: string, options: ArtifactStoreOptions = {}): Promise<ArtifactStore> {
  const store = new ArtifactStore(join(directory, '.engine'), { reserveBytes: 0, ...options });
  await store.open();
  return store;
}

/** Puts a state of `bytes` bytes for these tokens, as a driver would leave it. */
export async function put(store: ArtifactStore, tokens: Uint32Array, session: string, bytes = 1000): Promise<Artifact> {
  const content = Buffer.alloc(bytes, `${tokens.length} ${tokens.at(-1)} `);
  const path = await store.shelf.temporary(model);
  writeFileSync(path, content);
  const digest = `sha256-${hash('sha256', content, 'hex')}`;
  const written = writtenInode(statSync(path, { bigint: true }));
  return store.put(model, fingerprint, tokens, { path, bytes, digest, written }, session);
}

/** Makes it look unused for so long. */
export function age(artifact: Artifact, seconds: number): void {
  const at = Date.now() / 1000 - seconds;
  utimesSync(artifact.file.path.replace(/kv$/, 'json'), at, at);
}

/** Names of all files below a directory, sorted. */
export function filesBelow(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(directory, name)).isFile())
    .sort();
}
