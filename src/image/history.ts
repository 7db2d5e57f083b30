// Which image of a lineage brought each layer (IMG-18): a layer came with the oldest ancestor that has it at the same place.
import type { ContextLayer } from './config.ts';
import { lineage, type Image } from './image.ts';
import { sizeOf } from './layers.ts';
import type { ImageStore } from './layout-store.ts';
import type { OciDigest } from './oci.ts';

export interface LineageEntry {
  /** NAME:TAG as the child names it; null: the child knows the digest only. */
  readonly reference: string | null;
  readonly digest: OciDigest;
  /** Null: it is not in this store. */
  readonly created_at: string | null;
}

export interface LayerHistory {
  readonly index: number;
  readonly name: string;
  readonly role: string;
  readonly bytes: number;
  readonly files: number;
  readonly parts: readonly OciDigest[];
  readonly brought_by: { readonly reference: string; readonly digest: OciDigest };
}

export interface ImageHistory {
  readonly layers: readonly LayerHistory[];
  /** This image first. */
  readonly lineage: readonly LineageEntry[];
}

export async function historyOf(store: ImageStore, image: Image, key: string): Promise<ImageHistory> {
  const ancestors = await lineage(store, image);
  const oldestFirst = ancestors
    .flatMap(({ reference, digest, image: found }) =>
      found === undefined
        ? []
        : [{ reference: reference ?? `${found.config.name}:${found.config.version}`, digest, layers: found.config.layers }],
    )
    .toReversed();
  const self = { reference: key, digest: image.descriptor.digest, layers: image.config.layers };
  const layers = image.config.layers.map((layer, index): LayerHistory => {
    const { reference, digest } = oldestFirst.find((one) => sameParts(one.layers[index], layer)) ?? self;
    return {
      index,
      name: layer.name,
      role: layer.role,
      bytes: sizeOf(layer.parts),
      files: layer.files.length,
      parts: layer.parts.map((part) => part.digest),
      brought_by: { reference, digest },
    };
  });
  return {
    layers,
    lineage: [
      { reference: key, digest: image.descriptor.digest, created_at: image.config.created_at },
      ...ancestors.map(({ reference, digest, image: found }) => ({ reference, digest, created_at: found?.config.created_at ?? null })),
    ],
  };
}

function sameParts(a: ContextLayer | undefined, b: ContextLayer): boolean {
  return a !== undefined && a.parts.length === b.parts.length && a.parts.every(({ digest }, at) => digest === b.parts[at]?.digest);
}
