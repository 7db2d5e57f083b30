// IMG-73: an image is what its manifest and its config say, together, before anything of it is used.
import { CtxError } from '../abi/errors.ts';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { sourceHash, type ContextLayer, type LayerFile } from './config.ts';
import { LAYER_LIMITS, readFilesLayer } from './files-layer.ts';
import { readImage, type Image } from './image.ts';
import { checkKind } from './kinds.ts';
import type { ImageStore } from './layout-store.ts';
import { invalid, MEDIA, type Descriptor } from './oci.ts';
import { checkPolicy } from './policy.ts';

/** Manifest and config agree and their blobs are here. Costs the two small blobs and a stat for each layer. */
export async function checkImage(store: ImageStore, descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<Image> {
  const image = await readImage(store, descriptor);
  const { manifest, config } = image;
  const where = descriptor.digest;
  checkKind(manifest, where);
  checkPolicy(config, `${where} config`);
  const parts = config.layers.flatMap((layer) => layer.parts);
  const same =
    parts.length === manifest.layers.length &&
    parts.every((part, at) => {
      const layer = manifest.layers[at];
      return layer !== undefined && part.digest === layer.digest && part.size === layer.size && part.mediaType === layer.mediaType;
    });
  if (!same) throw invalid(where, 'has layers that are not the parts of its config');
  if (config.source.source_hash !== sourceHash(config.layers))
    throw invalid(`${where} config`, 'has a source_hash that is not that of its layers');
  await requireBlobs(store, manifest.layers, where);
  return image;
}

/** As {@link checkImage}, and every byte of every layer besides. Costs reading the image. */
export async function verifyImage(
  store: ImageStore,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  options: { readonly trustDigests?: boolean } = {},
): Promise<Image> {
  const checked = await checkImage(store, descriptor);
  for (const layer of checked.config.layers) {
    await verifyFiles(store, layer, descriptor.digest);
    for (const part of layer.parts) {
      if (part.mediaType === MEDIA.files) continue;
      if (options.trustDigests !== true) for await (const piece of store.stream(part)) void piece;
      if (part.mediaType === MEDIA.messages || part.mediaType === MEDIA.events) await requireWholeLines(store, part);
    }
  }
  return checked;
}

async function verifyFiles(store: ImageStore, layer: ContextLayer, where: string): Promise<void> {
  const declared = new Map<string, LayerFile>(layer.files.map((file) => [file.path, file]));
  for (const part of layer.parts) {
    if (part.mediaType !== MEDIA.files) continue;
    for await (const { path, size, offset, bytes } of readFilesLayer(store.stream(part), { ...LAYER_LIMITS, where: part.digest })) {
      const file = declared.get(path);
      const hash = createHash('sha256');
      for await (const piece of bytes) hash.update(piece);
      const found = `sha256:${hash.digest('hex')}`;
      if (file === undefined || file.size !== size || file.digest !== found || (file.offset ?? offset) !== offset)
        throw invalid(part.digest, `has ${JSON.stringify(path)}, which is not as the config of ${where} says`);
      declared.delete(path);
    }
  }
  const [missing] = declared.keys();
  if (missing !== undefined)
    throw invalid(where, `says that layer ${JSON.stringify(layer.name)} has ${JSON.stringify(missing)}, and no tar has it`);
}

/** A stretch of a journal that ends inside a line would join with the next stretch's first. */
async function requireWholeLines(store: ImageStore, { digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<void> {
  if (size === 0) return;
  const file = await open(store.blobPath(digest), 'r');
  try {
    const last = Buffer.alloc(1);
    await file.read(last, 0, 1, size - 1);
    if (last[0] !== 0x0a) throw invalid(digest, 'ends inside a line');
  } finally {
    await file.close();
  }
}

/** Every blob is here with its size. */
export async function requireBlobs(store: ImageStore, blobs: readonly Descriptor[], where: string): Promise<void> {
  for (const { digest, size } of blobs) {
    const found = await store.sizeOf(digest);
    if (found === size) continue;
    const what = found === undefined ? 'is missing' : `has ${found} bytes and not ${size}`;
    throw new CtxError('image.blob_missing', 'ENOENT', `${digest} ${what}`, { where, next: 'get the image again from where it was built' });
  }
}
