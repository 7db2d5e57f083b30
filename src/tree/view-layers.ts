// What a view of a volume is made of (IMG-90): the volume below, never changed, and, where it is ephemeral, files of its own above:
// `files/` what the view has written, `gone/` a file for each name of the volume that it has removed. Relative byte paths.
// Looked at anew each time, every directory on the way: whoever may write to the volume may put a symbolic link there. All changes
// made through the mount are made on this thread, so nothing moves between a look and what is done after it.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { lstatBytes, native } from './backing.ts';
import { getXattr, listXattr, setXattr } from './libc.ts';
import { direntType } from './ordinary.ts';
import { fail, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from './types.ts';

/** About 50 ms of the serving thread; a larger file is shared by reflink, or cannot be written to. */
const MOST_COPIED_BYTES = 64 * 1024 * 1024;

export interface Found {
  /** As the view shows it. */
  readonly upper: fs.BigIntStats | undefined;
  readonly lower: fs.BigIntStats | undefined;
  /** The volume has the name, be it behind one of `upper`: were that removed, it would be seen again. */
  readonly beneath: boolean;
}

const NONE: Found = { upper: undefined, lower: undefined, beneath: false };

export class ViewLayers {
  readonly #store: string;
  readonly #volume: readonly string[];
  readonly #upper: string | undefined;

  /** `volume`: below the store, `home/0/wiki`. `upper`: where an ephemeral view keeps what is its own; absent: read-only. */
  constructor(store: string, volume: string, upper?: string) {
    this.#store = store;
    this.#volume = volume.split('/');
    this.#upper = upper;
  }

  get writable(): boolean {
    return this.#upper !== undefined;
  }
  lowerPath(relative: string): string {
    return below(`${this.#store}/${this.#volume.join('/')}`, relative);
  }
  upperPath(relative: string): string {
    return below(`${this.#upper}/files`, relative);
  }
  #gonePath(relative: string): string {
    return below(`${this.#upper}/gone`, relative);
  }

  /** Costs two or three looks for each name on the way. */
  find(relative: string): Found {
    let found = this.#root();
    if (relative === '') return found;
    const parts = relative.split('/');
    for (let count = 1; count <= parts.length; count += 1) {
      if (!isDirectory(found.upper) && !isDirectory(found.lower)) return NONE;
      found = this.#step(found, parts.slice(0, count).join('/'));
    }
    return found;
  }

  #root(): Found {
    let at = this.#store;
    let lower: fs.BigIntStats | undefined;
    for (const part of this.#volume) {
      at += `/${part}`;
      lower = lstatBytes(at);
      if (!isDirectory(lower)) return NONE;
    }
    const upper = this.#upper === undefined ? undefined : lstatBytes(this.upperPath(''));
    return { upper: isDirectory(upper) ? upper : undefined, lower, beneath: true };
  }

  #step(parent: Found, relative: string): Found {
    const there = isDirectory(parent.lower) && !this.isGone(relative) ? lstatBytes(this.lowerPath(relative)) : undefined;
    const upper = isDirectory(parent.upper) ? lstatBytes(this.upperPath(relative)) : undefined;
    // Two directories are seen as one; else the upper one alone.
    const lower = upper === undefined || (isDirectory(upper) && isDirectory(there)) ? there : undefined;
    return { upper, lower, beneath: there !== undefined };
  }

  isGone(relative: string): boolean {
    return this.#upper !== undefined && kindOf(lstatBytes(this.#gonePath(relative))) === S_IFREG;
  }

  /** Names of a directory with the kinds of their files. */
  names(relative: string): ReadonlyMap<string, number> {
    const names = new Map<string, number>();
    const { upper, lower } = this.find(relative);
    const read = (path: string): readonly fs.Dirent[] => fs.readdirSync(native(path), { withFileTypes: true, encoding: 'latin1' });
    if (isDirectory(lower))
      for (const entry of read(this.lowerPath(relative)))
        if (!this.isGone(join(relative, entry.name))) names.set(entry.name, direntType(entry));
    if (isDirectory(upper)) for (const entry of read(this.upperPath(relative))) names.set(entry.name, direntType(entry));
    return names;
  }

  /** The name is the view's own from here on, with what the volume has under it now. Gives its path. */
  raise(relative: string): string {
    const to = this.upperPath(relative);
    const { upper, lower } = this.find(relative);
    if (upper !== undefined) return to;
    if (lower === undefined) throw fail('ESTALE', 'the file is gone');
    if (relative === '') for (const part of ['files', 'gone']) fs.mkdirSync(native(`${this.#upper}/${part}`), { recursive: true });
    else this.raise(parentOf(relative));
    if (isDirectory(lower)) {
      if (relative !== '') fs.mkdirSync(native(to));
      dress(to, lower);
    } else this.#copy(this.lowerPath(relative), to, lower);
    return to;
  }

  #copy(from: string, to: string, stat: fs.BigIntStats): void {
    if (kindOf(stat) === S_IFLNK) {
      fs.symlinkSync(native(fs.readlinkSync(native(from), 'latin1')), native(to));
      if (process.getuid?.() === 0) fs.lchownSync(native(to), Number(stat.uid), Number(stat.gid));
      return;
    }
    if (kindOf(stat) !== S_IFREG) throw fail('EPERM', 'an ephemeral mount copies files, directories and symbolic links');
    const large = stat.size > MOST_COPIED_BYTES;
    const aside = `${this.#upper}/copy`;
    try {
      fs.copyFileSync(native(from), native(aside), large ? constants.COPYFILE_FICLONE_FORCE : constants.COPYFILE_FICLONE);
      copyXattrs(from, aside);
      dress(aside, stat);
      fs.utimesSync(native(aside), Number(stat.atimeMs) / 1000, Number(stat.mtimeMs) / 1000);
      // By rename: what is cut off half-way is no file of the view.
      fs.renameSync(native(aside), native(to));
    } catch (error) {
      fs.rmSync(native(aside), { force: true });
      if (large) throw fail('EFBIG', `a file of an ephemeral mount above ${MOST_COPIED_BYTES} bytes can only be read, removed or replaced`);
      throw error;
    }
  }

  /** What the volume has under the name, now or later, is seen no more. */
  markGone(relative: string): void {
    this.raise('');
    const path = this.#gonePath(relative);
    fs.rmSync(native(path), { recursive: true, force: true });
    fs.mkdirSync(native(dirname(path)), { recursive: true });
    fs.writeFileSync(native(path), '');
  }
}

export function join(relative: string, name: string): string {
  return relative === '' ? name : `${relative}/${name}`;
}

export function isDirectory(stat: fs.BigIntStats | undefined): boolean {
  return kindOf(stat) === S_IFDIR;
}

function kindOf(stat: fs.BigIntStats | undefined): number | undefined {
  return stat === undefined ? undefined : Number(stat.mode) & S_IFMT;
}

function below(root: string, relative: string): string {
  return relative === '' ? root : `${root}/${relative}`;
}

function parentOf(relative: string): string {
  return relative.includes('/') ? relative.slice(0, relative.lastIndexOf('/')) : '';
}

function dress(path: string, { uid, gid, mode }: fs.BigIntStats): void {
  if (process.getuid?.() === 0) fs.lchownSync(native(path), Number(uid), Number(gid));
  fs.chmodSync(native(path), Number(mode) & 0o7777);
}

function copyXattrs(from: string, to: string): void {
  const [source, target] = [native(from), native(to)];
  for (const name of listXattr(source)) if (name.startsWith('user.')) setXattr(target, name, getXattr(source, name), 0);
}
