// An image and what refers to it, in the order in which a registry gets them: a subject before its referrers.
import { REF_NAME, SUBJECT, type ImageStore } from '../layout-store.ts';
import { isOciDigest, type Descriptor, type Manifest, type OciDigest } from '../oci.ts';

export interface Artifact {
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  /** Undefined for the image itself. */
  readonly subject: OciDigest | undefined;
}

/** An image, its compiled state, the signature of that. */
export const MAX_DEPTH = 3;

/** Of the entries of an export: the image first. */
export async function artifactsOf(store: ImageStore, entries: readonly Descriptor[]): Promise<readonly Artifact[]> {
  const found: Artifact[] = [];
  for (let depth = 0; depth < MAX_DEPTH; depth++)
    for (const entry of entries) {
      const said = entry.annotations?.[SUBJECT];
      const subject = isOciDigest(said) ? said : undefined;
      const known =
        subject === undefined ? entry.annotations?.[REF_NAME] !== undefined : found.some(({ descriptor }) => descriptor.digest === subject);
      if (!known || found.some(({ descriptor }) => descriptor.digest === entry.digest)) continue;
      found.push({ descriptor: entry, manifest: await store.manifest(entry), subject });
    }
  return found;
}

/** Config and layers, each once. */
export function blobsOf(manifest: Manifest): readonly Descriptor[] {
  return [...new Map([manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob])).values()];
}
