// A session that is started from an image: its history is the image's, by link; its files are written through the mount.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { ImageStartReply, ImageStartRequest } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import { isObjectName, sessionRelativePath } from '../abi/names.ts';
import { readCompiled } from '../image/compiled.ts';
import { requireTrust, trustedCompiled } from '../image/trust.ts';
import { readLayerFile } from '../image/file-part.ts';
import type { Image } from '../image/image.ts';
import { joinFiles, stretchesOf, type Stretches } from '../image/layers.ts';
import { hexOfDigest } from '../image/oci.ts';
import { inParallel } from '../image/parallel.ts';
import { inputParts, isOfInstance } from '../image/snapshot.ts';
import { ask } from './control-client.ts';
import type { ImagesOnMount } from './image-store.ts';
import { requireSource } from './image-judged.ts';
import { policyWith } from './image-memory.ts';
import { instanceOf, writeInstanceFiles, type InstanceOf } from './instance-files.ts';
import { sessions } from './ls.ts';
import { parseReference, referenceOf, type Target } from './reference.ts';

/** Files that are read side by side: each waits for the mount. */
const AT_ONCE = 8;
const JOURNAL_OF = { messages: 'messages.jsonl', events: 'events.jsonl', order: 'order', inputs: 'inputs' } as const;

/** `as`: AGENT/SESSION; without it the image's last name and its tag, and a number when that is taken. */
export async function startInstance(images: ImagesOnMount, image: Image, key: string, as: string | undefined): Promise<Target> {
  for (;;) {
    const target = as === undefined ? await freeName(images, key) : parseReference(as, images.mounted);
    let starting: Target | undefined;
    try {
      starting = await startUnnamed(images, image, key, target.path);
      await ask(images.mounted.root, { verb: 'image.ready', session: starting.path, as: target.path });
    } catch (error) {
      if (starting !== undefined)
        await ask(images.mounted.root, { verb: 'rm', session: starting.path, force: true }).catch(() => undefined);
      // Another took the name that was free.
      if (as === undefined && error instanceof CtxError && error.code === 'fork.exists') continue;
      throw error;
    }
    await adoptCompiled(images, image, target);
    return target;
  }
}

/** An instance that has no name yet, and is listed nowhere (IMG-110). Who asks for it gives it one, or removes it; else gc does. */
export async function startUnnamed({ mounted, store }: ImagesOnMount, image: Image, key: string, as?: string): Promise<Target> {
  const { config, descriptor } = image;
  await requireTrust(store, descriptor, key);
  requireSource(config, key);
  const request: ImageStartRequest = {
    verb: 'image.start',
    ...(as === undefined ? {} : { session: as }),
    blobs: (Object.keys(JOURNAL_OF) as Stretches[]).flatMap((of) =>
      stretchesOf(config.layers, of).map(({ digest, size, count }) => ({
        journal: JOURNAL_OF[of],
        sha256: hexOfDigest(digest),
        bytes: size,
        ...(count === undefined ? {} : { count }),
      })),
    ),
    inputs: inputParts(config.layers).map(({ digest, size }) => ({ sha256: hexOfDigest(digest), bytes: size })),
  };
  // In the order of their names: they are written, and recorded, in it.
  const files = new Map<string, Buffer>();
  const wanted = [...joinFiles(config.layers)].filter(([path]) => isOfInstance(path));
  for (const [path] of wanted) files.set(path, Buffer.alloc(0));
  await inParallel(wanted, AT_ONCE, async ([path, file]) => void files.set(path, await readLayerFile(store, config.layers, file)));
  const policy = policyWith(files.get('context/policy.yaml'), config.mounts.memory);
  if (policy !== undefined) files.set('context/policy.yaml', policy);
  const { session } = (await ask(mounted.root, request)) as ImageStartReply;
  const [name, tag] = splitKey(key, config.version);
  const { messages, events } = config.continuation;
  const of: InstanceOf = {
    name,
    tag,
    digest: descriptor.digest,
    layers: config.layers.map((layer) => layer.name),
    divergence: { messages, events },
  };
  try {
    await writeInstanceFiles(join(mounted.root, session), files, of);
  } catch (error) {
    await ask(mounted.root, { verb: 'rm', session, force: true }).catch(() => undefined);
    throw error;
  }
  return parseReference(session, mounted);
}

/** Compiled state of the image, made here or signed by a trusted key; without it the first pack is compiled from source. */
async function adoptCompiled({ mounted, store }: ImagesOnMount, image: Image, target: Target): Promise<void> {
  for (const entry of [...(await trustedCompiled(store, image.descriptor))].reverse()) {
    try {
      const compiled = await readCompiled(store, entry);
      if (compiled === undefined) continue;
      const blobs = [compiled.state, compiled.tokens].map(({ digest, size }) => ({ sha256: hexOfDigest(digest), bytes: size }));
      await ask(mounted.root, { verb: 'image.adopt', session: target.path, fingerprint: compiled.config.fingerprint, blobs });
      return;
    } catch {
      // No engine, another user's mount, or state that is gone or damaged: the source is compiled.
    }
  }
}

function splitKey(key: string, version: string): readonly [string, string] {
  const colon = key.lastIndexOf(':');
  return key.startsWith('sha256:') || colon < 0 ? [key, version] : [key.slice(0, colon), key.slice(colon + 1)];
}

/** AGENT/SESSION by the name of an image, with a number where that is taken. */
export async function freeName({ mounted }: Pick<ImagesOnMount, 'mounted'>, key: string): Promise<Target> {
  const [name, tag] = splitKey(key, 'latest');
  const agent = objectName(name.split('/').at(-1) as string, 'image');
  const session = objectName(tag, 'latest');
  for (let n = 1; ; n++) {
    const own = { owner: { home: mounted.uid }, agent, session: n === 1 ? session : `${session.slice(0, 56)}-${n}` } as const;
    const path = sessionRelativePath(own);
    if ((await stat(join(mounted.root, path)).catch(() => undefined)) === undefined) return { session: own, path, rest: '' };
  }
}

function objectName(text: string, otherwise: string): string {
  const name = text
    .replace(/[^a-zA-Z0-9._+-]/g, '-')
    .replace(/^[^a-zA-Z0-9]+/, '')
    .slice(0, 60)
    .replace(/\.(?:sock|d)$/, '');
  return isObjectName(name) ? name : otherwise;
}

export interface Instance {
  readonly reference: string;
  readonly path: string;
  readonly state: string;
  readonly updatedMs: number;
  readonly image: InstanceOf;
}

/** Sessions that came from an image, newest first. One small read a session. */
export async function instances({ mounted }: Pick<ImagesOnMount, 'mounted'>): Promise<readonly Instance[]> {
  const rows = await sessions(mounted);
  const found: Instance[] = [];
  // A few at a time: a thousand open files at once would be a thousand descriptors.
  for (let at = 0; at < rows.length; at += 32) {
    const some = rows.slice(at, at + 32);
    const images = await Promise.all(some.map(({ path }) => instanceOf(join(mounted.root, path))));
    some.forEach(({ reference, path, state, updatedMs }, index) => {
      const image = images[index];
      if (image !== undefined) found.push({ reference, path, state, updatedMs, image });
    });
  }
  return found;
}

/** The one instance of an image's name, for verbs that name the image instead of the session. */
export async function onlyInstance(images: ImagesOnMount, name: string): Promise<Instance> {
  const found = (await instances(images)).filter(({ image }) => image.name === name);
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  if (first === undefined)
    throw new CtxError('image.no_instance', 'ENOENT', 'has no instance', {
      where: name,
      next: `start one with ctx run ${name}, or name a session`,
    });
  throw new CtxError(
    'image.many_instances',
    'EINVAL',
    `has ${found.length} instances: ${found
      .map(({ reference }) => reference)
      .slice(0, 5)
      .join(', ')}`,
    {
      where: name,
      next: `name the session: ctx commit ${first.reference} ${name}:TAG`,
    },
  );
}

export function referenceOfTarget(target: Target, uid: number): string {
  return referenceOf(target.session, uid);
}
