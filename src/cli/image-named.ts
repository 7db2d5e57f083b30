// Verbs that take a session or an image: the image that a name means, or undefined when it is for a session to be.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { findImage, readImage, type Image } from '../image/image.ts';
import type { Descriptor } from '../image/oci.ts';
import { tagKey, tryImageReference } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { imageStoreDirectory, requireImages, sessionNamed, type ImagesOnMount } from './image-store.ts';
import { requireMount } from './mounted.ts';
import type { Shell } from './shell.ts';

export interface NamedEntry extends ImagesOnMount {
  /** As index.json has it; nothing of the image was read. */
  readonly descriptor: Descriptor;
  /** NAME:TAG, or a digest. */
  readonly key: string;
}

export interface NamedImage extends NamedEntry {
  readonly image: Image;
}

/** A name that both have is an error that says how to write either. */
export async function entryNamed(shell: Shell, text: string): Promise<NamedEntry | undefined> {
  const reference = tryImageReference(text);
  if (text.startsWith('session:') || (reference === undefined && !/^(?:image:)?sha256:[0-9a-f]+$/.test(text))) return undefined;
  const mounted = await requireMount(shell);
  // A name that is no image's makes no layout.
  const isThere = (await stat(join(imageStoreDirectory(mounted), 'index.json')).catch(() => undefined)) !== undefined;
  const images = isThere ? await requireImages(shell) : undefined;
  const descriptor = images === undefined ? undefined : await findImage(images.store, text);
  if (images === undefined || descriptor === undefined) {
    if (text.startsWith('image:')) throw unknownImage(text);
    return undefined;
  }
  if (!text.startsWith('image:') && (await sessionNamed(images.mounted, text)) !== undefined)
    throw usageError(`${text} names a session and an image`, `write session:${text} or image:${text}`);
  return { ...images, descriptor, key: reference === undefined || reference.digest !== undefined ? descriptor.digest : tagKey(reference) };
}

export async function imageNamed(shell: Shell, text: string): Promise<NamedImage | undefined> {
  const named = await entryNamed(shell, text);
  return named === undefined ? undefined : { ...named, image: await readImage(named.store, named.descriptor) };
}

/** For verbs that take images only. */
export async function requireNamedImage(shell: Shell, text: string): Promise<NamedImage> {
  const named = await imageNamed(shell, text.startsWith('image:') ? text : `image:${text}`);
  if (named === undefined) throw unknownImage(text);
  return named;
}

function unknownImage(text: string): CtxError {
  return new CtxError('image.unknown', 'ENOENT', 'is no image here', {
    where: text,
    next: 'see: ctx images; or get it with ctx pull or ctx import',
  });
}
