// `home/<uid>/image/<name…>/<tag>/`: images as read-only files. A directory below image/ is a part of a name, a tag, or both.
import { closeSync, readSync } from 'node:fs';
import { constants } from 'node:fs';
import { ImageViews, openBlob, type BlobRange, type ImageView } from '../image/view.ts';
import { bytePath, isDirectory, lstatOrFail, syntheticAttr, syntheticIno, toAttr } from './backing.ts';
import { BytesNode, type Owner } from './bytes-node.ts';
import { imageStoreNode } from './image-store-dir.ts';
import type { OrdinaryNode, PathParent } from './ordinary.ts';
import type { Store } from './store.ts';
import { DirectoryHandle, fail, Handle, S_IFDIR, S_IFREG, TreeNode } from './types.ts';
import type { Attr, DirectoryEntry } from './types.ts';

const STORE = '.store';

/** `image/`. */
export class ImagesDirectory extends TreeNode implements PathParent {
  override readonly attrTtlMs = 0;
  readonly #store: Store;
  readonly #backing: string;
  readonly #views: ImageViews;
  #layout: OrdinaryNode | undefined;
  readonly #names: Map<string, NameDirectory> = new Map();

  constructor(store: Store, backing: string) {
    super();
    this.#store = store;
    this.#backing = backing;
    this.#views = new ImageViews(`${backing}/${STORE}`);
  }
  path(): string {
    return bytePath(this.#backing);
  }
  changed(): void {}
  attr(): Attr {
    return toAttr(lstatOrFail(this.#backing));
  }

  override lookup(name: string): TreeNode {
    if (name === STORE) return (this.#layout ??= imageStoreNode(this, `${this.#backing}/${STORE}`, this.#store.sessions.options.deriver));
    return this.below([name]);
  }

  /** The directory of a part of a name; ENOENT when no image has it. */
  below(parts: readonly string[]): TreeNode {
    const path = parts.join('/');
    const key = this.#tagOf(parts);
    const descriptor = key === undefined ? undefined : this.#keys().get(key);
    const isName = this.#children(path).size > 0;
    if (descriptor === undefined && !isName) throw fail('ENOENT', 'no such image');
    const view = descriptor === undefined ? undefined : this.#views.view(descriptor);
    let node = this.#names.get(path);
    if (node === undefined || node.view !== view) this.#names.set(path, (node = new NameDirectory(this, parts, view, this.#owner())));
    return node;
  }

  /** What lies directly below a part of a name: further parts, and tags. */
  #children(path: string): ReadonlySet<string> {
    const names = new Set<string>();
    const prefix = path === '' ? '' : `${path}/`;
    for (const key of this.#keys().keys()) {
      const colon = key.lastIndexOf(':');
      const name = key.slice(0, colon);
      if (name === path) names.add(key.slice(colon + 1));
      else if (name.startsWith(prefix)) names.add(name.slice(prefix.length).split('/')[0] as string);
    }
    return names;
  }

  entries(path: string): readonly DirectoryEntry[] {
    return [...this.#children(path)].sort().map((name) => ({ name, type: S_IFDIR, ino: 0xffff_ffff }));
  }

  #tagOf(parts: readonly string[]): string | undefined {
    return parts.length < 2 ? undefined : `${parts.slice(0, -1).join('/')}:${parts.at(-1) as string}`;
  }
  #keys(): ReturnType<ImageViews['keys']> {
    return isDirectory(this.#views.directory) ? this.#views.keys() : new Map();
  }
  #owner(): Owner {
    const { uid, gid } = this.attr();
    return { uid, gid };
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return this.entries('');
  }
  override create: () => never = readOnly;
  override mknod: () => never = readOnly;
  override mkdir: () => never = readOnly;
  override symlink: () => never = readOnly;
  override link: () => never = readOnly;
  override unlink: () => never = readOnly;
  override rmdir: () => never = readOnly;
  override rename: () => never = readOnly;
  override setattr: () => never = readOnly;
  override setxattr: () => never = readOnly;
  override removexattr: () => never = readOnly;
}

/**
 * Read-only; each version of it is its own node. Its mode lets the owner write, as on a file system that is mounted read-only:
 * else the kernel would say EACCES to some, and we EROFS to others (IMG-116).
 */
abstract class ReadOnlyDirectory extends TreeNode {
  override readonly entryTtlMs = 0;
  readonly #attr: Attr;
  constructor(owner: Owner, atMs: number) {
    super();
    this.#attr = syntheticAttr(syntheticIno(), S_IFDIR | 0o755, 0, owner, atMs);
  }
  attr(): Attr {
    return this.#attr;
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override create = readOnly;
  override mknod = readOnly;
  override mkdir = readOnly;
  override symlink = readOnly;
  override link = readOnly;
  override unlink = readOnly;
  override rmdir = readOnly;
  override rename = readOnly;
  override setattr = readOnly;
  override setxattr = readOnly;
  override removexattr = readOnly;
}

/** What an image says of itself. */
class TextNode extends BytesNode {
  override setattr = readOnly;
  override setxattr = readOnly;
  override removexattr = readOnly;
  override open(flags: number): Handle {
    if (isForWriting(flags)) readOnly();
    return super.open(flags);
  }
}

function isForWriting(flags: number): boolean {
  return (flags & 3) !== constants.O_RDONLY || (flags & constants.O_TRUNC) !== 0;
}

function readOnly(): never {
  throw fail('EROFS', 'an image is never written to');
}

class NameDirectory extends ReadOnlyDirectory {
  readonly view: ImageView | undefined;
  readonly #images: ImagesDirectory;
  readonly #parts: readonly string[];
  readonly #owner: Owner;
  readonly #texts: Map<string, BytesNode> = new Map();
  #source: SourceDirectory | undefined;

  constructor(images: ImagesDirectory, parts: readonly string[], view: ImageView | undefined, owner: Owner) {
    super(owner, view?.createdMs ?? Date.now());
    this.#images = images;
    this.#parts = parts;
    this.#owner = owner;
    this.view = view;
  }

  override lookup(name: string): TreeNode {
    const { view } = this;
    if (view !== undefined) {
      if (name === 'source') return (this.#source ??= new SourceDirectory(view.source(), '', this.#owner, view.createdMs));
      const text = this.#text(view, name);
      if (text !== undefined) return text;
    }
    return this.#images.below([...this.#parts, name]);
  }

  #text(view: ImageView, name: string): BytesNode | undefined {
    const known = this.#texts.get(name);
    if (known !== undefined) return known;
    const texts = view.texts();
    if (!Object.hasOwn(texts, name)) return undefined;
    const node = new TextNode(Buffer.from(texts[name as keyof typeof texts]()), this.#owner, view.createdMs, 0o644);
    this.#texts.set(name, node);
    return node;
  }

  override readdir(): readonly DirectoryEntry[] {
    const own = this.view === undefined ? [] : Object.keys(this.view.texts()).map((name) => ({ name, type: S_IFREG, ino: 0xffff_ffff }));
    const source = this.view === undefined ? [] : [{ name: 'source', type: S_IFDIR, ino: 0xffff_ffff }];
    return [...own, ...source, ...this.#images.entries(this.#parts.join('/'))];
  }
}

class SourceDirectory extends ReadOnlyDirectory {
  readonly #files: ReadonlyMap<string, readonly BlobRange[]>;
  readonly #children: Map<string, () => TreeNode> = new Map();
  readonly #nodes: Map<string, TreeNode> = new Map();
  readonly #directories: Set<string> = new Set();

  constructor(files: ReadonlyMap<string, readonly BlobRange[]>, prefix: string, owner: Owner, atMs: number) {
    super(owner, atMs);
    this.#files = files;
    for (const [path, ranges] of this.#files) {
      if (!path.startsWith(prefix)) continue;
      const [name, ...more] = path.slice(prefix.length).split('/');
      if (name === undefined || this.#children.has(name)) continue;
      if (more.length > 0) this.#directories.add(name);
      this.#children.set(name, () =>
        more.length > 0
          ? new SourceDirectory(below(files, `${prefix}${name}/`), `${prefix}${name}/`, owner, atMs)
          : new RangesNode(ranges, owner, atMs),
      );
    }
  }
  override lookup(name: string): TreeNode {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const make = this.#children.get(name);
    if (make === undefined) throw fail('ENOENT', 'no such file');
    const node = make();
    this.#nodes.set(name, node);
    return node;
  }
  override readdir(): readonly DirectoryEntry[] {
    return [...this.#children.keys()].map((name) => ({ name, type: this.#directories.has(name) ? S_IFDIR : S_IFREG, ino: 0xffff_ffff }));
  }
}

/** A directory of an image's source by its path. */
export function sourceDirectory(view: ImageView, path: string, { uid, gid }: Owner): TreeNode {
  return new SourceDirectory(below(view.source(), `${path}/`), `${path}/`, { uid, gid }, view.createdMs);
}

function below(files: ReadonlyMap<string, readonly BlobRange[]>, prefix: string): ReadonlyMap<string, readonly BlobRange[]> {
  return new Map([...files].filter(([path]) => path.startsWith(prefix)));
}

/** A file that is ranges of blobs, one after the other. */
class RangesNode extends TreeNode {
  override readonly attrTtlMs = 3_600_000;
  readonly #ranges: readonly BlobRange[];
  readonly #attr: Attr;

  constructor(ranges: readonly BlobRange[], owner: Owner, atMs: number) {
    super();
    this.#ranges = ranges;
    this.#attr = syntheticAttr(
      syntheticIno(),
      S_IFREG | 0o644,
      ranges.reduce((sum, { size }) => sum + size, 0),
      owner,
      atMs,
    );
  }
  attr(): Attr {
    return this.#attr;
  }
  override setattr = readOnly;
  override setxattr = readOnly;
  override removexattr = readOnly;
  override open(flags: number): Handle {
    if (isForWriting(flags)) readOnly();
    return new RangesHandle(this.#ranges);
  }
}

class RangesHandle extends Handle {
  override readonly mode = { keepCache: true, noFlush: true };
  readonly #ranges: readonly BlobRange[];
  readonly #fds: Map<string, number> = new Map();

  constructor(ranges: readonly BlobRange[]) {
    super();
    this.#ranges = ranges;
  }

  override read(offset: number, into: Buffer): number {
    let done = 0;
    let start = 0;
    for (const range of this.#ranges) {
      const at = offset + done - start;
      start += range.size;
      if (at >= range.size || done === into.length) continue;
      const want = Math.min(into.length - done, range.size - at);
      const got = readSync(this.#fd(range.path), into, done, want, range.offset + at);
      done += got;
      if (got < want) throw fail('EIO', 'a blob is shorter than its image says');
    }
    return done;
  }

  #fd(path: string): number {
    let fd = this.#fds.get(path);
    if (fd !== undefined) return fd;
    try {
      fd = openBlob(path);
    } catch {
      throw fail('EIO', 'a blob of this image is not in the store; pull or import it again');
    }
    this.#fds.set(path, fd);
    return fd;
  }

  override release(): void {
    for (const fd of this.#fds.values()) closeSync(fd);
    this.#fds.clear();
  }
}
