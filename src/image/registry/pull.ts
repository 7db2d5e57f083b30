// An image of a registry to the local store. IMG-55: nothing is believed before it is checked, and the tag is written last: what
// fails leaves no name and no half of a blob; whole blobs that nothing names are gc's.
import { statfs } from 'node:fs/promises';
import { CtxError } from '../../abi/errors.ts';
import { parseConfig } from '../config.ts';
import { tagImage, type Image } from '../image.ts';
import { checkKind } from '../kinds.ts';
import { FOREIGN, SUBJECT, type ImageStore } from '../layout-store.ts';
import { MAX_CONFIG_BYTES, MEDIA, parseBounded, parseManifest, type Descriptor, type Manifest, type OciDigest } from '../oci.ts';
import { refuseOpaque, requireCarried } from '../opaque.ts';
import { verifyImage } from '../verify-image.ts';
import { blobsOf, MAX_DEPTH } from './artifact-graph.ts';
import type { RegistryClient } from './client.ts';
import { blobPieces, fetchManifest, type FetchedManifest } from './download.ts';
import { registryError } from './failures.ts';
import { inParallel } from '../parallel.ts';
import type { TransferProgress } from './push.ts';
import { listReferrers, MAX_REFERRERS } from './referrers.ts';
import { remoteWords, wanted, type Remote } from './remote.ts';

export interface PullJob {
  readonly store: ImageStore;
  readonly client: RegistryClient;
  readonly remote: Remote;
  /** `NAME:TAG` in the local store. */
  readonly tag: string;
  /** False: compiled state is not fetched. */
  readonly compiled: boolean;
  /** Asked with everything stored and nothing tagged; throws when the image is not trusted. */
  readonly requireTrust?: (image: Descriptor) => Promise<void>;
  readonly onProgress?: (progress: TransferProgress) => void;
  readonly signal?: AbortSignal;
}

export interface Pulled {
  readonly tag: string;
  readonly remote: string;
  readonly digest: OciDigest;
  readonly blobs: { readonly fetched: number; readonly there: number };
  readonly fetchedBytes: number;
  readonly referrers: readonly { readonly digest: OciDigest; readonly artifactType: string }[];
  /** What the tag named before. */
  readonly replaced: OciDigest | null;
}

/** Referrers of other kinds are left where they are. */
const KINDS_ABOUT: readonly string[] = [MEDIA.compiled, MEDIA.signature, MEDIA.provenance, MEDIA.redaction];

interface Fetched extends FetchedManifest {
  readonly manifest: Manifest;
  readonly subject: OciDigest | undefined;
}

export async function pullImage(job: PullJob): Promise<Pulled> {
  const { store, remote } = job;
  const asked = wanted(remote);
  const hold = await store.hold();
  try {
    const image = await fetchImage(job, asked);
    const referrers = await fetchReferrers(job, image.digest);
    const blobs = await fetchBlobs(job, [image, ...referrers]);
    const checked = await verifyImage(store, await storeManifest(store, image), { trustDigests: true });
    for (const referrer of referrers) await storeManifest(store, referrer);
    const replaced = await named(job, checked, referrers);
    return {
      tag: job.tag,
      remote: remoteWords(remote, asked),
      digest: image.digest,
      ...blobs,
      referrers: referrers.map(({ digest, manifest: { artifactType } }) => ({ digest, artifactType })),
      replaced,
    };
  } finally {
    await hold.release();
  }
}

/** Signatures count only where the index names them: what is not trusted is taken out of it again. */
async function named({ store, tag, requireTrust }: PullJob, image: Image, referrers: readonly Fetched[]): Promise<OciDigest | null> {
  const entries = await store.entries();
  const known = new Set(entries.map(({ digest, annotations }) => `${digest} ${annotations?.[SUBJECT]}`));
  const fresh = referrers.flatMap(({ digest, bytes, subject, manifest: { artifactType } }): readonly Descriptor[] => {
    // What is here already stays as it is: what this machine made itself is not foreign.
    if (subject === undefined || known.has(`${digest} ${subject}`)) return [];
    const annotations = { [SUBJECT]: subject, [FOREIGN]: 'pull' };
    return [{ mediaType: MEDIA.manifest, digest, size: bytes.length, artifactType, annotations }];
  });
  const isFresh = ({ digest, annotations }: Descriptor): boolean =>
    fresh.some((one) => one.digest === digest && one.annotations?.[SUBJECT] === annotations?.[SUBJECT]);
  if (fresh.length > 0) await store.change((before) => [...before.filter((entry) => !isFresh(entry)), ...fresh]);
  try {
    await requireTrust?.(image.descriptor);
  } catch (error) {
    if (fresh.length > 0) await store.change((before) => before.filter((entry) => !isFresh(entry)));
    throw error;
  }
  const old = await store.resolve(tag);
  await tagImage(store, image, tag);
  return old === undefined || old.digest === image.descriptor.digest ? null : old.digest;
}

/** The manifest and its config, checked; the config is stored only then. */
async function fetchImage({ client, remote, store, signal }: PullJob, reference: string): Promise<Fetched> {
  const where = remoteWords(remote, reference);
  const found = await fetchManifest(client, remote.repository, reference, [MEDIA.manifest], signal);
  if (found === undefined) throw registryError('missing', 'ENOENT', 'is not there', where, 'check the name and the tag');
  const manifest = parseManifest(found.bytes, where);
  refuseOpaque(manifest, undefined, where);
  checkKind(manifest, where);
  const { config } = manifest;
  if (config.size > MAX_CONFIG_BYTES) throw registryError('too_large', 'EFBIG', `has a config of ${config.size} bytes`, where);
  if ((await store.sizeOf(config.digest)) !== config.size) {
    const held: Buffer[] = [];
    let size = 0;
    for await (const piece of blobPieces(client, remote.repository, config, signal)) {
      size += piece.length;
      if (size > config.size) break;
      held.push(piece);
    }
    const bytes = Buffer.concat(held);
    checkConfigBytes(manifest, bytes, where);
    await store.put(bytes, { ...config, where: `${where} config` });
  } else checkConfigBytes(manifest, await store.read(config), where);
  return { ...found, manifest, subject: undefined };
}

function checkConfigBytes(manifest: Manifest, bytes: Buffer, where: string): void {
  refuseOpaque(manifest, parseBounded(bytes, `${where} config`, MAX_CONFIG_BYTES), where);
  requireCarried(manifest, parseConfig(bytes, `${where} config`), where);
}

async function fetchReferrers({ client, remote, compiled, signal }: PullJob, image: OciDigest): Promise<readonly Fetched[]> {
  const found: Fetched[] = [];
  const seen = new Set([image]);
  let level: readonly OciDigest[] = [image];
  for (let depth = 1; depth < MAX_DEPTH && level.length > 0; depth++) {
    const next: OciDigest[] = [];
    for (const subject of level)
      for (const { digest } of await listReferrers(client, remote.repository, subject, signal)) {
        if (seen.has(digest)) continue;
        seen.add(digest);
        if (seen.size > MAX_REFERRERS) throw registryError('too_large', 'EFBIG', `names more than ${MAX_REFERRERS} referrers`, image);
        const referrer = await fetchReferrer(client, remote, digest, subject, signal);
        if (referrer === undefined || (referrer.manifest.artifactType === MEDIA.compiled && !compiled)) continue;
        found.push(referrer);
        next.push(digest);
      }
    level = next;
  }
  return found;
}

/** Undefined for what is not of this kind, is gone from the registry, or is about something else. */
async function fetchReferrer(
  client: RegistryClient,
  remote: Remote,
  digest: OciDigest,
  subject: OciDigest,
  signal: AbortSignal | undefined,
): Promise<Fetched | undefined> {
  const found = await fetchManifest(client, remote.repository, digest, [MEDIA.manifest], signal).catch((error: unknown) => {
    if (error instanceof CtxError && error.code === 'image.registry_content_type') return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  const manifest = parseManifest(found.bytes, remoteWords(remote, digest));
  const about = KINDS_ABOUT.includes(manifest.artifactType) && manifest.subject?.digest === subject;
  if (about) checkKind(manifest, remoteWords(remote, digest));
  return about ? { ...found, manifest, subject } : undefined;
}

async function fetchBlobs(job: PullJob, artifacts: readonly Fetched[]): Promise<Pick<Pulled, 'blobs' | 'fetchedBytes'>> {
  const { store, client, remote } = job;
  const all = [...new Map(artifacts.flatMap(({ manifest }) => blobsOf(manifest)).map((blob) => [blob.digest, blob])).values()];
  const missing: Descriptor[] = [];
  for (const blob of all) if ((await store.sizeOf(blob.digest)) !== blob.size) missing.push(blob);
  const totalBytes = missing.reduce((sum, { size }) => sum + size, 0);
  await requireSpace(store, totalBytes, remoteWords(remote, wanted(remote)));
  let doneBytes = 0;
  const fetchOne = async (blob: Descriptor, signal: AbortSignal): Promise<void> => {
    const where = `${remoteWords(remote)}@${blob.digest}`;
    const counted = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of blobPieces(client, remote.repository, blob, signal)) {
        doneBytes += piece.length;
        job.onProgress?.({ doneBytes, totalBytes });
        yield piece;
      }
    };
    await store.put(counted(), { digest: blob.digest, size: blob.size, where });
  };
  await inParallel(missing, client.limits.width, fetchOne, job.signal);
  return { blobs: { fetched: missing.length, there: all.length - missing.length }, fetchedBytes: doneBytes };
}

/** Before the first byte: a manifest may claim any size. */
async function requireSpace(store: ImageStore, bytes: number, where: string): Promise<void> {
  const { bavail, bsize } = await statfs(store.directory);
  if (bytes <= bavail * bsize) return;
  throw new CtxError('image.no_space', 'ENOSPC', `needs ${bytes} bytes; ${bavail * bsize} are free`, {
    where,
    next: 'free space in the store, then pull again',
  });
}

async function storeManifest(store: ImageStore, { bytes, digest, manifest }: Fetched): Promise<Descriptor> {
  await store.put(bytes, { digest });
  return { mediaType: MEDIA.manifest, digest, size: bytes.length, artifactType: manifest.artifactType };
}
