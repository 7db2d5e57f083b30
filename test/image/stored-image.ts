// A whole image in a store: real blobs, a config that says what they are, a manifest and a tag.
import type { ContextLayer, ImageConfig, LayerFile } from '../../src/image/config.ts';
import { readFilesLayer, writeFilesLayer } from '../../src/image/files-layer.ts';
import type { ImageStore } from '../../src/image/layout-store.ts';
import { canonicalBytes, MEDIA, ociDigest, type Descriptor, type Manifest } from '../../src/image/oci.ts';
import { imageConfig } from './image-config.ts';

export interface Sources {
  readonly messages?: string;
  readonly events?: string;
  readonly files?: Readonly<Record<string, string>>;
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

export async function whole(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

export async function storeLayer(store: ImageStore, name: string, { messages, events, files }: Sources): Promise<ContextLayer> {
  const parts: { mediaType: string; digest: Descriptor['digest']; size: number }[] = [];
  const listed: LayerFile[] = [];
  if (files !== undefined) {
    const tar = await whole(writeFilesLayer(Object.entries(files).map(([path, text]) => ({ path, bytes: Buffer.from(text) }))));
    for await (const { path, size, offset, bytes } of readFilesLayer(once(tar)))
      listed.push({ path, size, offset, digest: ociDigest(await whole(bytes)) });
    parts.push({ mediaType: MEDIA.files, ...(await store.put(tar)) });
  }
  if (messages !== undefined) parts.push({ mediaType: MEDIA.messages, ...(await store.put(Buffer.from(messages))) });
  if (events !== undefined) parts.push({ mediaType: MEDIA.events, ...(await store.put(Buffer.from(events))) });
  return { name, role: 'project', parts, files: listed };
}

export async function storeImage(
  store: ImageStore,
  key: string,
  sources: Sources | readonly ContextLayer[],
  change: Partial<ImageConfig> = {},
): Promise<Descriptor> {
  const layers = Array.isArray(sources) ? (sources as readonly ContextLayer[]) : [await storeLayer(store, 'layer', sources as Sources)];
  return storeManifest(store, key, imageConfig({ layers, name: key.split(':')[0] ?? key, ...change }));
}

/** The config as it is, right or wrong. */
export async function storeManifest(store: ImageStore, key: string, config: ImageConfig): Promise<Descriptor> {
  const stored = await store.put(canonicalBytes(config));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA.image,
    config: { mediaType: MEDIA.config, ...stored },
    layers: config.layers.flatMap((layer) => layer.parts),
  };
  const descriptor = await store.putManifest(manifest, canonicalBytes(manifest));
  await store.tag(key, descriptor);
  return descriptor;
}

export async function storeCompiled(store: ImageStore, subject: Descriptor, state: string): Promise<Descriptor> {
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA.compiled,
    config: { mediaType: MEDIA.compiledConfig, ...(await store.put(canonicalBytes({ of: subject.digest }))) },
    layers: [{ mediaType: MEDIA.kvState, ...(await store.put(Buffer.from(state))) }],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
  };
  const descriptor = await store.putManifest(manifest, canonicalBytes(manifest));
  await store.addReferrer(descriptor, subject.digest);
  return descriptor;
}
