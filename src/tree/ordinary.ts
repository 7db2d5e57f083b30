// Ordinary areas: POSIX behaviour over the backing directory (pinned/, child/, wiki/, shared/, agent/, tool/).
// Permission bits are enforced by the kernel (default_permissions); what is created belongs to the caller.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { lstatBytes, native, toAttr } from './backing.ts';
import { getXattr, listXattr, makeNode, removeXattr, rename2, setOpenTimes, setTimes, setXattr } from './libc.ts';
import type { DeriverClient } from './deriver-client.ts';
import { DirectoryHandle, fail, Handle, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Slow, TreeNode } from './types.ts';
import type { Attr, AttrChange, Caller, Created, DirectoryEntry, OpenMode } from './types.ts';
import { QUEUE_PATH } from '../wiki/queue.ts';
import { WIKI_DERIVED } from './wiki-area.ts';
import type { WikiArea } from './wiki-area.ts';

const S_ISGID = 0o2000;
const UNKNOWN_INO = 0xffff_ffff;
/** open(2): a descriptor that holds the file and reads nothing. */
const O_PATH = 0o10000000;
/** Forgotten as soon as they are replaced, nearly always; were they not, the daemon would be short of descriptors. */
const MOST_REPLACED = 1024;
const RENAME_EXCHANGE = 2;

type FileSync = Pick<DeriverClient, 'fsync'>;

/** What an ordinary area shares: its inode table and who hears of changes. */
export class OrdinaryArea {
  readonly nodes: Map<string, OrdinaryNode> = new Map();
  /** Descriptors of files that were replaced and that the kernel has not forgotten. */
  replaced = 0;
  /** Moves with every rename: cached paths of older epochs are stale. */
  renames = 0;
  readonly isRoot: boolean = process.getuid?.() === 0;
  readonly #sync: FileSync | undefined;

  /** `sync`: how fsync runs without holding up the serving thread; absent for areas nobody syncs. */
  constructor(sync?: FileSync) {
    this.#sync = sync;
  }

  fsync(fd: number, dataOnly: boolean): void | Slow<null> {
    const sync = this.#sync;
    if (sync !== undefined) return new Slow<null>(null, (done, ticket) => sync.fsync(fd, dataOnly, done, ticket));
    if (dataOnly) fs.fdatasyncSync(fd);
    else fs.fsyncSync(fd);
  }

  /** The node of a path that exists, found by (device, inode) so that hard links are one node. */
  nodeAt(parent: PathParent, name: string, stat: fs.BigIntStats): OrdinaryNode {
    const key = this.keyOf(parent, name, stat);
    const type = Number(stat.mode) & S_IFMT;
    const known = this.nodes.get(key);
    if (known !== undefined && known.type === type) {
      known.addAlias(parent, name);
      return known;
    }
    const node = this.make(key, type, parent, name);
    // Others append to it behind the mount.
    if (node.isQueue) node.attrTtlMs = 0;
    this.nodes.set(key, node);
    return node;
  }

  /** What tells one node from another. */
  protected keyOf(_parent: PathParent, _name: string, stat: fs.BigIntStats): string {
    return inodeKey(stat);
  }
  protected make(key: string, type: number, parent: PathParent, name: string): OrdinaryNode {
    return new OrdinaryNode(this, key, type, parent, name);
  }
}

/** A directory that ordinary nodes can live in. */
export interface PathParent {
  /** Byte path in the store. */
  path(): string;
  /** A change below this directory: `relative` names what changed (for recorded inputs). */
  changed(relative: string): void;
}

export interface Alias {
  readonly parent: PathParent;
  readonly name: string;
}

export class OrdinaryNode extends TreeNode implements PathParent {
  readonly area: OrdinaryArea;
  key: string;
  readonly type: number;
  aliases: Alias[];
  readonly open_: Set<OrdinaryHandle> = new Set();
  /** Of the directory that a wiki is. */
  wiki: WikiArea | undefined;
  /** Attributes at its removal: of a directory that is still open. */
  protected orphan: Attr | undefined;
  /** Of a file that was replaced while somebody was about to open it: without it that open would be ESTALE. Until the kernel forgets it. */
  #replaced: number | undefined;
  #path = '';
  #pathEpoch = -1;

  constructor(area: OrdinaryArea, key: string, type: number, parent: PathParent, name: string) {
    super();
    this.area = area;
    this.key = key;
    this.type = type;
    this.aliases = [{ parent, name }];
  }

  addAlias(parent: PathParent, name: string): void {
    const first = this.aliases[0];
    if (first !== undefined && first.parent === parent && first.name === name) return;
    if (this.type === S_IFDIR) this.aliases = [{ parent, name }];
    else if (!this.aliases.some((alias) => alias.parent === parent && alias.name === name)) this.aliases.push({ parent, name });
    else return;
    this.#pathEpoch = -1;
  }

  dropAlias(parent: PathParent, name: string): void {
    this.aliases = this.aliases.filter((alias) => alias.parent !== parent || alias.name !== name);
    this.#pathEpoch = -1;
  }

  path(): string {
    if (this.#pathEpoch === this.area.renames) return this.#path;
    const alias = this.aliases[0];
    if (alias === undefined) throw fail('ESTALE', 'the file is gone');
    this.#path = `${alias.parent.path()}/${alias.name}`;
    this.#pathEpoch = this.area.renames;
    return this.#path;
  }

  /** This file was written, under each of its names. */
  tell(caller: Caller, sinceMs: number, hold: boolean): void | Slow<null> {
    let held: Slow<null> | undefined;
    for (const { parent, name } of this.aliases) {
      const told = parent instanceof OrdinaryNode ? toldOf(parent, name) : undefined;
      held = told?.wiki.written(told.path, caller, sinceMs, hold && held === undefined) ?? held;
    }
    return held;
  }

  /** The update queue of a wiki: appended to by several at once, also in the store. */
  get isQueue(): boolean {
    const alias = this.aliases[0];
    return alias?.name === QUEUE_PATH && alias.parent instanceof OrdinaryNode && alias.parent.wiki !== undefined;
  }

  changed(relative: string): void {
    for (const alias of this.aliases) alias.parent.changed(relative === '' ? alias.name : `${alias.name}/${relative}`);
  }

  #child(name: string): string {
    return `${this.path()}/${name}`;
  }

  attr(): Attr {
    for (const handle of this.open_) return toAttr(fs.fstatSync(handle.fd, { bigint: true }));
    if (this.aliases.length === 0 && this.orphan !== undefined) return this.orphan;
    const stat = lstatBytes(this.path());
    if (stat === undefined) throw fail('ENOENT', 'no such file');
    return toAttr(stat);
  }

  override lookup(name: string): TreeNode {
    if (this.type !== S_IFDIR) throw fail('ENOTDIR', 'not a directory');
    if (this.wiki !== undefined && name === WIKI_DERIVED) return this.wiki.derived;
    const stat = lstatBytes(this.#child(name));
    if (stat === undefined) throw fail('ENOENT', 'no such file');
    return this.area.nodeAt(this, name, stat);
  }

  /** Names that have a meaning here: nothing ordinary may take them, by whatever operation. */
  protected reserves(_name: string): boolean {
    return false;
  }
  #free(name: string): string {
    if (this.wiki !== undefined && name === WIKI_DERIVED) throw fail('EPERM', `${name}/ is derived`);
    if (this.reserves(name)) throw fail('EPERM', `${name}/ is made with mkdir, and stays where it is`);
    return this.#child(name);
  }

  #adopt(name: string, caller: Caller, mode?: number): OrdinaryNode {
    const path = this.#child(name);
    const parent = fs.lstatSync(native(this.path()));
    const setgid = (parent.mode & S_ISGID) !== 0;
    if (this.area.isRoot) fs.lchownSync(native(path), caller.uid, setgid ? parent.gid : caller.gid);
    if (mode !== undefined) fs.chmodSync(native(path), mode & 0o7777);
    const stat = lstatBytes(path);
    if (stat === undefined) throw fail('ENOENT', 'removed while it was created');
    this.changed(name);
    return this.area.nodeAt(this, name, stat);
  }

  override create(name: string, mode: number, flags: number, caller: Caller): Created {
    this.#free(name);
    // O_NONBLOCK: a FIFO that appeared under this name must not hold up the thread that serves everyone.
    const open =
      accessFlags(flags) |
      constants.O_CREAT |
      constants.O_NOFOLLOW |
      constants.O_NONBLOCK |
      (this.wiki !== undefined && name === QUEUE_PATH ? flags & constants.O_APPEND : 0) |
      (flags & constants.O_TRUNC) |
      (flags & constants.O_EXCL);
    const existed = lstatBytes(this.#child(name)) !== undefined;
    const atMs = Date.now();
    const fd = fs.openSync(native(this.#child(name)), open, mode & 0o7777);
    try {
      const node = existed ? (this.lookup(name) as OrdinaryNode) : this.#adopt(name, caller, mode);
      const handle = new OrdinaryHandle(node, fd, flags, caller);
      // Told when it is closed, also when nothing is written.
      handle.touched(atMs);
      return { node, handle };
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  override mknod(name: string, mode: number, rdev: number, caller: Caller): TreeNode {
    this.#free(name);
    const atMs = Date.now();
    if ((mode & S_IFMT) === S_IFREG || (mode & S_IFMT) === 0) {
      fs.closeSync(fs.openSync(native(this.#child(name)), constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, mode & 0o7777));
    } else {
      makeNode(native(this.#child(name)), mode, rdev);
    }
    const node = this.#adopt(name, caller, mode);
    const told = toldOf(this, name);
    if (node.type === S_IFREG) told?.wiki.written(told.path, caller, atMs);
    else told?.wiki.other();
    return node;
  }

  override mkdir(name: string, mode: number, caller: Caller): TreeNode {
    fs.mkdirSync(native(this.#child(name)), mode & 0o7777);
    const setgid = fs.lstatSync(native(this.path())).mode & S_ISGID;
    return this.#adopt(name, caller, mode | setgid);
  }

  override symlink(name: string, target: string, caller: Caller): TreeNode {
    fs.symlinkSync(native(target), native(this.#free(name)));
    toldOf(this, name)?.wiki.other();
    return this.#adopt(name, caller);
  }

  override readlink(): string {
    return fs.readlinkSync(native(this.path()), 'latin1');
  }

  override link(node: TreeNode, name: string, caller: Caller): TreeNode {
    const atMs = Date.now();
    if (!(node instanceof OrdinaryNode) || node.area !== this.area) throw fail('EXDEV', 'a hard link may not leave its area');
    fs.linkSync(native(node.path()), native(this.#free(name)));
    node.addAlias(this, name);
    this.changed(name);
    const told = toldOf(this, name);
    told?.wiki.written(told.path, caller, atMs);
    return node;
  }

  override unlink(name: string, caller?: Caller): void | Slow<null> {
    const atMs = Date.now();
    const stat = lstatBytes(this.#child(name));
    if (stat === undefined) throw fail('ENOENT', 'no such file');
    if ((Number(stat.mode) & S_IFMT) === S_IFDIR) throw fail('EISDIR', 'is a directory');
    fs.unlinkSync(native(this.#child(name)));
    this.#gone(name, stat);
    this.changed(name);
    const told = caller === undefined ? undefined : toldOf(this, name);
    return caller === undefined ? undefined : told?.wiki.removed(told.path, caller, atMs);
  }

  override rmdir(name: string): void {
    const stat = lstatBytes(this.#child(name));
    if (stat === undefined) throw fail('ENOENT', 'no such directory');
    fs.rmdirSync(native(this.#child(name)));
    this.#gone(name, stat);
    this.changed(name);
  }

  #gone(name: string, stat: fs.BigIntStats): void {
    const node = this.area.nodes.get(inodeKey(stat));
    if (node === undefined) return;
    node.dropAlias(this, name);
    if (node.aliases.length === 0) node.orphan = { ...toAttr(stat), nlink: 0 };
    if (node.aliases.length === 0 && (stat.nlink <= 1n || node.type === S_IFDIR)) this.area.nodes.delete(node.key);
  }

  override rename(name: string, parent: TreeNode, newName: string, flags: number, caller?: Caller): void | Slow<null> {
    const atMs = Date.now();
    if (!(parent instanceof OrdinaryNode) || parent.area !== this.area) throw fail('EXDEV', 'a rename may not leave its area');
    const from = this.#free(name);
    const to = parent.#free(newName);
    const source = lstatBytes(from);
    if (source === undefined) throw fail('ENOENT', 'no such file');
    const target = lstatBytes(to);
    // rename(2) of two names of one file changes nothing.
    const same = target !== undefined && target.ino === source.ino && target.dev === source.dev && flags === 0;
    const replaced = target === undefined || same ? undefined : this.area.nodes.get(inodeKey(target));
    // Of a file with another name the kernel may keep the inode for long, and its descriptor with it.
    if (replaced !== undefined && flags === 0 && target?.nlink === 1n) replaced.#keep(to);
    if (flags === 0) fs.renameSync(native(from), native(to));
    else rename2(native(from), native(to), flags);
    if (same) return undefined;
    const moved = this.area.nodes.get(inodeKey(source));
    moved?.dropAlias(this, name);
    if (target !== undefined && replaced !== undefined) {
      if ((flags & RENAME_EXCHANGE) !== 0) {
        replaced.dropAlias(parent, newName);
        replaced.addAlias(this, name);
      } else {
        parent.#gone(newName, target);
      }
    }
    moved?.addAlias(parent, newName);
    this.area.renames += 1;
    this.changed(name);
    parent.changed(newName);
    return caller === undefined ? undefined : this.#tellRenamed(name, parent, newName, flags, { caller, atMs });
  }

  #tellRenamed(
    name: string,
    parent: OrdinaryNode,
    newName: string,
    flags: number,
    { caller, atMs }: { readonly caller: Caller; readonly atMs: number },
  ): void | Slow<null> {
    const from = toldOf(this, name);
    const to = toldOf(parent, newName);
    if ((flags & RENAME_EXCHANGE) === 0 && from !== undefined && from.wiki === to?.wiki)
      return from.wiki.renamed(from.path, to.path, caller, atMs);
    if ((flags & RENAME_EXCHANGE) !== 0) from?.wiki.written(from.path, caller, atMs);
    else if (from !== undefined && to !== undefined) from.wiki.gone(from.path, caller, atMs);
    else if (from !== undefined) return from.wiki.removed(from.path, caller, atMs);
    return to?.wiki.written(to.path, caller, atMs, true);
  }

  /** The kernel looks a name up, then opens what it found. Between the two, once and again, another file may take the name. */
  #keep(path: string): void {
    if (this.type !== S_IFREG || this.lookups === 0 || this.#replaced !== undefined || this.area.replaced >= MOST_REPLACED) return;
    try {
      this.#replaced = fs.openSync(native(path), O_PATH | constants.O_NOFOLLOW);
      this.area.replaced += 1;
    } catch {
      // Without a descriptor to spare an open that was overtaken fails, and nothing else.
    }
  }

  override setattr(change: AttrChange, caller: Caller, handle?: Handle): Attr {
    const fd = handle instanceof OrdinaryHandle ? handle.fd : undefined;
    const reach = (): string => this.path();
    if (change.mode !== undefined) {
      const open = fd ?? this.#anyFd();
      if (open !== undefined && this.aliases.length === 0) fs.fchmodSync(open, change.mode & 0o7777);
      else if (this.type !== S_IFLNK) fs.chmodSync(native(reach()), change.mode & 0o7777);
      else throw fail('EOPNOTSUPP', 'symbolic links have no mode');
    }
    if (change.uid !== undefined || change.gid !== undefined) {
      const now = this.attr();
      const open = this.#anyFd();
      if (open !== undefined && this.aliases.length === 0) fs.fchownSync(open, change.uid ?? now.uid, change.gid ?? now.gid);
      else fs.lchownSync(native(reach()), change.uid ?? now.uid, change.gid ?? now.gid);
    }
    if (change.dropSetId === true && change.mode === undefined) this.#dropSetId();
    if (change.sizeBytes !== undefined) {
      if (this.type === S_IFDIR) throw fail('EISDIR', 'is a directory');
      const atMs = Date.now();
      if (handle instanceof OrdinaryHandle) handle.touched();
      const open = fd ?? this.#anyWritableFd();
      if (open !== undefined) fs.ftruncateSync(open, change.sizeBytes);
      else fs.truncateSync(native(reach()), change.sizeBytes);
      if (!(handle instanceof OrdinaryHandle)) void this.tell(caller, atMs, false);
    }
    if (change.atime !== undefined || change.mtime !== undefined) this.#setTimes(change);
    this.changed('');
    return this.attr();
  }

  #dropSetId(): void {
    if (this.type !== S_IFREG) return;
    const { mode } = this.attr();
    const kept = withoutSetId(mode);
    if (kept !== (mode & 0o7777)) fs.chmodSync(native(this.path()), kept);
  }

  #setTimes(change: AttrChange): void {
    if (this.aliases.length === 0) {
      const open = this.#anyFd();
      if (open === undefined) throw fail('ESTALE', 'the file is gone');
      return setOpenTimes(open, change.atime, change.mtime);
    }
    setTimes(native(this.path()), change.atime, change.mtime);
  }

  #anyFd(): number | undefined {
    for (const handle of this.open_) return handle.fd;
    return undefined;
  }

  #anyWritableFd(): number | undefined {
    for (const handle of this.open_) if (handle.writable) return handle.fd;
    return undefined;
  }

  override open(flags: number, caller: Caller): Handle {
    if (this.type === S_IFDIR) throw fail('EISDIR', 'is a directory');
    const first = this.#anyFd() ?? this.#replaced;
    // A file without a name can be opened only through a descriptor.
    const path = this.aliases.length === 0 && first !== undefined ? `/proc/self/fd/${first}` : native(this.path());
    const follow = this.aliases.length === 0 ? 0 : constants.O_NOFOLLOW;
    // The kernel's idea of its end may be old: the append is made here.
    const atMs = (flags & constants.O_TRUNC) === 0 ? 0 : Date.now();
    const append = this.isQueue ? flags & constants.O_APPEND : 0;
    const fd = fs.openSync(path, accessFlags(flags) | (flags & constants.O_TRUNC) | append | follow | constants.O_NONBLOCK);
    const handle = new OrdinaryHandle(this, fd, flags, caller);
    if ((flags & constants.O_TRUNC) !== 0) {
      this.changed('');
      handle.touched(atMs);
    }
    return handle;
  }

  /** Asked before each write, also of a file that was opened before it became what must not change. */
  mayWrite(): void {}

  override opendir(): DirectoryHandle {
    if (this.type !== S_IFDIR) throw fail('ENOTDIR', 'not a directory');
    return new DirectoryHandle(this);
  }

  override readdir(): readonly DirectoryEntry[] {
    // A removed directory that is still open is empty.
    if (this.aliases.length === 0) return [];
    return fs.readdirSync(native(this.path()), { withFileTypes: true, encoding: 'latin1' }).map((entry) => ({
      name: entry.name,
      type: direntType(entry),
      ino: UNKNOWN_INO,
      node: () => {
        const stat = lstatBytes(this.#child(entry.name));
        return stat === undefined ? undefined : this.area.nodeAt(this, entry.name, stat);
      },
    }));
  }

  override getxattr(name: string): Buffer {
    if (name.startsWith('system.posix_acl')) throw fail('EOPNOTSUPP', 'access control lists are not supported');
    if (!name.startsWith('user.')) throw fail('ENODATA', 'no such attribute');
    return getXattr(native(this.path()), name);
  }
  override listxattr(): readonly string[] {
    return listXattr(native(this.path())).filter((name) => !name.startsWith('system.posix_acl'));
  }
  override setxattr(name: string, value: Buffer, flags: number): void {
    if (!name.startsWith('user.')) throw fail('EOPNOTSUPP', 'only user.* attributes can be set');
    setXattr(native(this.path()), name, value, flags);
  }
  override removexattr(name: string): void {
    if (!name.startsWith('user.')) throw fail('EOPNOTSUPP', 'only user.* attributes can be removed');
    removeXattr(native(this.path()), name);
  }

  override forget(): void {
    if (this.#replaced !== undefined) {
      fs.closeSync(this.#replaced);
      this.#replaced = undefined;
      this.area.replaced -= 1;
    }
    if (this.open_.size === 0 && this.area.nodes.get(this.key) === this) this.area.nodes.delete(this.key);
  }
}

/** WIK-40: where a name is told of; undefined outside wikis. Costs a step for each level. */
function toldOf(directory: OrdinaryNode, name: string): { readonly wiki: WikiArea; readonly path: string } | undefined {
  let root: PathParent | undefined = directory;
  while (root instanceof OrdinaryNode && root.wiki === undefined) root = root.aliases[0]?.parent;
  if (!(root instanceof OrdinaryNode) || root.wiki === undefined) return undefined;
  let path = name;
  for (let at: PathParent = directory; at !== root && at instanceof OrdinaryNode;) {
    const alias: Alias | undefined = at.aliases[0];
    if (alias === undefined) return undefined;
    path = `${alias.name}/${path}`;
    at = alias.parent;
  }
  return { wiki: root.wiki, path };
}

/** An inode number is used again; with when it was born it names one file. */
export function inodeKey({ dev, ino, birthtimeNs }: fs.BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}

function accessFlags(flags: number): number {
  return (flags & 3) | (flags & (constants.O_DSYNC | constants.O_SYNC));
}

/** Permission bits without set-user-id, and without set-group-id where the group may execute. */
function withoutSetId(mode: number): number {
  return mode & ((mode & 0o010) !== 0 ? 0o1777 : 0o3777);
}

export function direntType(entry: fs.Dirent): number {
  if (entry.isDirectory()) return S_IFDIR;
  if (entry.isFile()) return S_IFREG;
  if (entry.isSymbolicLink()) return S_IFLNK;
  if (entry.isFIFO()) return 0o010000;
  if (entry.isSocket()) return 0o140000;
  if (entry.isCharacterDevice()) return 0o020000;
  return 0o060000;
}

/** An open ordinary file. The kernel sends exact offsets (also for O_APPEND, under its inode lock). */
export class OrdinaryHandle extends Handle {
  readonly node: OrdinaryNode;
  fd: number;
  readonly writable: boolean;
  override mode: OpenMode;
  readonly #opener: Caller;
  #dirty = false;
  /** When the first byte was written, or the file made, that nobody was told of yet. */
  #sinceMs = 0;

  constructor(node: OrdinaryNode, fd: number, flags: number, opener: Caller) {
    super();
    this.node = node;
    this.fd = fd;
    this.#opener = opener;
    this.writable = (flags & 3) !== constants.O_RDONLY;
    this.mode = { directIo: node.isQueue, noFlush: !this.writable };
    node.open_.add(this);
  }
  override read(offset: number, into: Buffer): number {
    return fs.readSync(this.fd, into, 0, into.length, offset);
  }
  override write(offset: number, bytes: Buffer): number {
    this.node.mayWrite();
    this.#dirty = true;
    if (this.#sinceMs === 0) this.touched();
    return fs.writeSync(this.fd, bytes, 0, bytes.length, offset);
  }
  touched(atMs: number = Date.now()): void {
    if (this.#sinceMs === 0) this.#sinceMs = atMs;
    if (this.mode.noFlush === true) this.mode = { ...this.mode, noFlush: false };
  }
  /** Told as the change of whoever opened it: any child that inherited it closes it too. */
  override flush(): void | Slow<null> {
    return this.#tell(true);
  }
  #tell(hold: boolean): void | Slow<null> {
    if (this.#dirty) this.node.changed('');
    this.#dirty = false;
    const sinceMs = this.#sinceMs;
    this.#sinceMs = 0;
    return sinceMs === 0 ? undefined : this.node.tell(this.#opener, sinceMs, hold);
  }
  override release(): void {
    void this.#tell(false);
    this.node.open_.delete(this);
    fs.closeSync(this.fd);
  }
  override fsync(dataOnly: boolean): void | Slow<null> {
    return this.node.area.fsync(this.fd, dataOnly);
  }
  override dropSetId(): void {
    const { mode } = fs.fstatSync(this.fd);
    const kept = withoutSetId(mode);
    if (kept !== (mode & 0o7777)) fs.fchmodSync(this.fd, kept);
  }
  override descriptor(): number {
    return this.fd;
  }
}
