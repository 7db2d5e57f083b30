// Verbs that take a session or an image: the image that a name means, or undefined when it is for a session to be.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { findImage, keyOf, readImage, type Image } from '../image/image.ts';
import { REF_NAME } from '../image/layout-store.ts';
import type { Descriptor } from '../image/oci.ts';
import { tryImageReference } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { imageStoreDirectory, requireImages, sessionNamed, type ImagesOnMount } from './image-store.ts';
import { requireMount, requireSession } from './mounted.ts';
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
    if (text.startsWith('image:')) throw await unknownImage(shell, text);
    return undefined;
  }
  if (!text.startsWith('image:') && (await sessionNamed(images.mounted, text)) !== undefined)
    throw usageError(`${text} names a session and an image`, `write session:${text} or image:${text}`);
  return { ...images, descriptor, key: keyOf(descriptor, text) };
}

export async function imageNamed(shell: Shell, text: string): Promise<NamedImage | undefined> {
  const named = await entryNamed(shell, text);
  return named === undefined ? undefined : { ...named, image: await readImage(named.store, named.descriptor) };
}

/** For verbs that take images only. */
export async function requireNamedImage(shell: Shell, text: string): Promise<NamedImage> {
  const named = await imageNamed(shell, text.startsWith('image:') ? text : `image:${text}`);
  if (named === undefined) throw await unknownImage(shell, text);
  return named;
}

/** For verbs that take either, once it is no image. */
export async function requireSessionNamed(shell: Shell, text: string): Promise<Awaited<ReturnType<typeof requireSession>>> {
  try {
    return await requireSession(shell, text);
  } catch (error) {
    const isUnknown = error instanceof CtxError && (error.code === 'cli.reference' || error.code === 'cli.no_session');
    if (!isUnknown || text.startsWith('session:') || tryImageReference(text) === undefined) throw error;
    const tags = await tagsOf(shell, text);
    if (tags.length === 0 && error.code === 'cli.no_session') throw error;
    if (tags.length > 0) throw await unknownImage(shell, text);
    throw new CtxError('cli.no_such_name', 'ENOENT', 'names neither a session nor an image here', {
      where: text,
      next: 'see: ctx ls, ctx images',
    });
  }
}

/** Of verbs that take either: what only the other can have is no option that is silently dropped. */
export function refuseForSessions(text: string, options: Readonly<Record<string, boolean>>): void {
  const given = Object.keys(options).find((name) => options[name] === true);
  if (given !== undefined)
    throw usageError(`${given} is for images, and ${text} is a session`, 'leave it out, or make an image: ctx build');
}

async function unknownImage(shell: Shell, text: string): Promise<CtxError> {
  const tags = await tagsOf(shell, text);
  const name = tryImageReference(text)?.name ?? text;
  const shown = `${tags.slice(0, 5).join(', ')}${tags.length > 5 ? ', …' : ''}`;
  return new CtxError('image.unknown', 'ENOENT', tags.length === 0 ? 'is no image here' : `is no image here; ${name} has ${shown}`, {
    where: text.replace(/^image:/, ''),
    next: tags.length === 0 ? 'see: ctx images; or get it with ctx pull or ctx import' : `write ${name}:${tags[0]}`,
  });
}

/** Tags that an image of that name has here. */
async function tagsOf(shell: Shell, text: string): Promise<readonly string[]> {
  const name = tryImageReference(text)?.name;
  const mounted = await requireMount(shell);
  if (name === undefined || (await stat(join(imageStoreDirectory(mounted), 'index.json')).catch(() => undefined)) === undefined) return [];
  const entries = await (await requireImages(shell)).store.entries();
  return entries.flatMap(({ annotations }) => {
    const key = annotations?.[REF_NAME];
    return key?.startsWith(`${name}:`) === true ? [key.slice(name.length + 1)] : [];
  });
}
