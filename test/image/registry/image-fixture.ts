// A whole context image in a store, with blobs of any size, and what refers to it.
import { randomBytes } from 'node:crypto';
import { canonicalBytes, MEDIA, type Descriptor, type Manifest } from '../../../src/image/oci.ts';
import { sourceHash, type ContextLayer, type ImageConfig } from '../../../src/image/config.ts';
import type { ImageStore } from '../../../src/image/layout-store.ts';
import { imageConfig } from '../image-config.ts';

/** Of a journal: whole lines of any length. */
export function randomLines(sizeBytes: number): Buffer {
  return Buffer.from(
    `${randomBytes(sizeBytes)
      .toString('base64')
      .slice(0, sizeBytes - 1)}\n`,
  );
}

export interface Made {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

export async function makeImage(
  store: ImageStore,
  key: string,
  blobs: readonly Buffer[],
  change: Partial<ImageConfig> = {},
): Promise<Made> {
  const parts = [];
  for (const bytes of blobs) parts.push({ mediaType: MEDIA.messages, ...(await store.put(bytes)) });
  const layers: ContextLayer[] = [{ name: 'base-assistant', role: 'base', parts, files: [] }];
  const base = imageConfig({ layers });
  const config: ImageConfig = { ...base, source: { ...base.source, source_hash: sourceHash(layers) }, ...change };
  const written = await store.put(canonicalBytes(config));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA.image,
    config: { mediaType: MEDIA.config, ...written },
    layers: parts,
  };
  const descriptor = await store.putManifest(manifest, canonicalBytes(manifest));
  await store.tag(key, descriptor);
  return { descriptor, manifest, config };
}

/** Compiled state, or something said about an image. */
export async function makeReferrer(
  store: ImageStore,
  subject: Descriptor,
  kind: 'compiled' | 'signature',
  bytes: Buffer,
): Promise<Descriptor> {
  const compiled = kind === 'compiled';
  const config = compiled ? MEDIA.compiledConfig : MEDIA.empty;
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA[kind],
    config: { mediaType: config, ...(await store.put(Buffer.from('{}'))) },
    layers: [{ mediaType: compiled ? MEDIA.kvState : MEDIA.envelope, ...(await store.put(bytes)) }],
    subject: { mediaType: MEDIA.manifest, digest: subject.digest, size: subject.size },
    annotations: { 'org.opencontainers.image.title': kind },
  };
  const descriptor = await store.putManifest(manifest, canonicalBytes(manifest));
  await store.addReferrer(descriptor, subject.digest);
  return descriptor;
}
