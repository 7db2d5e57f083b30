// IMG-74: one file that is an OCI layout: a tar of oci-layout, index.json and the blobs in the order of their digests.
// The same images make the same bytes. Costs reading each blob once; memory for one piece.
import type { ImageStore } from './layout-store.ts';
import { canonicalBytes, hexOfDigest, MEDIA, type Descriptor } from './oci.ts';
import { TAR_BLOCK, TAR_END, tarHeader } from './tar-header.ts';

export const LAYOUT_MARKER = 'oci-layout';
export const LAYOUT_INDEX = 'index.json';
export const BLOB_PREFIX = 'blobs/sha256/';

export interface ArchiveContent {
  /** Of index.json. */
  readonly entries: readonly Descriptor[];
  /** Every blob, manifests too; each once. */
  readonly blobs: readonly Descriptor[];
}

export async function* writeArchive(
  store: ImageStore,
  { entries, blobs }: ArchiveContent,
  progress?: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  yield* small(LAYOUT_MARKER, Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  yield* small(LAYOUT_INDEX, canonicalBytes({ schemaVersion: 2, mediaType: MEDIA.index, manifests: entries }));
  for (const blob of [...blobs].sort((a, b) => (a.digest < b.digest ? -1 : 1))) {
    yield await tarHeader(BLOB_PREFIX + hexOfDigest(blob.digest), blob.size);
    for await (const piece of store.stream(blob)) {
      yield piece;
      progress?.(piece.length);
    }
    yield* padding(blob.size);
  }
  yield TAR_END;
}

async function* small(name: string, bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await tarHeader(name, bytes.length);
  yield bytes;
  yield* padding(bytes.length);
}

function* padding(size: number): Generator<Uint8Array> {
  if (size % TAR_BLOCK > 0) yield TAR_END.subarray(0, TAR_BLOCK - (size % TAR_BLOCK));
}
