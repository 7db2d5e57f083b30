// context/kv/manifest.json (abi-spec/engine.md, schema kv-manifest): what is compiled of a session, or why nothing is.
import type { Compatibility } from './fingerprint.ts';
import { parsedObject } from './json-fields.ts';
import type { PrefixLink } from './prefix.ts';
import type { DriverKind, Fingerprint } from './types.ts';

export const MANIFEST_STATES = ['absent', 'queued', 'compiling', 'ready', 'stale', 'failed'] as const;
export type ManifestState = (typeof MANIFEST_STATES)[number];

/** What a compile is of. The digest covers prompt.json and tools.json. */
export interface PackIdentity {
  readonly digest: string;
  readonly epoch: number;
}

/** Every field is always there; null where there is nothing to say. */
export interface Manifest {
  readonly state: ManifestState;
  /** One sentence: why it is in this state, or what a compile met on its way. */
  readonly reason: string | null;
  readonly model: string | null;
  readonly driver: DriverKind | null;
  readonly progress: { readonly done: number; readonly total: number } | null;
  readonly tokens: number | null;
  readonly reused_tokens: number | null;
  readonly evaluated_tokens: number | null;
  readonly bytes: number | null;
  readonly key: string | null;
  readonly digest: string | null;
  readonly pack: PackIdentity | null;
  readonly prefix_chain: readonly PrefixLink[];
  readonly fingerprint: Fingerprint | null;
  readonly compatibility: Compatibility | null;
  readonly queued_at: string | null;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly elapsed_ms: number | null;
}

const NOTHING: Manifest = {
  state: 'absent',
  reason: null,
  model: null,
  driver: null,
  progress: null,
  tokens: null,
  reused_tokens: null,
  evaluated_tokens: null,
  bytes: null,
  key: null,
  digest: null,
  pack: null,
  prefix_chain: [],
  fingerprint: null,
  compatibility: null,
  queued_at: null,
  started_at: null,
  finished_at: null,
  elapsed_ms: null,
};

export function absent(reason: string): Manifest {
  return { ...NOTHING, reason };
}

export function queued(engine: EngineName, pack: PackIdentity, atMs: number, reason: string | null): Manifest {
  return { ...NOTHING, ...engine, state: 'queued', reason, pack, queued_at: time(atMs) };
}

export function compiling(from: Manifest, atMs: number): Manifest {
  return { ...from, state: 'compiling', reason: null, progress: null, started_at: time(atMs) };
}

export function progressed(from: Manifest, done: number, total: number): Manifest {
  return { ...from, progress: { done, total }, tokens: total };
}

export function failed(from: Manifest, reason: string, atMs: number): Manifest {
  return { ...from, state: 'failed', reason, finished_at: time(atMs), elapsed_ms: elapsed(from, atMs) };
}

/** What is there is of another pack or for another engine: it still serves as a base. */
export function stale(from: Manifest, reason: string, compatibility: Compatibility | null): Manifest {
  return { ...from, state: 'stale', reason, compatibility };
}

export type ReadyFields = Pick<
  Manifest,
  | 'reason'
  | 'tokens'
  | 'reused_tokens'
  | 'evaluated_tokens'
  | 'bytes'
  | 'key'
  | 'digest'
  | 'pack'
  | 'prefix_chain'
  | 'fingerprint'
  | 'compatibility'
>;

export function ready(from: Manifest, fields: ReadyFields, atMs: number): Manifest {
  return { ...from, ...fields, state: 'ready', progress: null, finished_at: time(atMs), elapsed_ms: elapsed(from, atMs) };
}

export interface EngineName {
  readonly model: string;
  readonly driver: DriverKind;
}

export function formatManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** Undefined unless it has the fields of a manifest: what is kept between runs is a cache. */
export function parseManifest(text: string): Manifest | undefined {
  const found = parsedObject(text);
  if (found === undefined) return undefined;
  const whole = Object.entries(NOTHING).every(
    ([name, nothing]) => Object.hasOwn(found, name) && Array.isArray(found[name]) === Array.isArray(nothing),
  );
  return whole && MANIFEST_STATES.includes(found['state'] as ManifestState) ? (found as unknown as Manifest) : undefined;
}

function time(atMs: number): string {
  return new Date(atMs).toISOString();
}

function elapsed({ started_at: startedAt }: Manifest, atMs: number): number | null {
  return startedAt === null ? null : Math.max(0, atMs - Date.parse(startedAt));
}
