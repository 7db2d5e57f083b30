// One image of a store: its manifest and config, read and written together.
import { CtxError } from '../abi/errors.ts';
import { parseConfig, type ImageConfig } from './config.ts';
import { REF_NAME, type ImageStore } from './layout-store.ts';
import { layerDescriptors } from './layers.ts';
import { canonicalBytes, MEDIA, ociDigest, type Descriptor, type Manifest, type OciDigest } from './oci.ts';
import { inParallel } from './parallel.ts';
import { parseImageReference, tagKey, tryImageReference, type ImageReference } from './reference.ts';

export interface Image {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/** Writes config and manifest; the blobs of the layers are there already. The same config gives the same digest. */
export async function writeImage(store: ImageStore, config: ImageConfig): Promise<Image> {
  const configBytes = canonicalBytes(config);
  const written = { digest: ociDigest(configBytes), size: configBytes.length };
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    artifactType: MEDIA.image,
    config: { mediaType: MEDIA.config, ...written },
    layers: layerDescriptors(config.layers),
    annotations: {
      'org.opencontainers.image.created': config.created_at,
      'org.opencontainers.image.title': config.name,
      'org.opencontainers.image.version': config.version,
    },
  };
  // Side by side, for the disk's sake: whoever names the manifest does so when both are there.
  const manifestBytes = canonicalBytes(manifest);
  await inParallel([configBytes, manifestBytes], 2, async (bytes) => void (await store.put(bytes)));
  const digest = ociDigest(manifestBytes);
  return { descriptor: { mediaType: MEDIA.manifest, artifactType: MEDIA.image, digest, size: manifestBytes.length }, manifest, config };
}

export async function readImage(store: ImageStore, descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<Image> {
  const manifest = await store.manifest(descriptor);
  if (manifest.artifactType !== MEDIA.image || manifest.config.mediaType !== MEDIA.config)
    throw new CtxError('image.not_a_context_image', 'EINVAL', `is a ${manifest.artifactType}, not a context image`, {
      where: descriptor.digest,
      next: 'name a context image (see: ctx images)',
    });
  const config = parseConfig(await store.read(manifest.config), manifest.config.digest);
  return { descriptor: { mediaType: MEDIA.manifest, artifactType: MEDIA.image, ...pick(descriptor) }, manifest, config };
}

function pick({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Pick<Descriptor, 'digest' | 'size'> {
  return { digest, size };
}

/** Undefined when the store has no such image. A digest may be given in full, or its first 8 to 64 characters, behind `sha256:` or where no image is called so. */
export async function findImage(store: ImageStore, text: string): Promise<Descriptor | undefined> {
  const entries = await store.entries();
  const short = /^(?:image:)?sha256:([0-9a-f]{8,64})$/.exec(text)?.[1];
  if (short !== undefined) {
    const found = entries.filter(({ digest }) => digest.startsWith(`sha256:${short}`));
    return onlyOne(text, found.length > 0 ? found : await unnamed(store, short));
  }
  const reference = tryImageReference(text);
  if (reference === undefined) return undefined;
  const tagged = entries.find((entry) => entry.annotations?.[REF_NAME] === tagKey(reference));
  const bare = /^(?:image:)?([0-9a-f]{8,64})$/.exec(text)?.[1];
  if (tagged === undefined && bare !== undefined) return findImage(store, `sha256:${bare}`);
  if (reference.digest === undefined) return tagged;
  if (reference.tag !== undefined && tagged?.digest !== reference.digest) return undefined;
  return entries.find(({ digest }) => digest === reference.digest);
}

/** Images that have lost their names, and are whole still: until gc takes them. Reads manifests of that digest only. */
async function unnamed(store: ImageStore, hex: string): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = [];
  for (const digest of await store.blobsFrom(hex)) {
    const size = await store.sizeOf(digest);
    const manifest = size === undefined ? undefined : await store.manifest({ digest, size }).catch(() => undefined);
    if (size === undefined || manifest?.artifactType !== MEDIA.image) continue;
    const sizes = await Promise.all(
      [manifest.config, ...manifest.layers].map(async (blob) => (await store.sizeOf(blob.digest)) === blob.size),
    );
    if (sizes.every(Boolean)) found.push({ mediaType: MEDIA.manifest, artifactType: MEDIA.image, digest, size });
  }
  return found;
}

/** How a found image is called on: by the name that was asked for, or its digest where it was found by that. */
export function keyOf({ digest, annotations }: Descriptor, text: string): string {
  const reference = tryImageReference(text);
  const key = reference === undefined || reference.digest !== undefined ? undefined : tagKey(reference);
  return key !== undefined && annotations?.[REF_NAME] === key ? key : digest;
}

export async function requireImage(store: ImageStore, text: string): Promise<Image> {
  const found = await findImage(store, text);
  if (found !== undefined) return readImage(store, found);
  const reference = parseImageReference(text);
  throw new CtxError('image.unknown', 'ENOENT', 'is no image here', {
    where: tagKeyWith(reference),
    next: 'see: ctx images; or get it with ctx pull or ctx import',
  });
}

function tagKeyWith(reference: ImageReference): string {
  return reference.digest === undefined ? tagKey(reference) : `${reference.name}@${reference.digest}`;
}

function onlyOne(text: string, found: readonly Descriptor[]): Descriptor | undefined {
  const digests = new Set(found.map(({ digest }) => digest));
  if (digests.size > 1)
    throw new CtxError('image.ambiguous', 'EINVAL', `could be ${[...digests].join(' or ')}`, {
      where: text,
      next: 'write more of the digest',
    });
  return found[0];
}

/** What `ctx images` shows of an image without reading it. */
export function listAnnotations(config: ImageConfig, parts: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return {
    'org.opencontainers.image.created': config.created_at,
    'dev.ctxfs.messages': String(config.continuation.messages),
    'dev.ctxfs.bytes': String(config.layers.reduce((sum, layer) => sum + layer.parts.reduce((all, { size }) => all + size, 0), 0)),
    'dev.ctxfs.layers': String(config.layers.length),
    ...(config.parent === null ? {} : { 'dev.ctxfs.parent': config.parent }),
    ...parts,
  };
}

/** A name that another image had. */
export interface MovedTag {
  readonly name: string;
  readonly from: OciDigest;
}

/** Says when the name was another image's: it moves, and may have been that one's last. */
export async function tagImage(store: ImageStore, image: Image, key: string): Promise<MovedTag | undefined> {
  const from = await store.tag(key, { ...image.descriptor, annotations: listAnnotations(image.config) });
  return from === undefined ? undefined : { name: key, from };
}

/** Digests of the image's own parents, nearest first, as far as the store has them. Bounded: a circle cannot be followed. */
export async function lineage(
  store: ImageStore,
  image: Image,
  most = 1000,
): Promise<readonly { readonly reference: string | null; readonly digest: OciDigest; readonly image: Image | undefined }[]> {
  const found: { reference: string | null; digest: OciDigest; image: Image | undefined }[] = [];
  const seen = new Set<string>([image.descriptor.digest]);
  for (let at: Image | undefined = image; at !== undefined && found.length < most;) {
    const digest: OciDigest | null | undefined = at.config.parent_digest;
    if (digest === null || digest === undefined || seen.has(digest)) break;
    seen.add(digest);
    const size = await store.sizeOf(digest);
    const parent: Image | undefined = size === undefined ? undefined : await readImage(store, { digest, size });
    found.push({ reference: at.config.parent, digest, image: parent });
    at = parent;
  }
  return found;
}
