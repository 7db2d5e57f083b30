// Writes of files in a wiki that others write too: whole, for exactly the text that was read, or not at all.
import {
  appendFileSync,
  closeSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { digestOf, type Digest } from '../abi/digest.ts';

let counter = 0;

/**
 * Replaces a file by a rename, when it still has the text of `base` (undefined: when there is none).
 * Returns false, and writes nothing, when somebody else was first.
 */
export function replaceFile(root: string, path: string, text: string | Uint8Array, base: Digest | undefined): boolean {
  const place = placeInside(root, path);
  if (currentDigest(place) !== base) return false;
  mkdirSync(dirname(place), { recursive: true });
  const temporary = join(dirname(place), `.${process.pid}-${(counter += 1)}.tmp`);
  const old = base === undefined ? undefined : statSync(place);
  const mode = old === undefined ? 0o644 : old.mode & 0o7777;
  try {
    const file = openSync(temporary, 'wx', mode);
    try {
      // The daemon writes for the owner of the file.
      if (old !== undefined && process.getuid?.() === 0) fchownSync(file, old.uid, old.gid);
      writeAll(file, typeof text === 'string' ? Buffer.from(text) : text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    // Looked at again as late as can be: an edit since the fix was made wins.
    if (currentDigest(place) !== base) return false;
    renameSync(temporary, place);
    return true;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

export function appendToFile(root: string, path: string, text: string): void {
  const place = placeInside(root, path);
  mkdirSync(dirname(place), { recursive: true });
  appendFileSync(place, text);
}

/** WIK-6: a link in a wiki that came from elsewhere never leads a write out of it. Fails with `wiki.symlink`. */
export function placeInside(root: string, path: string): string {
  let place = root;
  for (const part of path.split('/')) {
    place = join(place, part);
    if (part === '..' || lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink() === true)
      throw new CtxError('wiki.symlink', 'ELOOP', 'leads through a symbolic link, which is not followed', {
        where: path,
        next: 'replace the link by a file',
      });
  }
  return place;
}

function currentDigest(place: string): Digest | undefined {
  try {
    return digestOf(readFileSync(place));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
