// A local image to a registry: blobs in parallel, then the manifests bottom-up, the tag last. Whoever pulls the tag finds all of it.
import { planExport } from '../export.ts';
import type { ImageStore } from '../layout-store.ts';
import { MAX_CONFIG_BYTES, MEDIA, parseBounded, type Descriptor, type OciDigest } from '../oci.ts';
import { refuseOpaque } from '../opaque.ts';
import { DEFAULT_TAG, tagKey, type ImageReference } from '../reference.ts';
import { artifactsOf, blobsOf, type Artifact } from './artifact-graph.ts';
import type { RegistryClient } from './client.ts';
import { registryError } from './failures.ts';
import { neighboursOf } from './neighbours.ts';
import { inParallel } from '../parallel.ts';
import { putManifest, referrerDescriptor, tagReferrer } from './referrers.ts';
import { remoteWords, type Remote } from './remote.ts';
import { uploadBlob } from './upload.ts';
import { UploadNotes } from './upload-notes.ts';

export interface TransferProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface PushJob {
  readonly store: ImageStore;
  readonly client: RegistryClient;
  readonly image: Descriptor;
  readonly reference: ImageReference;
  readonly remote: Remote;
  /** False: compiled state stays here, whatever the policy says. */
  readonly compiled: boolean;
  /** Takes out more than the policy asks for. */
  readonly redact: boolean;
  readonly notesDirectory: string;
  readonly onProgress?: (progress: TransferProgress) => void;
  readonly signal?: AbortSignal;
}

export interface Pushed {
  /** `REGISTRY/NAME:TAG` */
  readonly remote: string;
  readonly digest: OciDigest;
  readonly blobs: { readonly sent: number; readonly there: number; readonly mounted: number };
  readonly sentBytes: number;
  /** Sent by an earlier push that was interrupted. */
  readonly resumedBytes: number;
  readonly referrers: readonly { readonly digest: OciDigest; readonly artifactType: string }[];
  /** How often each rule took something out; then `digest` is not that of the image here. */
  readonly redacted: Readonly<Record<string, number>>;
  /** Why something stayed here. */
  readonly kept: readonly string[];
}

export async function pushImage(job: PushJob): Promise<Pushed> {
  // IMG-98: what is redacted is written beside the store.
  const store = job.store.aside();
  try {
    return await pushFrom({ ...job, store });
  } finally {
    await store.remove();
  }
}

async function pushFrom(job: PushJob): Promise<Pushed> {
  const { store, client, remote, signal } = job;
  const words = tagKey(job.reference);
  const tag = remote.tag ?? job.reference.tag ?? DEFAULT_TAG;
  const hold = await store.hold();
  try {
    await requireSource(store, job.image, words);
    const plan = await planExport(store, [{ key: words, descriptor: job.image }], { compiled: job.compiled, redact: job.redact });
    const artifacts = await artifactsOf(store, plan.entries);
    const [image] = artifacts;
    if (image === undefined || (remote.digest !== undefined && remote.digest !== image.descriptor.digest))
      throw registryError('digest', 'EINVAL', `is ${image?.descriptor.digest ?? 'nothing'}, not ${remote.digest}`, words);
    const total = await sendBlobs(job, artifacts);
    for (const artifact of artifacts) await sendManifest(job, artifact);
    await putManifest(client, remote.repository, tag, await manifestBytes(store, image.descriptor), MEDIA.manifest, signal);
    await new UploadNotes(job.notesDirectory).removeOld();
    return {
      remote: remoteWords(remote, tag),
      digest: image.descriptor.digest,
      ...total,
      referrers: artifacts.slice(1).map(({ descriptor: { digest }, manifest: { artifactType } }) => ({ digest, artifactType })),
      redacted: plan.images[0]?.redacted ?? {},
      kept: [...(job.compiled ? [] : ['--no-compiled: compiled state stays here']), ...plan.reasons],
    };
  } finally {
    await hold.release();
  }
}

/** Says what an opaque blob lacks, before anything else is said about it. */
async function requireSource(store: ImageStore, image: Descriptor, where: string): Promise<void> {
  const manifest = await store.manifest(image);
  refuseOpaque(manifest, undefined, where);
  refuseOpaque(manifest, parseBounded(await store.read(manifest.config), where, MAX_CONFIG_BYTES), where);
}

async function sendBlobs(job: PushJob, artifacts: readonly Artifact[]): Promise<Pick<Pushed, 'blobs' | 'sentBytes' | 'resumedBytes'>> {
  const { store, client, remote, notesDirectory } = job;
  const all = [...new Map(artifacts.flatMap(({ manifest }) => blobsOf(manifest)).map((blob) => [blob.digest, blob])).values()];
  const neighbours = await neighboursOf(store, job.reference.name, remote.repository);
  const notes = new UploadNotes(notesDirectory);
  const blobs = { sent: 0, there: 0, mounted: 0 };
  const counted = { sentBytes: 0, resumedBytes: 0 };
  const totalBytes = all.reduce((sum, { size }) => sum + size, 0);
  let doneBytes = 0;
  const report = (bytes: number): void => {
    doneBytes += bytes;
    job.onProgress?.({ doneBytes: Math.min(doneBytes, totalBytes), totalBytes });
  };
  report(0);
  const send = async (blob: Descriptor, signal: AbortSignal): Promise<void> => {
    const mountFrom = neighbours.get(blob.digest);
    const done = await uploadBlob({ client, repository: remote.repository, blob, store, notes, mountFrom, onSent: report, signal });
    blobs[done.how] += 1;
    counted.sentBytes += done.sentBytes;
    counted.resumedBytes += done.resumedBytes;
    report(done.how === 'sent' ? done.resumedBytes : blob.size);
  };
  await inParallel(all, client.limits.width, send, job.signal);
  return { blobs, ...counted };
}

async function sendManifest({ store, client, remote, signal }: PushJob, { descriptor, manifest, subject }: Artifact): Promise<void> {
  const bytes = await manifestBytes(store, descriptor);
  const listed = await putManifest(client, remote.repository, descriptor.digest, bytes, MEDIA.manifest, signal);
  if (subject !== undefined && !listed)
    await tagReferrer(client, remote.repository, subject, referrerDescriptor(descriptor, manifest), signal);
}

function manifestBytes(store: ImageStore, { digest, size }: Descriptor): Promise<Buffer> {
  return store.read({ digest, size });
}
