// The image side of ctx run and ctx resume: an instance is started (or, to resume, the newest one taken), then talked with.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { findImage, readImage, type Image } from '../image/image.ts';
import { tagKey, tryImageReference } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { imageStoreDirectory, requireImages, type ImagesOnMount } from './image-store.ts';
import { instances, referenceOfTarget, startInstance } from './instance.ts';
import { requireMount } from './mounted.ts';
import { parseReference, type Target } from './reference.ts';
import { sessionNamed } from './image-store.ts';
import type { Shell } from './shell.ts';

export interface NamedImage extends ImagesOnMount {
  readonly image: Image;
  /** NAME:TAG, or a digest. */
  readonly key: string;
}

/** Undefined when the text names no image; then it is for a session to be. */
export async function imageNamed(shell: Shell, text: string): Promise<NamedImage | undefined> {
  if (text.startsWith('session:')) return undefined;
  const reference = tryImageReference(text);
  if (reference === undefined && !/^(?:image:)?sha256:/.test(text)) return undefined;
  const mounted = await requireMount(shell);
  // A name that is no image's makes no layout.
  if ((await stat(join(imageStoreDirectory(mounted), 'index.json')).catch(() => undefined)) === undefined) return undefined;
  const images = await requireImages(shell);
  const found = await findImage(images.store, text);
  if (found === undefined) return undefined;
  if (!text.startsWith('image:') && (await sessionNamed(images.mounted, text)) !== undefined)
    throw usageError(`${text} names a session and an image`, `write session:${text} or image:${text}`);
  return { ...images, image: await readImage(images.store, found), key: reference === undefined ? found.digest : tagKey(reference) };
}

/** `name`: AGENT/SESSION of a new instance. */
export async function instanceFor(named: NamedImage, name: string | undefined, resume: boolean): Promise<Target> {
  if (resume && name === undefined) {
    const [newest] = (await instances(named)).filter(({ image }) => image.digest === named.image.descriptor.digest);
    if (newest !== undefined) return parseReference(newest.path, named.mounted);
  }
  return startInstance(named, named.image, named.key, name);
}

export function shownInstance(
  { mounted, key }: NamedImage,
  target: Target,
): { readonly instance: string; readonly image: string; readonly directory: string } {
  return { instance: referenceOfTarget(target, mounted.uid), image: key, directory: `${mounted.root}/${target.path}` };
}
