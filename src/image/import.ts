// IMG-75: an archive is checked whole in a stage of its own; then its blobs are taken over by rename, and its names appear at once.
import { CtxError } from '../abi/errors.ts';
import type { ImageConfig } from './config.ts';
import { listAnnotations } from './image.ts';
import { checkKind } from './kinds.ts';
import { FOREIGN, type ImageStore, REF_NAME, SUBJECT } from './layout-store.ts';
import { invalid, MEDIA, type Descriptor, type OciDigest } from './oci.ts';
import { tagKey, tryImageReference } from './reference.ts';
import { unpackArchive, type Unpacked, type UnpackLimits } from './unpack.ts';
import { requireBlobs, verifyImage } from './verify-image.ts';

export interface ImportedImage {
  readonly key: string;
  readonly digest: OciDigest;
  /** What the name meant before. */
  readonly replaces?: OciDigest;
}

export interface ImportOptions {
  /** Names the archive in errors. */
  readonly where: string;
  /** `NAME:TAG` for an archive of one image. */
  readonly as?: string;
  /** Throws when the signatures that the user's trust policy asks for are not there. */
  readonly trust?: (stage: ImageStore, descriptor: Descriptor, key: string) => Promise<void>;
  readonly limits?: UnpackLimits;
  readonly progress?: (bytes: number) => void;
}

export async function importArchive(
  store: ImageStore,
  pieces: AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<readonly ImportedImage[]> {
  const held = await store.hold();
  const stage = store.stage();
  try {
    const unpacked = await unpackArchive(pieces, stage, options.where, options);
    const images = await checkArchive(stage, unpacked, options);
    for (const { key, entry } of images) await options.trust?.(stage, entry, key);
    await store.adoptFrom(stage, [...unpacked.blobs.values()]);
    return await name(store, images, unpacked);
  } finally {
    await stage.remove();
    await held.release();
  }
}

interface Named {
  readonly key: string;
  readonly entry: Descriptor;
  readonly config: ImageConfig;
}

async function checkArchive(stage: ImageStore, { entries, blobs }: Unpacked, { where, as }: ImportOptions): Promise<readonly Named[]> {
  const used = new Set<OciDigest>();
  const images: Named[] = [];
  const parents = new Map<string, string>();
  // The signatures of an image are looked for in the stage's index.
  await stage.change(() => entries);
  for (const entry of entries) {
    if (entry.mediaType !== MEDIA.manifest)
      throw invalid(`${where} ${entry.digest}`, `is a ${JSON.stringify(entry.mediaType)}, not a manifest`);
    await requireBlobs(stage, [entry], where);
    const manifest = await stage.manifest(entry);
    checkKind(manifest, `${where} ${entry.digest}`);
    await requireBlobs(stage, [manifest.config, ...manifest.layers], `${where} ${entry.digest}`);
    for (const { digest } of [entry, manifest.config, ...manifest.layers]) used.add(digest);
    const said = entry.annotations?.[SUBJECT];
    if (manifest.subject !== undefined) {
      await requireBlobs(stage, [manifest.subject], `${where} ${entry.digest}`);
      if (said !== manifest.subject.digest) throw invalid(`${where} ${entry.digest}`, 'is about something else than index.json says');
      continue;
    }
    const { config } = await verifyImage(stage, entry, { trustDigests: true });
    const key = as ?? nameOf(entry, where);
    if (images.some((other) => other.key === key)) throw as === undefined ? invalid(where, `has ${key} twice`) : severalAs(where, as);
    images.push({ key, entry, config });
    // A digest, or its absence for the sake of redaction, says nothing wrong: a commit may take its parent's own name.
    if (config.parent !== null && typeof config.parent_digest !== 'string' && config.redacted === undefined)
      parents.set(key, parentKey(config.parent));
  }
  requireNoCycle(parents, where);
  if (images.length === 0) throw invalid(where, 'has no image');
  const stray = [...blobs.keys()].find((digest) => !used.has(digest));
  if (stray !== undefined) throw invalid(`${where} ${stray}`, 'is named by no manifest');
  return images;
}

function severalAs(where: string, as: string): CtxError {
  return new CtxError('image.invalid', 'EINVAL', `has more than one image to be called ${as}`, {
    where,
    next: 'leave --as out, and rename them with ctx tag',
  });
}

function nameOf(entry: Descriptor, where: string): string {
  const text = entry.annotations?.[REF_NAME];
  const reference = text === undefined ? undefined : tryImageReference(text);
  if (reference !== undefined && reference.digest === undefined && text?.startsWith('image:') === false) return tagKey(reference);
  throw new CtxError('image.unnamed', 'EINVAL', `has an image called ${JSON.stringify(text)?.slice(0, 200) ?? 'nothing'}`, {
    where,
    next: 'give it a name: --as NAME:TAG',
  });
}

function parentKey(parent: string): string {
  const reference = tryImageReference(parent);
  return reference === undefined ? parent : tagKey(reference);
}

/** By name only: no digest can be its own ancestor. */
function requireNoCycle(parents: ReadonlyMap<string, string>, where: string): void {
  const done = new Set<string>();
  for (const first of parents.keys()) {
    const path = new Set<string>();
    for (let key: string | undefined = first; key !== undefined && !done.has(key); key = parents.get(key)) {
      if (path.has(key)) throw invalid(where, `has ${key}, which is its own ancestor`);
      path.add(key);
    }
    for (const key of path) done.add(key);
  }
}

async function name(store: ImageStore, images: readonly Named[], { entries }: Unpacked): Promise<readonly ImportedImage[]> {
  const results: ImportedImage[] = [];
  await store.change((before) => {
    const names = new Set(images.map(({ key }) => key));
    const known = new Set(before.map(({ digest, annotations }) => `${digest} ${annotations?.[SUBJECT]}`));
    const kept = before.filter(({ annotations }) => !names.has(annotations?.[REF_NAME] ?? ''));
    for (const { key, entry } of images) {
      const old = before.find(({ annotations }) => annotations?.[REF_NAME] === key);
      results.push({ key, digest: entry.digest, ...(old === undefined || old.digest === entry.digest ? {} : { replaces: old.digest }) });
    }
    const tags = images.map(({ key, entry, config }) =>
      described({ ...entry, artifactType: MEDIA.image }, { ...listAnnotations(config), [REF_NAME]: key }),
    );
    // What is here already stays as it is: what this machine made itself is not foreign.
    const referrers = entries.flatMap((entry) => {
      const subject = entry.annotations?.[SUBJECT];
      if (subject === undefined || known.has(`${entry.digest} ${subject}`)) return [];
      return [described(entry, { [SUBJECT]: subject, [FOREIGN]: 'import' })];
    });
    return [...kept, ...tags, ...referrers];
  });
  return results;
}

function described({ mediaType, digest, size, artifactType }: Descriptor, annotations: Readonly<Record<string, string>>): Descriptor {
  return { mediaType, digest, size, ...(artifactType === undefined ? {} : { artifactType }), annotations };
}
