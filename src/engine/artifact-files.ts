// One artifact on disk, in kv/<model>/<first two digits of the key>/: `<key>.kv` (state), `<key>.tok` (its token ids), `<key>.json` (what it is; written last).
// Nothing here is synced: what a power cut leaves is a miss, because the key covers model and tokens, the meta covers the
// state, and after another start of the machine its digest is taken first.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { parsedObject } from './json-fields.ts';
import { prefixChain, TOKEN_BYTES, tokenBytes, tokensOf } from './prefix.ts';
import type { PrefixLink } from './prefix.ts';
import { shardOf } from './sharded-files.ts';
import type { ArtifactFile, Fingerprint, SavedFile } from './types.ts';

export const META_VERSION = 1;
const MAX_META_BYTES = 4 << 20;

export interface ArtifactMeta {
  readonly version: typeof META_VERSION;
  readonly key: string;
  /** Binary digest of the model that made it. */
  readonly model: string;
  readonly fingerprint: Fingerprint;
  readonly tokens: number;
  readonly bytes: number;
  /** Of the state file. */
  readonly digest: string;
  readonly chain: readonly PrefixLink[];
  readonly created_at: string;
  /** Of the state file as it lies here; absent: its digest is taken before it is loaded. */
  readonly look?: string;
}

/** ENG-5: what an artifact is called: the model and the tokens, nothing else. */
export function artifactKey(model: string, tokens: Uint32Array): string {
  return createHash('sha256').update(model).update('\n').update(tokenBytes(tokens)).digest('hex');
}

/** Directory of everything that one model may load. */
export function modelDirectory(model: string): string {
  return model.slice('sha256-'.length, 'sha256-'.length + 16);
}

export const ARTIFACT_NAME: RegExp = /^([0-9a-f]{64})\.(kv|tok|json)$/;
export const TEMPORARY_NAME: RegExp = /^\.tmp-([0-9]+)-/;

export function makeMeta(
  model: string,
  fingerprint: Fingerprint,
  tokens: Uint32Array,
  file: SavedFile,
  look: string | undefined,
): ArtifactMeta {
  return {
    version: META_VERSION,
    key: artifactKey(model, tokens),
    model,
    fingerprint,
    tokens: tokens.length,
    bytes: file.bytes,
    digest: file.digest,
    chain: prefixChain(tokens),
    created_at: new Date().toISOString(),
    ...(look === undefined ? {} : { look }),
  };
}

/** Undefined when the bytes are not the meta of the artifact with this key in this model's directory. */
export function parseMeta(text: string, key: string, directory: string): ArtifactMeta | undefined {
  if (text.length > MAX_META_BYTES) return undefined;
  const meta: Partial<Record<keyof ArtifactMeta, unknown>> | undefined = parsedObject(text);
  if (meta === undefined) return undefined;
  const sound =
    meta.version === META_VERSION &&
    meta.key === key &&
    isDigest(meta.model) &&
    modelDirectory(meta.model) === directory &&
    isFingerprint(meta.fingerprint) &&
    isCount(meta.tokens, 1) &&
    isCount(meta.bytes, 1) &&
    isDigest(meta.digest) &&
    isChain(meta.chain, meta.tokens) &&
    (meta.look === undefined || typeof meta.look === 'string') &&
    typeof meta.created_at === 'string';
  return sound ? (meta as ArtifactMeta) : undefined;
}

/** What a driver is offered. */
export function fileOf({ bytes, digest, look }: ArtifactMeta, path: string, tokens: Uint32Array): ArtifactFile {
  return { path, bytes, digest, tokens, ...(look === undefined ? {} : { look }) };
}

export function isDigest(value: unknown): value is string {
  return typeof value === 'string' && /^sha256-[0-9a-f]{64}$/.test(value);
}

function isCount(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least;
}

function isFingerprint(value: unknown): value is Fingerprint {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry) => entry === null || ['string', 'number', 'boolean'].includes(typeof entry));
}

function isChain(value: unknown, tokens: number): value is readonly PrefixLink[] {
  if (!Array.isArray(value)) return false;
  const links = value as readonly Partial<PrefixLink>[];
  return links.every((link) => isCount(link?.tokens, 1) && isDigest(link.digest)) && links.at(-1)?.tokens === tokens;
}

/** Ids `from` to `to` of a `.tok` file; undefined when they are not there. */
export async function readTokenRange(path: string, from: number, to: number): Promise<Uint32Array | undefined> {
  const handle = await missing(fs.open(path, 'r'));
  if (handle === undefined) return undefined;
  try {
    const bytes = Buffer.allocUnsafe((to - from) * TOKEN_BYTES);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, from * TOKEN_BYTES);
    return bytesRead === bytes.length ? tokensOf(bytes) : undefined;
  } finally {
    await handle.close();
  }
}

/** The whole `.tok` file; undefined unless it is what the key says: model and every token. */
export async function readTokens(path: string, meta: ArtifactMeta): Promise<Uint32Array | undefined> {
  const bytes = await readOrMiss(path);
  const tokens = bytes?.length === meta.tokens * TOKEN_BYTES ? tokensOf(bytes) : undefined;
  return tokens !== undefined && artifactKey(meta.model, tokens) === meta.key ? tokens : undefined;
}

export function readOrMiss(path: string): Promise<Buffer | undefined> {
  return missing(fs.readFile(path));
}

/** Undefined instead of ENOENT: somebody else may remove any file of the cache at any time. */
export async function missing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all, under its own temporary name. */
export async function replaceWhole(path: string, temporary: string, content: string | Uint8Array): Promise<void> {
  try {
    await fs.writeFile(temporary, content, { mode: 0o600, flag: 'wx' });
    await fs.rename(temporary, path);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
}

export async function listNames(directory: string): Promise<readonly string[]> {
  try {
    return (await fs.readdir(directory)).sort();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

/** Where the files of an artifact lie, below the directory of its model. */
export function artifactDirectory(modelRoot: string, key: string): string {
  return shardOf(modelRoot, key);
}

export function artifactPath(directory: string, key: string, kind: 'kv' | 'tok' | 'json'): string {
  return join(directory, `${key}.${kind}`);
}
