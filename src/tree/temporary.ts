// Temporary names beside the fixed ones: what editors, sed -i and write-then-rename make. Not listed; they expire.
import * as fs from 'node:fs';
import { OrdinaryArea, OrdinaryNode } from './ordinary.ts';
import type { PathParent } from './ordinary.ts';
import { bytePath, native } from './backing.ts';
import { DEFAULT_MAX_LINE_BYTES } from '../abi/session-files.ts';
import { fail, S_IFDIR } from './types.ts';

const EXPIRES_MS = 24 * 3600 * 1000;

/** The hidden backing directory of one directory's temporary names, made when first needed. */
export class TemporaryNames {
  readonly #path: string;
  #node: OrdinaryNode | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** The directory as an ordinary one; undefined when there is none and `make` is false. */
  directory(make: boolean): OrdinaryNode | undefined {
    if (this.#node !== undefined) return this.#node;
    if (fs.existsSync(this.#path)) this.#sweep();
    else if (make) fs.mkdirSync(this.#path, { recursive: true, mode: 0o755 });
    else return undefined;
    return (this.#node = new OrdinaryNode(new OrdinaryArea(), '', S_IFDIR, new Root(bytePath(this.#path)), '.'));
  }

  /**
   * Bytes of a temporary file, for a rename over a fixed name. A regular file only: a symbolic link would be read with the
   * daemon's rights, not with its maker's.
   */
  read(name: string): Buffer {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const path = native(`${bytePath(this.#path)}/${name}`);
    if (fs.lstatSync(path).isSymbolicLink()) throw fail('EPERM', 'a symbolic link cannot take this name');
    const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const stat = fs.fstatSync(fd);
      if (!stat.isFile()) throw fail('EPERM', 'only a regular file can take this name');
      if (stat.size > DEFAULT_MAX_LINE_BYTES) throw fail('EFBIG', 'longer than one event may be');
      return fs.readFileSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  #sweep(): void {
    const now = Date.now();
    for (const name of fs.readdirSync(this.#path)) {
      const stat = fs.lstatSync(`${this.#path}/${name}`, { throwIfNoEntry: false });
      if (stat !== undefined && now - stat.mtimeMs > EXPIRES_MS) fs.rmSync(`${this.#path}/${name}`, { recursive: true, force: true });
    }
  }
}

class Root implements PathParent {
  readonly #path: string;
  constructor(path: string) {
    this.#path = path;
  }
  path(): string {
    return this.#path;
  }
  changed(): void {}
}
