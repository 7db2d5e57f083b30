// Sessions that came from an image, as `ctx gc` and `ctx rm` must know them: their meta.json names its digest.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { sessions } from './ls.ts';
import type { Mounted } from './mounted.ts';

export interface ImageInstance {
  /** AGENT/SESSION */
  readonly reference: string;
  /** Below the mount. */
  readonly path: string;
  readonly digest: string;
}

/** One small read a session. */
export async function imageInstances(mounted: Mounted): Promise<readonly ImageInstance[]> {
  const rows = await sessions(mounted);
  const found: ImageInstance[] = [];
  // A few at a time: a thousand open files at once would be a thousand descriptors.
  for (let at = 0; at < rows.length; at += 32) {
    const some = rows.slice(at, at + 32);
    const digests = await Promise.all(some.map(({ path }) => digestOf(join(mounted.root, path, 'meta.json'))));
    some.forEach(({ reference, path }, index) => {
      const digest = digests[index];
      if (digest !== undefined) found.push({ reference, path, digest });
    });
  }
  return found;
}

/** A session that goes away meanwhile has none. Whatever else cannot be read is an error: nothing is removed on a guess. */
async function digestOf(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'EACCES') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const meta = JSON.parse(await file.readFile('utf8')) as { readonly image?: { readonly digest?: unknown } };
    return typeof meta.image?.digest === 'string' ? meta.image.digest : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    await file.close();
  }
}
