// A file of a view of a volume (IMG-90, IMG-91): as the volume has it, or as the view has written it. A node is one name of one file,
// so that what others do in the volume is never taken for what was opened here; the kernel keeps neither names nor attributes.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { native, toAttr } from './backing.ts';
import { inodeKey, OrdinaryArea, OrdinaryNode, type OrdinaryHandle, type PathParent } from './ordinary.ts';
import { fail, S_IFDIR, S_IFMT } from './types.ts';
import type { Attr, AttrChange, Caller, Created, DirectoryEntry, Handle, TreeNode } from './types.ts';
import { isDirectory, join, type Found, type ViewLayers } from './view-layers.ts';

const RENAME_NOREPLACE = 1;

export class ViewArea extends OrdinaryArea {
  readonly layers: ViewLayers;
  #serial = 0;

  constructor(sync: ConstructorParameters<typeof OrdinaryArea>[0], layers: ViewLayers) {
    super(sync);
    this.layers = layers;
  }

  root(parent: PathParent, name: string): ViewNode {
    return new ViewNode(this, '', S_IFDIR, parent, name);
  }
  override keyOf(parent: PathParent, name: string, stat: fs.BigIntStats): string {
    const above = parent instanceof ViewNode ? parent.serial : 0;
    // A directory stays itself when the view begins to have files of its own in it.
    return `${above} ${isDirectory(stat) ? '' : inodeKey(stat)} ${name}`;
  }
  protected override make(key: string, type: number, parent: PathParent, name: string): OrdinaryNode {
    return new ViewNode(this, key, type, parent, name);
  }
  nextSerial(): number {
    this.#serial += 1;
    return this.#serial;
  }
}

export class ViewNode extends OrdinaryNode {
  override readonly entryTtlMs = 0;
  override attrTtlMs = 0;
  declare readonly area: ViewArea;
  readonly serial: number;
  /** Of a file without a name: its descriptors are of the view's own copy. */
  #ownAtEnd = false;

  constructor(area: ViewArea, key: string, type: number, parent: PathParent, name: string) {
    super(area, key, type, parent, name);
    this.serial = area.nextSerial();
  }

  get #layers(): ViewLayers {
    return this.area.layers;
  }

  relative(): string {
    const alias = this.aliases[0];
    if (alias === undefined) throw fail('ESTALE', 'the file is gone');
    return alias.parent instanceof ViewNode ? join(alias.parent.relative(), alias.name) : '';
  }

  override path(): string {
    const relative = this.relative();
    const { upper, lower } = this.#layers.find(relative);
    if (!this.#is(upper ?? lower)) throw fail('ESTALE', 'the file is gone');
    return upper === undefined ? this.#layers.lowerPath(relative) : this.#layers.upperPath(relative);
  }

  #is(stat: fs.BigIntStats | undefined): boolean {
    const alias = this.aliases[0];
    if (stat === undefined || alias === undefined || (Number(stat.mode) & S_IFMT) !== this.type) return false;
    return this.key === '' || this.key === this.area.keyOf(alias.parent, alias.name, stat);
  }

  #found(name: string): Found {
    return this.#layers.find(join(this.relative(), name));
  }

  #mayChange(): void {
    if (!this.#layers.writable) throw fail('EROFS', 'this memory is mounted read-only');
  }

  /** Before anything of it changes: from here on it is the view's own. */
  #raise(): void {
    this.#mayChange();
    const alias = this.aliases[0];
    if (alias === undefined) {
      if (!this.#ownAtEnd) throw fail('ESTALE', 'the file is gone');
      return;
    }
    // Not the file that was looked up: the volume has another one by now.
    this.path();
    const path = this.#layers.raise(this.relative());
    if (this.key === '') return;
    const key = this.area.keyOf(alias.parent, alias.name, fs.lstatSync(native(path), { bigint: true }));
    if (key === this.key) return;
    this.#become(key);
    for (const handle of this.open_) reopen(handle, path);
  }

  #become(key: string): void {
    if (this.area.nodes.get(this.key) === this) this.area.nodes.delete(this.key);
    this.key = key;
    this.area.nodes.set(key, this);
  }

  #forgetName(name: string, stat: fs.BigIntStats, own: boolean): void {
    const node = this.area.nodes.get(this.area.keyOf(this, name, stat));
    if (!(node instanceof ViewNode)) return;
    node.#ownAtEnd = own;
    node.aliases = [];
    node.orphan = { ...toAttr(stat), nlink: 0 };
    this.area.nodes.delete(node.key);
  }

  override lookup(name: string): TreeNode {
    if (this.type !== S_IFDIR) throw fail('ENOTDIR', 'not a directory');
    const { upper, lower } = this.#found(name);
    const stat = upper ?? lower;
    if (stat === undefined) throw fail('ENOENT', 'no such file');
    return this.area.nodeAt(this, name, stat);
  }

  override readdir(): readonly DirectoryEntry[] {
    if (this.aliases.length === 0) return [];
    return [...this.#layers.names(this.relative())].map(([name, type]) => ({
      name,
      type,
      ino: 0xffff_ffff,
      node: () => {
        const { upper, lower } = this.#found(name);
        const stat = upper ?? lower;
        return stat === undefined ? undefined : this.area.nodeAt(this, name, stat);
      },
    }));
  }

  override open(flags: number, caller: Caller): Handle {
    if ((flags & 3) !== constants.O_RDONLY || (flags & constants.O_TRUNC) !== 0) this.#raise();
    return super.open(flags, caller);
  }
  override setattr(change: AttrChange, caller: Caller, handle?: Handle): Attr {
    this.#raise();
    return super.setattr(change, caller, handle);
  }
  override setxattr(name: string, value: Buffer, flags: number): void {
    this.#raise();
    super.setxattr(name, value, flags);
  }
  override removexattr(name: string): void {
    this.#raise();
    super.removexattr(name);
  }

  /** The directory takes a new name. */
  #takes(name: string): void {
    const { upper, lower } = this.#found(name);
    if ((upper ?? lower) !== undefined) throw fail('EEXIST', 'exists');
    this.#raise();
  }

  override create(name: string, mode: number, flags: number, caller: Caller): Created {
    const { upper, lower } = this.#found(name);
    if ((upper ?? lower) !== undefined && (flags & constants.O_EXCL) === 0) {
      // Another view of the kernel's: made since it looked.
      const node = this.lookup(name);
      return { node, handle: node.open(flags & ~constants.O_CREAT, caller) as Handle };
    }
    this.#takes(name);
    return super.create(name, mode, flags, caller);
  }
  override mknod(name: string, mode: number, rdev: number, caller: Caller): TreeNode {
    this.#takes(name);
    return super.mknod(name, mode, rdev, caller);
  }
  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    this.#takes(name);
    return super.mkdir(name, mode, caller);
  }
  override symlink(name: string, target: string, caller: Caller): TreeNode {
    this.#takes(name);
    return super.symlink(name, target, caller);
  }

  override link(node: TreeNode, name: string): TreeNode {
    this.#mayChange();
    if (!(node instanceof ViewNode) || node.area !== this.area) throw fail('EXDEV', 'a hard link may not leave its mount');
    this.#takes(name);
    node.#raise();
    fs.linkSync(native(node.path()), native(`${this.path()}/${name}`));
    return this.lookup(name);
  }

  override unlink(name: string): void {
    this.#mayChange();
    const found = this.#found(name);
    const stat = found.upper ?? found.lower;
    if (stat === undefined) throw fail('ENOENT', 'no such file');
    if (isDirectory(stat)) throw fail('EISDIR', 'is a directory');
    this.#remove(name, found, stat);
  }

  override rmdir(name: string): void {
    this.#mayChange();
    const found = this.#found(name);
    const stat = found.upper ?? found.lower;
    if (stat === undefined) throw fail('ENOENT', 'no such directory');
    if (!isDirectory(stat)) throw fail('ENOTDIR', 'not a directory');
    if (this.#layers.names(join(this.relative(), name)).size > 0) throw fail('ENOTEMPTY', 'not empty');
    this.#remove(name, found, stat);
  }

  #remove(name: string, { upper, beneath }: Found, stat: fs.BigIntStats): void {
    const relative = join(this.relative(), name);
    if (beneath) this.#layers.markGone(relative);
    const path = native(this.#layers.upperPath(relative));
    if (isDirectory(upper)) fs.rmdirSync(path);
    else if (upper !== undefined) fs.unlinkSync(path);
    this.#forgetName(name, stat, upper !== undefined);
  }

  // A directory of the volume cannot be renamed, only copied: EXDEV, as on overlayfs; mv(1) copies it then.
  override rename(name: string, parent: TreeNode, newName: string, flags: number): void {
    this.#mayChange();
    if (!(parent instanceof ViewNode) || parent.area !== this.area) throw fail('EXDEV', 'a rename may not leave its mount');
    if ((flags & ~RENAME_NOREPLACE) !== 0) throw fail('EINVAL', 'names are not exchanged here');
    const source = this.#found(name);
    const target = parent.#found(newName);
    const from = source.upper ?? source.lower;
    const to = target.upper ?? target.lower;
    if (from === undefined) throw fail('ENOENT', 'no such file');
    if (to !== undefined && flags !== 0) throw fail('EEXIST', 'exists');
    if (isDirectory(from) && source.lower !== undefined) throw fail('EXDEV', 'a directory of the mounted memory is copied, not renamed');
    if (to !== undefined) parent.#mayBeReplaced(newName, to, isDirectory(from));
    if (to !== undefined && to.ino === from.ino && to.dev === from.dev) return;
    const moved = this.lookup(name) as ViewNode;
    moved.#raise();
    parent.#raise();
    const old = join(this.relative(), name);
    const now = join(parent.relative(), newName);
    if (to !== undefined) parent.#forgetName(newName, to, target.upper !== undefined);
    // What the volume has in a directory of this name is not in the one that comes.
    if (isDirectory(from) && target.beneath) this.#layers.markGone(now);
    fs.renameSync(native(this.#layers.upperPath(old)), native(this.#layers.upperPath(now)));
    if (source.beneath) this.#layers.markGone(old);
    moved.aliases = [{ parent, name: newName }];
    moved.#become(this.area.keyOf(parent, newName, fs.lstatSync(native(this.#layers.upperPath(now)), { bigint: true })));
  }

  #mayBeReplaced(name: string, stat: fs.BigIntStats, byDirectory: boolean): void {
    if (isDirectory(stat) && !byDirectory) throw fail('EISDIR', 'is a directory');
    if (!isDirectory(stat) && byDirectory) throw fail('ENOTDIR', 'not a directory');
    if (byDirectory && this.#layers.names(join(this.relative(), name)).size > 0) throw fail('ENOTEMPTY', 'not empty');
  }
}

/** Who reads it goes on reading it, as it is from now on. */
function reopen(handle: OrdinaryHandle, path: string): void {
  const fd = fs.openSync(native(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  fs.closeSync(handle.fd);
  handle.fd = fd;
}
