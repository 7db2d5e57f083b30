// ctx fork IMAGE NEW: a branch of an image, and an instance of it to go on in. No layer is written.
import { CtxError } from '../abi/errors.ts';
import { ask } from './control-client.ts';
import { forkImage } from '../image/branch.ts';
import type { Branch } from '../image/config.ts';
import { tagImage, type Image } from '../image/image.ts';
import { DEFAULT_TAG, parseImageReference, tagKey } from '../image/reference.ts';
import { usageError } from './errors.ts';
import type { NamedImage } from './image-named.ts';
import { freeName, startInstance, startUnnamed } from './instance.ts';
import { markInstance } from './instance-files.ts';
import { parseReference, type Target } from './reference.ts';
import { snapshotSession } from './session-snapshot.ts';

export interface ImageForkOptions {
  /** Messages that the branch keeps. */
  readonly at: number | undefined;
  /** AGENT/SESSION of its instance. */
  readonly name: string | undefined;
  readonly memory: Branch['memory_write_policy'];
}

export interface ForkedImage {
  readonly image: Image;
  readonly key: string;
  readonly target: Target;
  readonly elapsedMs: number;
}

export async function forkNamed(named: NamedImage, to: string, options: ImageForkOptions): Promise<ForkedImage> {
  const as = parseImageReference(to);
  const key = tagKey(as);
  if (as.digest !== undefined) throw usageError('a digest names what is there already', 'give NAME[:TAG] of the branch');
  if ((await named.store.resolve(key)) !== undefined)
    throw usageError(`${key} is an image already`, 'choose another name, or remove it with ctx rm');
  const hold = await named.store.hold();
  const started = performance.now();
  try {
    const done =
      options.at === undefined
        ? await forkWhole(named, as.name, as.tag ?? DEFAULT_TAG, options)
        : await forkAt(named, as.name, as.tag ?? DEFAULT_TAG, options, options.at);
    return { ...done, key, elapsedMs: performance.now() - started };
  } finally {
    await hold.release();
  }
}

type Done = Pick<ForkedImage, 'image' | 'target'>;

async function forkWhole(named: NamedImage, name: string, version: string, options: ImageForkOptions): Promise<Done> {
  const forkedAt = new Date().toISOString();
  const image = await forkImage(named.store, named.image, {
    name,
    version,
    parent: named.key,
    forkedAt,
    memoryWritePolicy: options.memory,
  });
  await tagImage(named.store, image, `${name}:${version}`);
  return { image, target: await startInstance(named, image, `${name}:${version}`, options.name) };
}

/** At an earlier message the last stretches are cut: a session does that, and what it then is becomes the branch. */
async function forkAt(named: NamedImage, name: string, version: string, options: ImageForkOptions, at: number): Promise<Done> {
  const { root } = named.mounted;
  const { messages } = named.image.config.continuation;
  if (at > messages)
    throw new CtxError('image.no_such_line', 'EINVAL', `cannot be forked at message ${at}: it has ${messages}`, {
      where: named.key,
      next: 'name one of its messages, or leave --at out',
    });
  const target = options.name === undefined ? await freeName(named, `${name}:${version}`) : parseReference(options.name, named.mounted);
  const whole = await startUnnamed(named, named.image, named.key);
  try {
    await ask(root, { verb: 'fork', from: whole.path, to: target.path, at });
  } finally {
    await ask(root, { verb: 'rm', session: whole.path, force: true });
  }
  const built = await snapshotSession(named, target, {
    as: parseImageReference(`${name}:${version}`),
    command: 'ctx fork',
    branch: { parent: named.key, memoryWritePolicy: options.memory },
  });
  await tagImage(named.store, built.image, built.key);
  await markInstance(root, target.path, built);
  return { image: built.image, target };
}
