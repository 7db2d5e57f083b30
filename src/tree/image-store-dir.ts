// `home/<uid>/image/.store`: the OCI layout, ordinary files with three rules. Nothing but regular files under the names of a layout;
// a blob is made by renaming a whole file to it, and is never written to again; nothing enters or leaves by link or rename.
// A directory in tmp/ is a stage: a layout of its own, whose blobs become the store's by rename once they are checked.
import { constants } from 'node:fs';
import type { DeriverClient } from './deriver-client.ts';
import { lstatOrFail, restoreDirectory } from './backing.ts';
import { OrdinaryArea, OrdinaryNode, type PathParent } from './ordinary.ts';
import { fail, S_IFDIR, S_IFMT, S_IFREG, type TreeNode } from './types.ts';
import type { Attr, AttrChange, Caller, Created, Handle } from './types.ts';

const BLOB = /^[0-9a-f]{64}$/;
const FILES: ReadonlySet<string> = new Set(['oci-layout', 'index.json', 'index.lock', 'gc.lock']);
const DIRECTORIES = ['blobs', 'blobs/sha256', 'tmp'] as const;

type Place = 'top' | 'blobs' | 'sha256' | 'tmp' | 'file';

/** The root of a layout; makes the directories that belong there. `backing`: `<store>/home/<uid>/image/.store`. */
export function imageStoreNode(parent: PathParent, backing: string, deriver: Pick<DeriverClient, 'fsync'>): OrdinaryNode {
  restoreDirectory(backing);
  for (const name of DIRECTORIES) restoreDirectory(`${backing}/${name}`);
  return new LayoutArea(deriver).nodeAt(parent, '.store', lstatOrFail(backing));
}

class LayoutArea extends OrdinaryArea {
  protected override make(key: string, type: number, parent: PathParent, name: string): OrdinaryNode {
    return new LayoutNode(this, key, type, parent, name);
  }
}

class LayoutNode extends OrdinaryNode {
  readonly #place: Place;
  /** In a stage, or one. */
  readonly #staged: boolean;

  constructor(area: OrdinaryArea, key: string, type: number, parent: PathParent, name: string) {
    super(area, key, type, parent, name);
    this.#place = placeOf(parent, name, type);
    this.#staged = parent instanceof LayoutNode && (parent.#staged || parent.place === 'tmp');
  }

  get place(): Place {
    return this.#place;
  }

  /** A file may be in two places: renamed from tmp/ to its digest. */
  #isBlob(): boolean {
    return this.aliases.some(({ parent }) => parent instanceof LayoutNode && parent.place === 'sha256');
  }

  override create(name: string, mode: number, flags: number, caller: Caller): Created {
    if (this.place === 'sha256') {
      if ((flags & constants.O_EXCL) === 0 && (flags & 3) === constants.O_RDONLY)
        return super.create(name, mode, flags & ~constants.O_TRUNC, caller);
      throw fail('EPERM', 'a blob is made under tmp/ and renamed to its digest');
    }
    this.#mayHold(name);
    return super.create(name, mode, flags, caller);
  }
  override mknod(name: string, mode: number, rdev: number, caller: Caller): TreeNode {
    if ((mode & S_IFMT) !== S_IFREG && (mode & S_IFMT) !== 0) throw fail('EPERM', 'an image layout holds regular files');
    if (this.place === 'sha256') throw fail('EPERM', 'a blob is made under tmp/ and renamed to its digest');
    this.#mayHold(name);
    return super.mknod(name, mode, rdev, caller);
  }
  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    if (this.place === 'tmp' && !this.#staged) {
      const stage = super.mkdir(name, mode, caller) as LayoutNode;
      for (const inside of DIRECTORIES) restoreDirectory(`${stage.path()}/${inside}`);
      return stage;
    }
    // What makes a layout finds its directories there.
    if (this.place === 'top' && ['blobs', 'tmp'].includes(name)) throw fail('EEXIST', 'exists');
    throw fail('EPERM', 'an image layout has no other directories');
  }
  override rmdir(name: string): void {
    if (!this.#staged && this.place !== 'tmp') throw fail('EPERM', 'a directory of an image layout stays');
    super.rmdir(name);
  }
  override symlink(): TreeNode {
    throw fail('EPERM', 'an image layout holds regular files');
  }
  override link(): TreeNode {
    throw fail('EPERM', 'a blob is made by rename');
  }

  override rename(name: string, parent: TreeNode, newName: string, flags: number): void {
    if (!(parent instanceof LayoutNode) || parent.area !== this.area)
      throw fail('EXDEV', 'nothing leaves or enters an image layout by rename');
    const taken = this.#staged && !parent.#staged && parent.place === 'sha256' && newName === name;
    // RENAME_NOREPLACE, as mv uses it, and nothing else.
    if ((this.place === 'sha256' && !taken) || (flags & ~1) !== 0) throw fail('EPERM', 'a blob keeps its name');
    if (parent.place === 'sha256' ? !BLOB.test(newName) : !parent.#holds(newName))
      throw fail('EPERM', `${newName} is no name of an image layout`);
    if ((Number(lstatOrFail(`${this.path()}/${name}`).mode) & S_IFMT) !== S_IFREG)
      throw fail('EPERM', 'a directory of an image layout stays');
    super.rename(name, parent, newName, flags);
  }

  override open(flags: number, caller: Caller): Handle {
    if (this.#isBlob() && ((flags & 3) !== constants.O_RDONLY || (flags & constants.O_TRUNC) !== 0))
      throw fail('EPERM', 'a blob is never written to');
    return super.open(flags, caller);
  }
  override mayWrite(): void {
    if (this.#isBlob()) throw fail('EPERM', 'a blob is never written to');
  }
  override setattr(change: AttrChange, caller: Caller, handle?: Handle): Attr {
    if (change.sizeBytes !== undefined && this.#isBlob()) throw fail('EPERM', 'a blob is never written to');
    return super.setattr(change, caller, handle);
  }

  #holds(name: string): boolean {
    return this.place === 'tmp' || (this.place === 'top' && FILES.has(name));
  }
  #mayHold(name: string): void {
    if (!this.#holds(name)) throw fail('EPERM', `${name} is no name of an image layout`);
  }
}

function placeOf(parent: PathParent, name: string, type: number): Place {
  if (type !== S_IFDIR) return 'file';
  if (!(parent instanceof LayoutNode) || parent.place === 'tmp') return 'top';
  if (parent.place === 'top') return name === 'blobs' ? 'blobs' : 'tmp';
  return 'sha256';
}
