// Small read-only files whose bytes are computed here: status, index files, latest.md, bin/ctx.
// Each version is its own node, so that fstat of an open file equals what it reads.
import { constants } from 'node:fs';
import { syntheticAttr, syntheticIno } from './backing.ts';
import { DirectoryHandle, fail, Handle, S_IFDIR, S_IFREG, TreeNode } from './types.ts';
import type { Attr, Caller, DirectoryEntry } from './types.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export class BytesNode extends TreeNode {
  override readonly entryTtlMs = 0;
  override readonly attrTtlMs = 3_600_000;
  #bytes: Buffer;
  #attr: Attr;

  constructor(bytes: Buffer, owner: Owner, atMs: number, mode: number = 0o444) {
    super();
    this.#bytes = bytes;
    this.#attr = syntheticAttr(syntheticIno(), S_IFREG | mode, bytes.length, owner, atMs);
  }
  get bytes(): Buffer {
    return this.#bytes;
  }
  /** Completes a node whose bytes the deriver finds, before the kernel hears of it. */
  fill(bytes: Buffer, atMs: number): void {
    const { ino, mode, uid, gid } = this.#attr;
    this.#bytes = bytes;
    this.#attr = syntheticAttr(ino, mode, bytes.length, { uid, gid }, atMs);
  }
  attr(): Attr {
    return this.#attr;
  }
  override open(flags: number): Handle {
    if ((flags & 3) !== constants.O_RDONLY) throw fail('EPERM', 'this file is derived');
    return new BytesHandle(this.bytes);
  }
}

class BytesHandle extends Handle {
  override readonly mode = { keepCache: true, noFlush: true };
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    super();
    this.bytes = bytes;
  }
  override read(offset: number, into: Buffer): number {
    return offset >= this.bytes.length ? 0 : this.bytes.copy(into, 0, offset, Math.min(this.bytes.length, offset + into.length));
  }
}

/** A name whose bytes may differ at each look: the same node while they do not. */
export class BytesName {
  #last: BytesNode | undefined;
  node(bytes: Buffer, owner: Owner, atMs: number, mode?: number): BytesNode {
    if (this.#last === undefined || !this.#last.bytes.equals(bytes)) this.#last = new BytesNode(bytes, owner, atMs, mode);
    return this.#last;
  }
  adopt(node: BytesNode): void {
    this.#last = node;
  }
}

/** A read-only directory made of names. `children` gives the nodes anew at each look. */
export class FixedDirectory extends TreeNode {
  readonly #attr: Attr;
  readonly #children: (caller: Caller) => ReadonlyMap<string, () => TreeNode>;
  readonly #types: (name: string) => number;

  constructor(
    owner: Owner,
    atMs: number,
    children: () => ReadonlyMap<string, () => TreeNode>,
    types: (name: string) => number = () => S_IFREG,
  ) {
    super();
    this.#attr = syntheticAttr(syntheticIno(), S_IFDIR | 0o755, 0, owner, atMs);
    this.#children = children;
    this.#types = types;
  }
  attr(): Attr {
    return this.#attr;
  }
  override lookup(name: string, caller: Caller): TreeNode {
    const child = this.#children(caller).get(name);
    if (child === undefined) throw fail('ENOENT', 'no such file');
    return child();
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return [...this.#children({ uid: 0, gid: 0, pid: 0 }).keys()].map((name) => ({ name, type: this.#types(name), ino: 0xffff_ffff }));
  }
}
