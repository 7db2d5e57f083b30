// One version of a derived file. It never changes: a newer version is another node under the same name.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import type { Content } from '../derive/types.ts';
import { syntheticAttr, syntheticIno } from './backing.ts';
import type { Owner } from './bytes-node.ts';
import { ContributionHandle, takesContributions } from './contribution.ts';
import type { Session } from './sessions.ts';
import { fail, Handle, S_IFREG, Slow, TreeNode, DirectoryHandle, S_IFDIR } from './types.ts';
import type { Attr, AttrChange, Caller, DirectoryEntry } from './types.ts';

/** Reading one of these has the engine compile it. */
const PACKS: ReadonlySet<string> = new Set(['pack.json', 'pack.md', 'prompt.json']);

export class VersionNode extends TreeNode {
  // DRV: the name is looked up each time; what was found never changes.
  override readonly entryTtlMs = 0;
  override readonly attrTtlMs = 3_600_000;
  readonly session: Session;
  /** Below `context/`. */
  readonly name: string;
  readonly #owner: Owner;
  #content: Content | undefined;
  #attr: Attr;

  /** Without content yet: the deriver is asked for it, and the kernel hears of this node only with it. */
  constructor(session: Session, name: string, owner: Owner) {
    super();
    this.session = session;
    this.name = name;
    this.#owner = owner;
    this.#attr = syntheticAttr(syntheticIno(), this.#mode(), 0, owner, 0);
  }

  #mode(): number {
    return S_IFREG | (takesContributions(this.name) ? 0o644 : 0o444);
  }

  get content(): Content {
    if (this.#content === undefined) throw fail('ESTALE', 'this version was never built');
    return this.#content;
  }

  fill(content: Content): void {
    this.#content = content;
    this.#attr = syntheticAttr(this.#attr.ino, this.#mode(), content.sizeBytes, this.#owner, content.modifiedMs);
  }

  attr(): Attr {
    return this.#attr;
  }

  override setattr(change: AttrChange, _caller: Caller, handle?: Handle): Attr {
    // ftruncate before a rewrite, as editors do.
    if (change.sizeBytes !== undefined && handle instanceof ContributionHandle) {
      handle.truncate(change.sizeBytes);
      return { ...this.#attr, sizeBytes: change.sizeBytes };
    }
    const timesOnly = change.mode === undefined && change.uid === undefined && change.gid === undefined && change.sizeBytes === undefined;
    if (!timesOnly) throw fail('EPERM', 'this file is derived: append a line to contribute, or write the whole file');
    return this.#attr;
  }

  override open(flags: number): Handle {
    if ((flags & 3) === constants.O_RDONLY) return this.#openContent();
    return new ContributionHandle(this.session, this.name, flags, () => readAll(this.content));
  }

  #openContent(): Handle {
    try {
      const handle = new ContentHandle(this.content);
      if (PACKS.has(this.name)) this.session.packRead();
      return handle;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      // Its cache was swept since the lookup: ESTALE makes the kernel look the name up again, which rebuilds it.
      this.session.fresh.delete(this.name);
      throw fail('ESTALE', 'this version was swept');
    }
  }

  override getxattr(name: string): Buffer {
    if (name === 'user.ctx.digest') return Buffer.from(this.content.digest);
    throw fail('ENODATA', 'no such attribute');
  }
  override listxattr(): readonly string[] {
    return ['user.ctx.digest'];
  }
}

export function readAll(content: Content): Buffer {
  const bytes = Buffer.alloc(content.sizeBytes);
  const handle = new ContentHandle(content);
  try {
    let at = 0;
    while (at < bytes.length) {
      const count = handle.read(at, bytes.subarray(at));
      if (count === 0) throw fail('EIO', 'a derived file is shorter than its record');
      at += count;
    }
  } finally {
    handle.release();
  }
  return bytes;
}

/** Reads across extents. Files are opened at open(), so that a version stays readable when its cache is swept. */
export class ContentHandle extends Handle {
  override readonly mode = { keepCache: true, noFlush: true };
  readonly #content: Content;
  readonly #fds: Map<string, number> = new Map();

  constructor(content: Content) {
    super();
    this.#content = content;
    try {
      for (const extent of content.extents) {
        if (!this.#fds.has(extent.path)) this.#fds.set(extent.path, fs.openSync(extent.path, constants.O_RDONLY | constants.O_NOFOLLOW));
      }
    } catch (error) {
      this.release();
      throw error;
    }
  }

  override read(offset: number, into: Buffer): number {
    let start = 0;
    let filled = 0;
    for (const extent of this.#content.extents) {
      const end = start + extent.sizeBytes;
      const at = offset + filled;
      if (at < end && at >= start && filled < into.length) {
        const want = Math.min(into.length - filled, end - at);
        const fd = this.#fds.get(extent.path);
        if (fd === undefined) throw fail('EIO', 'extent is not open');
        const count = fs.readSync(fd, into, filled, want, extent.offsetBytes + (at - start));
        filled += count;
        if (count < want) break;
      }
      start = end;
    }
    return filled;
  }

  override release(): void {
    for (const fd of this.#fds.values()) fs.closeSync(fd);
    this.#fds.clear();
  }
}

/** `swap/`, `dedup/`, and their `chunk/` and `blob/`: listed from the deriver, answered by name. */
export class DerivedDirectory extends TreeNode {
  readonly #session: Session;
  readonly #owner: Owner;
  readonly #relative: 'swap' | 'dedup' | 'swap/chunk' | 'dedup/blob';
  readonly #attr: Attr;
  readonly #fetch: (name: string) => TreeNode | Slow<TreeNode>;
  readonly #children: Map<string, DerivedDirectory> = new Map();
  readonly #listed: WeakMap<DirectoryHandle, readonly DirectoryEntry[]> = new WeakMap();

  constructor(session: Session, owner: Owner, relative: DerivedDirectory['relative'], fetch: (name: string) => TreeNode | Slow<TreeNode>) {
    super();
    this.#session = session;
    this.#owner = owner;
    this.#relative = relative;
    this.#fetch = fetch;
    this.#attr = syntheticAttr(syntheticIno(), S_IFDIR | 0o755, 0, owner, Date.now());
  }

  get relative(): 'swap' | 'dedup' | 'swap/chunk' | 'dedup/blob' {
    return this.#relative;
  }

  attr(): Attr {
    return this.#attr;
  }

  override lookup(name: string): TreeNode | Slow<TreeNode> {
    if (this.#relative === 'swap' || this.#relative === 'dedup') {
      const leaf = this.#relative === 'swap' ? 'swap/chunk' : 'dedup/blob';
      if (`${this.#relative}/${name}` === leaf) {
        let child = this.#children.get(leaf);
        if (child === undefined) this.#children.set(leaf, (child = new DerivedDirectory(this.#session, this.#owner, leaf, this.#fetch)));
        return child;
      }
      if (name !== 'index.jsonl') throw fail('ENOENT', 'no such file');
    } else if (!/^sha256[-:][0-9a-f]{8,64}$/.test(name)) {
      throw fail('ENOENT', 'chunks are named by digest');
    }
    return this.#fetch(`${this.#relative}/${name}`);
  }

  override opendir(): DirectoryHandle | Slow<DirectoryHandle> {
    const handle = new DirectoryHandle(this);
    const relative = this.#relative;
    if (relative === 'swap' || relative === 'dedup') return handle;
    // The listing comes with the open directory: READDIR itself never waits.
    return this.#session.ask({ kind: 'list', directory: relative, revision: this.#session.at() }, handle, (names) => {
      this.#listed.set(
        handle,
        names.map((name) => entry(name, S_IFREG)),
      );
    });
  }

  override readdir(handle: DirectoryHandle): readonly DirectoryEntry[] {
    if (this.#relative === 'swap') return [entry('index.jsonl', S_IFREG), entry('chunk', S_IFDIR)];
    if (this.#relative === 'dedup') return [entry('index.jsonl', S_IFREG), entry('blob', S_IFDIR)];
    return this.#listed.get(handle) ?? [];
  }

  /** `rm` of a derived file drops its cache; it comes back on the next read. */
  override unlink(name: string): void {
    this.#session.ask({ kind: 'drop', name: `${this.#relative}/${name}` }, null, () => {}).start(() => {});
    this.#session.fresh.delete(`${this.#relative}/${name}`);
  }
  override rmdir(_name: string, _caller: Caller): void {}
}

function entry(name: string, type: number): DirectoryEntry {
  return { name, type, ino: 0xffff_ffff };
}
