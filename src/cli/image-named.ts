// Verbs that take a session or an image: the image that a name means, or undefined when it is for a session to be.
import { CtxError } from '../abi/errors.ts';
import { findImage, readImage, type Image } from '../image/image.ts';
import type { Descriptor } from '../image/oci.ts';
import { tagKey, tryImageReference } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { requireImages, resolveName, type ImagesOnMount } from './image-store.ts';
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
  const images = await requireImages(shell);
  const descriptor = await findImage(images.store, text);
  if (descriptor === undefined) {
    if (text.startsWith('image:')) throw unknownImage(text);
    return undefined;
  }
  if (!text.startsWith('image:') && (await isSession(shell, text)))
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

async function isSession(shell: Shell, text: string): Promise<boolean> {
  try {
    await resolveName(shell, `session:${text}`);
    return true;
  } catch (error) {
    if (error instanceof CtxError && error.code === 'cli.no_such_name') return false;
    throw error;
  }
}
