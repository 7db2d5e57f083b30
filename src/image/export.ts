// What of an image leaves with it (IMG-70, IMG-75): its source, what is said about it, and compiled state where the policy lets it.
import type { ArchiveContent } from './archive.ts';
import { type ImageStore, REF_NAME, SUBJECT } from './layout-store.ts';
import { MEDIA, type Descriptor, type OciDigest } from './oci.ts';
import type { Image } from './image.ts';
import { requireExportable } from './policy.ts';
import { redactImage, REDACTIONS, type Redacted } from './redact.ts';
import { checkImage, requireBlobs } from './verify-image.ts';

export interface ExportImage {
  /** `NAME:TAG`, as it will be called where it arrives. */
  readonly key: string;
  readonly descriptor: Descriptor;
}

export interface LeavingImage extends ExportImage {
  /** How often each rule took something out of it. */
  readonly redacted?: Readonly<Record<string, number>>;
}

export interface ExportPlan extends ArchiveContent {
  /** As they leave: what was redacted has another digest. */
  readonly images: readonly LeavingImage[];
  readonly sizeBytes: number;
  /** Compiled manifests that leave. */
  readonly compiled: number;
  /** Why something stays. */
  readonly reasons: readonly string[];
}

/** Referrers of other kinds stay: nobody knows what they hold. */
const ABOUT: readonly string[] = [MEDIA.signature, MEDIA.provenance, MEDIA.redaction];

export interface ExportOptions {
  /** Let compiled state go where the policy does (default). */
  readonly compiled?: boolean;
  /** Redact whatever the policy asks for, and everything else besides. */
  readonly redact?: boolean;
}

/**
 * The image that leaves in place of this one, by export or push, and whether its compiled state may. The caller holds the store.
 * Throws when its policy lets nothing out, or when what it must not show cannot be found for certain.
 */
export async function leavingImage(
  store: ImageStore,
  image: Image,
  key: string,
  options: ExportOptions = {},
): Promise<{
  readonly descriptor: Descriptor;
  readonly compiled: boolean;
  readonly redacted?: Redacted;
  readonly reasons: readonly string[];
}> {
  const verdict = requireExportable(image.config.policy, key);
  const redacted = await redactImage(store, image, options.redact === true ? REDACTIONS : image.config.policy.redact_on_export);
  // What is not there does not stay here.
  const reasons = options.compiled === false || !(await isCompiled(store, image)) ? [] : verdict.reasons;
  if (redacted !== undefined) return { descriptor: redacted.image.descriptor, compiled: false, redacted, reasons };
  return { descriptor: image.descriptor, compiled: verdict.compiled && options.compiled !== false, reasons };
}

async function isCompiled(store: ImageStore, { descriptor }: Image): Promise<boolean> {
  for (const referrer of await store.referrers(descriptor.digest))
    if ((referrer.artifactType ?? (await store.manifest(referrer)).artifactType) === MEDIA.compiled) return true;
  return false;
}

export async function planExport(store: ImageStore, images: readonly ExportImage[], options: ExportOptions = {}): Promise<ExportPlan> {
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
  const leaving: LeavingImage[] = [];
  for (const { key, descriptor } of images) {
    const image = await leavingImage(store, await checkImage(store, descriptor), key, options);
    leaving.push({ key, descriptor: image.descriptor, ...(image.redacted === undefined ? {} : { redacted: image.redacted.rules }) });
    for (const reason of image.reasons) reasons.add(`${key}: ${reason}`);
    await add(image.descriptor, { [REF_NAME]: key });
    await addReferrers(image.descriptor.digest, image.compiled ? [...ABOUT, MEDIA.compiled] : ABOUT);
  }
  return {
    images: leaving,
    entries: [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry),
    blobs: [...blobs.values()],
    sizeBytes: [...blobs.values()].reduce((sum, { size }) => sum + size, 0),
    compiled: compiledCount,
    reasons: [...reasons],
  };
}
