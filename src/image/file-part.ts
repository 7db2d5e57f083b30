// The files of a layer as one blob, and read back by where they lie in it.
import * as fs from 'node:fs/promises';
import type { LayerFile as ConfigFile, LayerPart } from './config.ts';
import { readFilesLayer, writeFilesLayer, type LayerFile } from './files-layer.ts';
import type { ImageStore } from './layout-store.ts';
import type { JoinedFile } from './layers.ts';
import { invalid, MEDIA, ociDigest, type OciDigest } from './oci.ts';

export interface StoredFiles {
  /** None when there are no files. */
  readonly parts: readonly LayerPart[];
  readonly files: readonly ConfigFile[];
}

export async function storeFiles(store: ImageStore, files: readonly LayerFile[]): Promise<StoredFiles> {
  if (files.length === 0) return { parts: [], files: [] };
  const written = await store.put(writeFilesLayer(files));
  return { parts: [{ mediaType: MEDIA.files, ...written }], files: await tableOf(store, written) };
}

/** What the tar of a layer holds: each file's digest, and where its bytes begin. Reads the whole blob. */
export async function tableOf(store: ImageStore, part: Pick<LayerPart, 'digest' | 'size'>): Promise<readonly ConfigFile[]> {
  const files: ConfigFile[] = [];
  for await (const { path, size, offset, bytes } of readFilesLayer(store.stream(part))) {
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(piece);
    files.push({ path, size, digest: ociDigest(Buffer.concat(pieces)), offset });
  }
  return files;
}

/** One file of a joined image, checked. */
export async function readLayerFile(
  store: ImageStore,
  layers: readonly { readonly parts: readonly LayerPart[] }[],
  file: JoinedFile,
): Promise<Buffer> {
  const part = layers[file.layer]?.parts.find(({ mediaType }) => mediaType === MEDIA.files);
  if (part === undefined || file.offset === undefined || file.offset + file.size > part.size)
    throw invalid(file.path, 'is in no tar of its layer');
  const handle = await fs.open(store.blobPath(part.digest), 'r');
  try {
    const bytes = Buffer.alloc(file.size);
    const { bytesRead } = await handle.read(bytes, 0, file.size, file.offset);
    const digest: OciDigest = ociDigest(bytes);
    if (bytesRead !== file.size || digest !== file.digest)
      throw invalid(file.path, `is ${digest} in its layer, and ${file.digest} in the manifest`);
    return bytes;
  } finally {
    await handle.close();
  }
}
