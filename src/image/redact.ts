// IMG-85: an image without what its policy keeps back. A new image: what is taken out is in no blob of it, nor in its config.
import { createHmac, randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import type { RE2JS } from 're2js';
import { CtxError } from '../abi/errors.ts';
import {
  checkConfig,
  sourceHash,
  type ContextLayer,
  type ImageConfig,
  type ImagePolicy,
  type LayerFile,
  type LayerPart,
} from './config.ts';
import { LAYER_LIMITS, readFilesLayer, writeFilesLayer, type LayerFile as TarFile } from './files-layer.ts';
import { writeImage, type Image } from './image.ts';
import type { ImageStore } from './layout-store.ts';
import { canonicalBytes, MEDIA, ociDigest } from './oci.ts';
import { policyPatterns } from './policy.ts';
import { scannerOf, type Scanner } from './redact-scan.ts';
import { redactDocument, redactLines, redactString } from './redact-text.ts';
import { addAbout } from './sign.ts';
import { configDirectory } from './trust-keys.ts';

export type Redaction = ImagePolicy['redact_on_export'][number];
export const REDACTIONS: readonly Redaction[] = ['secrets', 'credentials', 'private_documents'];

export interface Redacted {
  readonly image: Image;
  /** How often each rule took something out. */
  readonly rules: Readonly<Record<string, number>>;
  readonly documents: number;
}

interface Report {
  readonly files: Map<string, Map<string, number>>;
  documents: number;
}

/** The image itself when it was redacted so already. The caller holds the store. */
export async function redactImage(
  store: ImageStore,
  image: Image,
  kinds: readonly Redaction[],
  config: string = configDirectory(),
): Promise<Redacted | undefined> {
  const before = (image.config.redacted as { readonly kinds?: unknown } | undefined)?.kinds;
  if (kinds.length === 0 || (Array.isArray(before) && kinds.every((kind) => before.includes(kind)))) return undefined;
  const where = `${image.config.name}:${image.config.version}`;
  const patterns = policyPatterns(image.config.policy, where);
  // Secrets and credentials are looked for together: no rule belongs to one of them alone.
  const scanner = kinds.some((kind) => kind !== 'private_documents')
    ? scannerOf(patterns.secrets.map((secret) => secret.pattern()))
    : undefined;
  const documents = kinds.includes('private_documents') ? patterns.documents : [];
  const report: Report = { files: new Map(), documents: 0 };
  const layers: ContextLayer[] = [];
  let written: Image;
  try {
    for (const layer of image.config.layers) layers.push(await redactLayer(store, layer, scanner, documents, report));
    written = await writeImage(store, await redactConfig(image, layers, kinds, scanner, report, await commitment(image, config)));
  } finally {
    scanner?.close();
  }
  const rules = totals(report);
  await addAbout(store, written.descriptor, MEDIA.redaction, {
    mediaType: MEDIA.redactionReport,
    bytes: reportBytes(written, kinds, report, rules),
  });
  return { image: written, rules, documents: report.documents };
}

async function redactLayer(
  store: ImageStore,
  layer: ContextLayer,
  scanner: Scanner | undefined,
  documents: readonly RE2JS[],
  report: Report,
): Promise<ContextLayer> {
  const parts: LayerPart[] = [];
  const files: LayerFile[] = [];
  for (const part of layer.parts) {
    const { mediaType } = part;
    if (mediaType === MEDIA.files) {
      const kept = await redactFiles(store, part, scanner, documents, report);
      const stored = { mediaType, ...(await store.put(writeFilesLayer(kept.files))) };
      parts.push(stored);
      files.push(...(await listed(store, stored)));
    } else if (mediaType === MEDIA.messages || mediaType === MEDIA.events) {
      if (scanner === undefined) parts.push(part);
      else {
        const name = mediaType === MEDIA.messages ? 'messages.jsonl' : 'events.jsonl';
        parts.push({ mediaType, ...(await store.put(redactLines(scanner, name, store.stream(part), counter(report, name)))) });
      }
    }
    // The order log and recorded inputs tell lengths, digests and bytes of what was there: an instance makes new ones.
  }
  return { ...layer, parts, files };
}

async function redactFiles(
  store: ImageStore,
  part: LayerPart,
  scanner: Scanner | undefined,
  documents: readonly RE2JS[],
  report: Report,
): Promise<{ readonly files: readonly TarFile[] }> {
  const files: TarFile[] = [];
  for await (const { path, bytes } of readFilesLayer(store.stream(part), { ...LAYER_LIMITS, where: part.digest })) {
    if (documents.some((pattern) => pattern.matches(path))) {
      report.documents++;
      continue;
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(piece);
    const content = Buffer.concat(pieces);
    if (scanner === undefined) files.push({ path, bytes: content });
    else {
      const name = await redactString(scanner, path, counter(report, 'names of files'), path);
      files.push({ path: name, bytes: await redactDocument(scanner, path, content, counter(report, name)) });
    }
  }
  return { files };
}

async function listed(store: ImageStore, part: LayerPart): Promise<readonly LayerFile[]> {
  const files: LayerFile[] = [];
  for await (const { path, size, offset, bytes } of readFilesLayer(store.stream(part), LAYER_LIMITS)) {
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(piece);
    files.push({ path, size, offset, digest: ociDigest(Buffer.concat(pieces)) });
  }
  return files;
}

async function redactConfig(
  { config }: Image,
  layers: readonly ContextLayer[],
  kinds: readonly Redaction[],
  scanner: Scanner | undefined,
  report: Report,
  from: string,
): Promise<ImageConfig> {
  const { redact_patterns: _patterns, private_documents: _documents, ...policy } = config.policy;
  const paths = new Set(layers.flatMap((layer) => layer.files.map(({ path }) => path)));
  const still = (path: string | null | undefined): string | null => (path !== null && path !== undefined && paths.has(path) ? path : null);
  const { source } = config;
  const plain: ImageConfig = {
    ...config,
    // Digests of what was not redacted would let a short secret be guessed.
    parent_digest: null,
    source: {
      ...source,
      memory_graph: still(source.memory_graph),
      retrieval_config: still(source.retrieval_config),
      tools: still(source.tools),
      ...(source.environment === undefined ? {} : { environment: still(source.environment) }),
      ...(source.policy_constraints === undefined ? {} : { policy_constraints: still(source.policy_constraints) }),
      source_hash: sourceHash(layers),
    },
    mounts: { ...config.mounts, memory: config.mounts.memory.map(({ pages: _pages, ...memory }) => memory) },
    policy: { ...policy, allow_compiled_state_export: false },
    layers,
    ...(config.branch === undefined ? {} : { branch: { ...config.branch, parent_digest: null, inherited_layers: [] } }),
  };
  const text = canonicalBytes(plain);
  const scanned = scanner === undefined ? text : await redactDocument(scanner, 'config.json', text, counter(report, 'config.json'));
  const rules = totals(report);
  const count = Object.values(rules).reduce((sum, times) => sum + times, 0);
  const redacted = { kinds, rules, count, documents: report.documents, from };
  return checkConfig({ ...(JSON.parse(scanned.toString()) as object), redacted }, `${config.name}:${config.version}, redacted`);
}

/** Tells its owner, who has the key, which image it was, and nobody else. */
async function commitment(image: Image, config: string): Promise<string> {
  const path = join(config, 'redaction.key');
  await fs.mkdir(config, { recursive: true, mode: 0o700 });
  await fs.writeFile(path, randomBytes(32), { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const key = await fs.readFile(path);
  if (key.length !== 32)
    throw new CtxError('image.redaction_key', 'EINVAL', `has ${key.length} bytes and not 32`, {
      where: path,
      next: 'remove it; a new one is made',
    });
  return `hmac-sha256:${createHmac('sha256', key).update(image.descriptor.digest).digest('hex')}`;
}

function counter({ files }: Report, file: string): (rule: string) => void {
  return (rule) => {
    const counts = files.get(file) ?? new Map<string, number>();
    files.set(file, counts.set(rule, (counts.get(rule) ?? 0) + 1));
  };
}

function totals({ files }: Report): Readonly<Record<string, number>> {
  const rules: Record<string, number> = {};
  for (const counts of files.values()) for (const [rule, times] of counts) rules[rule] = (rules[rule] ?? 0) + times;
  return rules;
}

function reportBytes(
  { descriptor }: Image,
  kinds: readonly Redaction[],
  { files, documents }: Report,
  rules: Readonly<Record<string, number>>,
): Buffer {
  const byFile = Object.fromEntries([...files].map(([file, counts]) => [file, Object.fromEntries(counts)]));
  return canonicalBytes({ image: descriptor.digest, kinds, rules, documents, files: byFile });
}
