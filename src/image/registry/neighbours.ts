// Which repository of the registry is likely to have a blob already: that of another local image with the same blob. A wrong guess
// costs nothing, because the registry then begins an upload with the same request.
import type { ImageStore } from '../layout-store.ts';
import { REF_NAME } from '../layout-store.ts';
import { MEDIA, type OciDigest } from '../oci.ts';
import { tryImageReference } from '../reference.ts';

/** Manifests that are read for it. */
const MOST = 200;

/** `repository` is where the local image `name` is pushed to: others are looked for beside it in the same way. */
export async function neighboursOf(store: ImageStore, name: string, repository: string): Promise<ReadonlyMap<OciDigest, string>> {
  const prefix = repository.endsWith(`/${name}`) ? repository.slice(0, -name.length) : '';
  const found = new Map<OciDigest, string>();
  const tagged = (await store.entries()).filter(
    ({ annotations, artifactType }) => annotations?.[REF_NAME] !== undefined && (artifactType ?? MEDIA.image) === MEDIA.image,
  );
  for (const entry of tagged.slice(-MOST)) {
    // Other tools name images of a layout as they like.
    const other = tryImageReference(entry.annotations?.[REF_NAME] ?? '')?.name;
    const manifest = other === undefined || other === name ? undefined : await store.manifest(entry).catch(() => undefined);
    for (const { digest } of manifest?.layers ?? []) if (!found.has(digest)) found.set(digest, `${prefix}${other}`);
  }
  return found;
}
