// Reads of files in a wiki that others change meanwhile: never through a symbolic link, never waiting, never without bound.
import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** WIK-5: a file above this is named in a finding and not read. */
export const MAX_FILE_BYTES: number = 32 << 20;

export interface InsideOptions {
  /** Permission bits that each directory and file must have to be read: what the daemon says of a wiki, its readers can read. */
  readonly bits?: number;
}

/** Its whole bytes. Fails with the code of the system call, `ELOOP` for what lies behind a link, `EFBIG` above {@link MAX_FILE_BYTES}. */
export function readInside(root: string, path: string, options: InsideOptions = {}): Buffer {
  for (let tries = 1; ; tries += 1) {
    try {
      return readOnce(root, path, options);
    } catch (error) {
      // Replaced between the open and the look: an editor's rename, which is over by now.
      if ((error as NodeJS.ErrnoException).code !== 'ELOOP' || tries === TRIES) throw error;
    }
  }
}

const TRIES = 5;

function readOnce(root: string, path: string, { bits = 0 }: InsideOptions): Buffer {
  const place = join(root, path);
  // A FIFO must not hold the reader up.
  const file = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw refusal('EINVAL', 'no regular file');
    // Where the open file really lies: a directory on the way may have been replaced by a link a moment ago.
    if (process.platform === 'linux' && !readlinkSync(`/proc/self/fd/${file}`, 'buffer').equals(realPlace(place)))
      throw refusal('ELOOP', 'lies behind a symbolic link, or was replaced');
    if ((stat.mode & bits) !== bits || !openTo(root, dirname(place), bits)) throw refusal('EACCES', 'not for every reader of this wiki');
    if (stat.size > MAX_FILE_BYTES) throw refusal('EFBIG', `larger than ${MAX_FILE_BYTES} bytes`);
    return readAll(file, stat.size);
  } finally {
    closeSync(file);
  }
}

/**
 * `/proc/self/fd/N` at the start of a path: an open directory, for a process that may not walk to it by its name (MEM-2).
 * Undefined for every other path.
 */
export function heldDirectory(path: string): string | undefined {
  return /^\/proc\/self\/fd\/\d+(?=\/|$)/.exec(path)?.[0];
}

function realPlace(place: string): Buffer {
  const held = heldDirectory(place);
  return held === undefined ? Buffer.from(place) : Buffer.concat([readlinkSync(held, 'buffer'), Buffer.from(place.slice(held.length))]);
}

/** A file that grows while it is read gives what it had. */
function readAll(file: number, sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const count = readSync(file, bytes, done, sizeBytes - done, done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

function openTo(root: string, directory: string, bits: number): boolean {
  if (bits === 0) return true;
  for (let at = directory; at.length > root.length; at = dirname(at)) if ((lstatSync(at).mode & bits) !== bits) return false;
  return true;
}

function refusal(code: string, what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(what), { code });
}
