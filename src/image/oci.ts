// OCI image-spec 1.1: descriptors, manifests and the index, parsed from bytes that nobody vouches for (IMG-2).
import { createHash } from 'node:crypto';
import { CtxError } from '../abi/errors.ts';

export const MEDIA = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  empty: 'application/vnd.oci.empty.v1+json',
  /** artifactType of a context image. */
  image: 'application/vnd.ctxfs.image.v1',
  config: 'application/vnd.ctxfs.image.config.v1+json',
  files: 'application/vnd.ctxfs.layer.files.v1.tar',
  messages: 'application/vnd.ctxfs.layer.messages.v1+jsonl',
  events: 'application/vnd.ctxfs.layer.events.v1+jsonl',
  order: 'application/vnd.ctxfs.layer.order.v1',
  inputs: 'application/vnd.ctxfs.layer.inputs.v1+jsonl',
  /** Bytes of one recorded input, named by their digest as in a session. */
  input: 'application/vnd.ctxfs.input.v1',
  /** artifactType of compiled state; its subject is the image. */
  compiled: 'application/vnd.ctxfs.compiled.v1',
  compiledConfig: 'application/vnd.ctxfs.compiled.config.v1+json',
  kvState: 'application/vnd.ctxfs.kv-state.v1',
  kvTokens: 'application/vnd.ctxfs.kv-tokens.v1',
  /** artifactTypes of what is said about an image; its layer is a DSSE envelope (or, for provenance, a bare statement). */
  signature: 'application/vnd.ctxfs.signature.v1',
  provenance: 'application/vnd.ctxfs.provenance.v1',
  redaction: 'application/vnd.ctxfs.redaction.v1',
  envelope: 'application/vnd.dsse.envelope.v1+json',
  statement: 'application/vnd.in-toto+json',
  redactionReport: 'application/vnd.ctxfs.redaction.report.v1+json',
} as const;

/** `sha256:` and 64 lower-case hex characters: the only algorithm that is written or read. */
export type OciDigest = `sha256:${string}`;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: OciDigest;
  /** Bytes. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType: typeof MEDIA.manifest;
  readonly artifactType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** What a referrer is about. */
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface OciIndex {
  readonly schemaVersion: 2;
  readonly mediaType: typeof MEDIA.index;
  readonly manifests: readonly Descriptor[];
}

/** What registries agree on for a manifest. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;
export const MAX_CONFIG_BYTES: number = 64 * 1024 * 1024;
const MAX_DEPTH = 64;
const MAX_LAYERS = 10_000;

export function isOciDigest(text: unknown): text is OciDigest {
  return typeof text === 'string' && /^sha256:[0-9a-f]{64}$/.test(text);
}

export function hexOfDigest(digest: OciDigest): string {
  return digest.slice('sha256:'.length);
}

export function ociDigest(bytes: Uint8Array | string): OciDigest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** JSON with sorted keys and no white space: equal values are equal bytes on every machine. */
export function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(canonical(value));
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((entry) => canonical(entry ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value as Readonly<Record<string, unknown>>)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonical(entry)}`).join(',')}}`;
}

/** JSON.parse with bounds on size and depth; `where` names the culprit. */
export function parseBounded(bytes: Uint8Array, where: string, maxBytes: number = MAX_MANIFEST_BYTES): unknown {
  if (bytes.length > maxBytes) throw invalid(where, `is ${bytes.length} bytes of JSON; at most ${maxBytes} are read`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw invalid(where, 'is not UTF-8', cause);
  }
  if (depthOf(text) > MAX_DEPTH) throw invalid(where, `is nested deeper than ${MAX_DEPTH}`);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw invalid(where, 'is not JSON', cause);
  }
}

function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (inString) {
      if (code === 0x5c) at++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) most = Math.max(most, ++depth);
    else if (code === 0x7d || code === 0x5d) depth--;
  }
  return most;
}

export function checkDescriptor(value: unknown, where: string): Descriptor {
  const { mediaType, digest, size, artifactType, annotations } = record(value, where);
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(where, 'has no mediaType');
  if (!isOciDigest(digest)) throw invalid(where, `has the digest ${JSON.stringify(digest)}; only sha256 is read`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(where, 'has no size');
  return {
    mediaType,
    digest,
    size,
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    ...(annotations === undefined ? {} : { annotations: checkAnnotations(annotations, where) }),
  };
}

export function parseManifest(bytes: Uint8Array, where: string): Manifest {
  const value = record(parseBounded(bytes, where), where);
  if (value['schemaVersion'] !== 2) throw invalid(where, 'is not an OCI manifest (schemaVersion 2)');
  if (value['mediaType'] !== MEDIA.manifest) throw invalid(where, `is a ${JSON.stringify(value['mediaType'])}, not ${MEDIA.manifest}`);
  const { artifactType, layers, subject, annotations } = value;
  const config = checkDescriptor(value['config'], `${where} config`);
  if (!Array.isArray(layers) || layers.length > MAX_LAYERS) throw invalid(where, `has no list of at most ${MAX_LAYERS} layers`);
  return {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: typeof artifactType === 'string' ? artifactType : config.mediaType,
    config,
    layers: layers.map((layer, at) => checkDescriptor(layer, `${where} layer ${at}`)),
    ...(subject === undefined ? {} : { subject: checkDescriptor(subject, `${where} subject`) }),
    ...(annotations === undefined ? {} : { annotations: checkAnnotations(annotations, where) }),
  };
}

export function parseIndex(bytes: Uint8Array, where: string, maxBytes: number = MAX_CONFIG_BYTES): OciIndex {
  const value = record(parseBounded(bytes, where, maxBytes), where);
  const { manifests } = value;
  if (value['schemaVersion'] !== 2 || !Array.isArray(manifests)) throw invalid(where, 'is not an OCI index');
  return {
    schemaVersion: 2,
    mediaType: MEDIA.index,
    manifests: manifests.map((entry, at) => checkDescriptor(entry, `${where} entry ${at}`)),
  };
}

function checkAnnotations(value: unknown, where: string): Readonly<Record<string, string>> {
  const entries = Object.entries(record(value, `${where} annotations`));
  if (entries.some(([, text]) => typeof text !== 'string')) throw invalid(where, 'has annotations that are not text');
  return Object.fromEntries(entries) as Readonly<Record<string, string>>;
}

export function record(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(where, 'is not an object');
  return value as Readonly<Record<string, unknown>>;
}

export function invalid(where: string, what: string, cause?: unknown): CtxError {
  return new CtxError('image.invalid', 'EINVAL', what, { where, next: 'get the image again from where it was built', cause });
}
