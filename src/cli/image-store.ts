// Where images are on the mount, and which of the two a name names: a session or an image.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { findImage, keyOf, readImage, type Image } from '../image/image.ts';
import { ImageStore } from '../image/layout-store.ts';
import { usageError } from './errors.ts';
import { requireMount, type Mounted } from './mounted.ts';
import { parseReference, type Target } from './reference.ts';
import type { Shell } from './shell.ts';

/** The OCI layout of this user. */
export function imageStoreDirectory(mounted: Mounted): string {
  return join(mounted.root, `home/${mounted.uid}/image/.store`);
}

export interface ImagesOnMount {
  readonly mounted: Mounted;
  readonly store: ImageStore;
}

export async function requireImages(shell: Shell): Promise<ImagesOnMount> {
  const mounted = await requireMount(shell);
  return { mounted, store: await ImageStore.open(imageStoreDirectory(mounted)) };
}

/** Whether the name is that of an image here; makes no store where there is none. */
export async function hasImages(shell: Shell, text: string): Promise<boolean> {
  const mounted = await requireMount(shell);
  if ((await stat(join(imageStoreDirectory(mounted), 'index.json')).catch(() => undefined)) === undefined) return false;
  return (await findImage((await requireImages(shell)).store, text)) !== undefined;
}

export type Named =
  | { readonly kind: 'session'; readonly target: Target; readonly directory: string }
  | { readonly kind: 'image'; readonly image: Image; readonly key: string };

/** REF: a bare name is looked up in both; where both have it, the prefix must say which. */
export async function resolveName(shell: Shell, text: string): Promise<Named & ImagesOnMount> {
  const images = await requireImages(shell);
  const session = text.startsWith('image:') ? undefined : await sessionNamed(images.mounted, text);
  const found = text.startsWith('session:') ? undefined : await findImage(images.store, text);
  if (session !== undefined && found !== undefined && !text.startsWith('session:'))
    throw usageError(`${text} names a session and an image`, `write session:${text} or image:${text}`);
  if (session !== undefined) return { kind: 'session', ...session, ...images };
  if (found !== undefined) {
    return { kind: 'image', image: await readImage(images.store, found), key: keyOf(found, text), ...images };
  }
  throw new CtxError('cli.no_such_name', 'ENOENT', 'names neither a session nor an image here', {
    where: text,
    next: 'see: ctx ls, ctx images',
  });
}

export async function sessionNamed(
  mounted: Mounted,
  text: string,
): Promise<{ readonly target: Target; readonly directory: string } | undefined> {
  let target: Target;
  try {
    target = parseReference(text, mounted);
  } catch {
    return undefined;
  }
  const directory = join(mounted.root, target.path);
  return (await stat(directory).catch(() => undefined)) === undefined ? undefined : { target, directory };
}
