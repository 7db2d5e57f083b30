// What of an image leaves with it (IMG-70, IMG-75): its source, what is said about it, and compiled state where the policy lets it.
import type { ArchiveContent } from './archive.ts';
import { type ImageStore, REF_NAME, SUBJECT } from './layout-store.ts';
import { MEDIA, type Descriptor, type OciDigest } from './oci.ts';
import { requireExportable } from './policy.ts';
import { checkImage, requireBlobs } from './verify-image.ts';

export interface ExportImage {
  /** `NAME:TAG`, as it will be called where it arrives. */
  readonly key: string;
  readonly descriptor: Descriptor;
}

export interface ExportPlan extends ArchiveContent {
  readonly sizeBytes: number;
  /** Compiled manifests that leave. */
  readonly compiled: number;
  /** Why something stays. */
  readonly reasons: readonly string[];
}

/** Referrers of other kinds stay: nobody knows what they hold. */
const ABOUT: readonly string[] = [MEDIA.signature, MEDIA.provenance, MEDIA.redaction];

export async function planExport(store: ImageStore, images: readonly ExportImage[], compiled = true): Promise<ExportPlan> {
  const entries = new Map<string, Descriptor>();
  const blobs = new Map<OciDigest, Descriptor>();
  const reasons = new Set<string>();
  let compiledCount = 0;
  const add = async (descriptor: Descriptor, annotations: Readonly<Record<string, string>>): Promise<void> => {
    const { mediaType, digest, size } = descriptor;
    const manifest = await store.manifest(descriptor);
    await requireBlobs(store, [manifest.config, ...manifest.layers], digest);
    entries.set(`${annotations[REF_NAME] ?? ''} ${digest}`, { mediaType, digest, size, artifactType: manifest.artifactType, annotations });
    for (const blob of [descriptor, manifest.config, ...manifest.layers]) blobs.set(blob.digest, blob);
  };
  const addReferrers = async (subject: OciDigest, kinds: readonly string[]): Promise<void> => {
    for (const referrer of await store.referrers(subject)) {
      const { artifactType } = await store.manifest(referrer);
      if (!kinds.includes(artifactType) || entries.has(` ${referrer.digest}`)) continue;
      await add(referrer, { [SUBJECT]: subject });
      if (artifactType !== MEDIA.compiled) continue;
      compiledCount++;
      await addReferrers(referrer.digest, ABOUT);
    }
  };
  for (const { key, descriptor } of images) {
    const { config } = await checkImage(store, descriptor);
    const verdict = requireExportable(config.policy, key);
    if (compiled) for (const reason of verdict.reasons) reasons.add(`${key}: ${reason}`);
    await add(descriptor, { [REF_NAME]: key });
    await addReferrers(descriptor.digest, verdict.compiled && compiled ? [...ABOUT, MEDIA.compiled] : ABOUT);
  }
  return {
    entries: [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry),
    blobs: [...blobs.values()],
    sizeBytes: [...blobs.values()].reduce((sum, { size }) => sum + size, 0),
    compiled: compiledCount,
    reasons: [...reasons],
  };
}
