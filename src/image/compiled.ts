// Compiled state of an image: a manifest of its own whose subject is the image, so that evicting it changes no digest (IMG-34).
import { record, canonicalBytes, MEDIA, parseBounded, type Descriptor, type Manifest, type OciDigest } from './oci.ts';
import { SUBJECT, type ImageStore } from './layout-store.ts';

/** On the index entry of what was compiled on this machine; nothing that is pulled or imported has it. */
export const MADE_HERE = 'dev.ctxfs.made-here';

/** The actual fingerprint; the image's own manifest only declares a target. */
export interface CompiledConfig {
  readonly schema: 'context-image-compiled/v1.0';
  readonly image: OciDigest;
  readonly model: string;
  readonly driver: string;
  readonly fingerprint: Readonly<Record<string, string | number | boolean | null>>;
  readonly tokens: number;
  /** Leading tokens that belong to each of the image's prefix layers, as the pack counts them: boundaries that images with these layers share. */
  readonly prefix_layers: readonly { readonly layer: string; readonly pack_tokens: number }[];
  readonly compiled_at: string;
}

export interface Compiled {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: CompiledConfig;
  readonly state: Descriptor;
  readonly tokens: Descriptor;
}

export async function writeCompiled(
  store: ImageStore,
  image: Descriptor,
  config: CompiledConfig,
  state: AsyncIterable<Uint8Array>,
  tokens: AsyncIterable<Uint8Array>,
): Promise<Compiled> {
  const [stateBlob, tokensBlob] = [await store.put(state), await store.put(tokens)];
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA.compiled,
    config: { mediaType: MEDIA.compiledConfig, ...(await store.put(canonicalBytes(config))) },
    layers: [
      { mediaType: MEDIA.kvState, ...stateBlob },
      { mediaType: MEDIA.kvTokens, ...tokensBlob },
    ],
    subject: { mediaType: MEDIA.manifest, digest: image.digest, size: image.size, artifactType: MEDIA.image },
  };
  const descriptor = { ...(await store.putManifest(manifest, canonicalBytes(manifest))), annotations: { [MADE_HERE]: '1' } };
  await store.addReferrer(descriptor, image.digest);
  return { descriptor, manifest, config, state: manifest.layers[0] as Descriptor, tokens: manifest.layers[1] as Descriptor };
}

/** Newest last. */
export async function compiledEntries(store: ImageStore, image: OciDigest): Promise<readonly Descriptor[]> {
  return (await store.referrers(image)).filter(({ artifactType }) => artifactType === MEDIA.compiled);
}

export async function readCompiled(store: ImageStore, descriptor: Descriptor): Promise<Compiled | undefined> {
  const manifest = await store.manifest(descriptor);
  const state = manifest.layers.find(({ mediaType }) => mediaType === MEDIA.kvState);
  const tokens = manifest.layers.find(({ mediaType }) => mediaType === MEDIA.kvTokens);
  if (manifest.artifactType !== MEDIA.compiled || state === undefined || tokens === undefined) return undefined;
  const config = record(parseBounded(await store.read(manifest.config), manifest.config.digest), manifest.config.digest);
  if (config['schema'] !== 'context-image-compiled/v1.0' || typeof config['fingerprint'] !== 'object') return undefined;
  return { descriptor, manifest, config: config as unknown as CompiledConfig, state, tokens };
}

/** Its blobs go with the next gc; the image's digest stays what it is. */
export async function evictCompiled(store: ImageStore, image: OciDigest): Promise<readonly Descriptor[]> {
  const gone = await compiledEntries(store, image);
  const digests = new Set(gone.map(({ digest }) => digest));
  await store.change((entries) => entries.filter((entry) => entry.annotations?.[SUBJECT] !== image || !digests.has(entry.digest)));
  return gone;
}
