// A session on the mount as an image: the daemon seals its history and links it into the layout; the rest is read here.
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';

import type { ImageLinkReply } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import type { Built } from '../image/build-directory.ts';
import type { Branch, LayerPart } from '../image/config.ts';
import { standingOf } from '../image/continuation.ts';
import { readImage, type Image } from '../image/image.ts';
import { JOURNAL_MEDIA, sharedLayers, type Stretches } from '../image/layers.ts';
import type { ImageStore } from '../image/layout-store.ts';
import { MEDIA, type OciDigest } from '../image/oci.ts';
import { DEFAULT_TAG, type ImageReference } from '../image/reference.ts';
import { writeSnapshot, type SealedHistory } from '../image/snapshot.ts';
import { toolsOf } from '../image/tools.ts';
import { ask } from './control-client.ts';
import type { ImagesOnMount } from './image-store.ts';
import { mountedMemory } from './image-memory.ts';
import { readInstanceFiles, type InstanceOf } from './instance-files.ts';
import type { Target } from './reference.ts';

const TAIL_BYTES = 1024 * 1024;
const MOST_TRIES = 1000;

export interface SnapshotOptions {
  /** NAME[:TAG]; without it the session's image, or its own name. */
  readonly as: ImageReference | undefined;
  readonly command: string;
  /** For a fork at an earlier message. */
  readonly branch?: { readonly parent: string; readonly memoryWritePolicy: Branch['memory_write_policy'] };
}

/** The store is held by the caller, who tags the result. */
export async function snapshotSession({ mounted, store }: ImagesOnMount, target: Target, options: SnapshotOptions): Promise<Built> {
  const directory = join(mounted.root, target.path);
  const reply = await linkSealed(mounted.root, target.path);
  const history = await historyOf(store, directory, reply);
  const { files, leftOut, image } = await readInstanceFiles(directory);
  const parent = image === undefined ? undefined : await parentOf(store, image);
  const standing = standingOf(await tailOf(join(directory, 'messages.jsonl'), sizeOf(history.stretches.messages)));
  const name = options.as?.name ?? image?.name ?? imageName(target);
  const version = options.as?.tag ?? DEFAULT_TAG;
  const tools = toolsOf(files.get('context/tools.json'));
  const memory = await mountedMemory(mounted, target.session.owner, files.get('context/policy.yaml'));
  const written = await writeSnapshot(store, {
    name,
    version,
    history,
    files,
    parent,
    parentReference: image === undefined ? undefined : `${image.name}:${image.tag}`,
    layer: { name: layerName(parent), role: 'continuation' },
    lastRole: standing.lastRole,
    pendingToolCalls: standing.pendingToolCalls,
    declared: { mounts: { tools, memory } },
    command: options.command,
    ...(options.branch === undefined || parent === undefined ? {} : { branch: branchOf(options.branch, parent, history) }),
  });
  const warnings = leftOut.map((path) => `not in the image: ${JSON.stringify(path).slice(1, -1)}`);
  return { image: written, key: `${name}:${version}`, warnings };
}

/** The digests of what was never sealed are found out by the daemon; of a long history that takes longer than one request may. */
async function linkSealed(root: string, session: string): Promise<ImageLinkReply> {
  await ask(root, { verb: 'seal', session });
  for (let tries = 0; ; tries++) {
    try {
      await ask(root, { verb: 'digest', session });
      return (await ask(root, { verb: 'image.link', session })) as ImageLinkReply;
    } catch (error) {
      const later = error instanceof CtxError && (error.errno === 'ETIMEDOUT' || error.code === 'image.not_digested');
      if (!later || tries >= MOST_TRIES) throw error;
    }
  }
}

async function parentOf(store: ImageStore, { digest }: InstanceOf): Promise<Image | undefined> {
  const size = await store.sizeOf(digest as OciDigest).catch(() => undefined);
  // An image that was removed since is a name in the lineage; its layers are sealed again as they are.
  return size === undefined ? undefined : readImage(store, { digest: digest as OciDigest, size });
}

function branchOf(
  { parent: reference, memoryWritePolicy }: NonNullable<SnapshotOptions['branch']>,
  parent: Image,
  history: SealedHistory,
): Branch {
  const kept = parent.config.layers.slice(0, sharedLayers(parent.config.layers, history.stretches));
  return {
    parent: reference,
    parent_digest: parent.descriptor.digest,
    forked_at: new Date().toISOString(),
    inherited_layers: kept.flatMap(({ parts }) => parts.map(({ digest }) => digest)),
    top_layer: kept.at(-1)?.name ?? null,
    divergence: history.lines,
    memory_write_policy: memoryWritePolicy,
  };
}

function layerName(parent: Image | undefined): string {
  const taken = new Set(parent?.config.layers.map(({ name }) => name));
  for (let n = taken.size; ; n++) if (!taken.has(`continuation-${n}`)) return `continuation-${n}`;
}

function imageName({ session }: Target): string {
  const part = (text: string): string =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'session';
  return `${part(session.agent)}/${part(basename(session.session))}`;
}

/** What the daemon could not link (a part of a file, or a file of someone else's) is read through the mount. */
async function historyOf(store: ImageStore, directory: string, reply: ImageLinkReply): Promise<SealedHistory> {
  const stretches: Record<Stretches, LayerPart[]> = { messages: [], events: [], order: [], inputs: [] };
  const at = { 'messages.jsonl': 0, 'events.jsonl': 0 };
  for (const { journal, bytes, sha256, linked, count } of reply.blobs) {
    const of = journal === 'order' || journal === 'inputs' ? journal : journal === 'messages.jsonl' ? 'messages' : 'events';
    const digest: OciDigest = `sha256:${sha256}`;
    if (journal === 'messages.jsonl' || journal === 'events.jsonl') {
      const start = at[journal];
      at[journal] += bytes;
      if (!linked) await store.put(rangeOf(join(directory, journal), start, bytes), { digest, size: bytes, where: journal });
    }
    stretches[of].push({ mediaType: JOURNAL_MEDIA[of], digest, size: bytes, ...(count === undefined ? {} : { count }) });
  }
  const inputs = reply.inputs.map(({ sha256, bytes }) => ({
    mediaType: MEDIA.input,
    digest: `sha256:${sha256}` as OciDigest,
    size: bytes,
  }));
  return { stretches, inputs, lines: reply.lines, newestMs: reply.newest_ms };
}

async function* rangeOf(path: string, start: number, bytes: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (let done = 0; done < bytes;) {
      const piece = Buffer.allocUnsafe(Math.min(1 << 20, bytes - done));
      const { bytesRead } = await file.read(piece, 0, piece.length, start + done);
      if (bytesRead === 0)
        throw new CtxError('image.source_changed', 'EIO', `ends at byte ${start + done}`, { where: path, next: 'run ctx fsck' });
      done += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Whole lines from the end of what was sealed. */
async function tailOf(path: string, endBytes: number): Promise<Buffer> {
  const start = Math.max(0, endBytes - TAIL_BYTES);
  const pieces: Buffer[] = [];
  for await (const piece of rangeOf(path, start, endBytes - start)) pieces.push(piece);
  const tail = Buffer.concat(pieces);
  return start === 0 ? tail : tail.subarray(tail.indexOf(10) + 1);
}

function sizeOf(parts: readonly LayerPart[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0);
}
