// `memory/` and `retrieval/` of a session: a name for each binding. Memory that may be written is a symbolic link to where it lies: the
// kernel goes there with the rights of who asks. Memory that may not, or not for good, is a view of it. Documents of an image are the image's.
import { createHash } from 'node:crypto';
import type { MemoryMount } from '../context/policy-memory.ts';
import { bytePath, isDirectory, lstatOrFail, syntheticAttr, syntheticIno, toAttr } from './backing.ts';
import type { Bindings } from './bindings.ts';
import { sourceDirectory } from './image-dir.ts';
import type { PathParent } from './ordinary.ts';
import { mayReach } from './session-access.ts';
import { DirectoryHandle, fail, S_IFDIR, S_IFLNK, TreeNode } from './types.ts';
import type { Attr, Caller, DirectoryEntry } from './types.ts';
import { ViewArea } from './view-node.ts';
import { ViewLayers } from './view-layers.ts';

/** In a session's directory of the store: what its ephemeral mounts hold. Goes with the session (IMG-92). */
export const EPHEMERAL_DIR = '.memory';

type Make = (caller: Caller) => TreeNode;

abstract class BindingDirectory extends TreeNode implements PathParent {
  override readonly entryTtlMs = 0;
  override readonly attrTtlMs = 0;
  protected readonly bindings: Bindings;
  readonly #ino: number = syntheticIno();
  readonly #made: Map<string, TreeNode> = new Map();

  constructor(bindings: Bindings) {
    super();
    this.bindings = bindings;
  }

  protected abstract names(): ReadonlyMap<string, { readonly type: number; readonly make: Make }>;

  /** Nothing is bound: the name is not there. */
  get isEmpty(): boolean {
    return this.names().size === 0;
  }
  path(): string {
    return bytePath(this.bindings.session.directory);
  }
  changed(): void {}
  attr(): Attr {
    this.bindings.session.mustExist();
    const { uid, gid, mode, mtime } = toAttr(lstatOrFail(this.bindings.session.directory));
    return syntheticAttr(this.#ino, S_IFDIR | (mode & 0o555), 0, { uid, gid }, mtime * 1000);
  }
  override lookup(name: string, caller: Caller): TreeNode {
    const binding = this.names().get(name);
    if (binding === undefined) throw fail('ENOENT', 'nothing of this name is bound');
    return binding.make(caller);
  }
  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return [...this.names()].map(([name, { type }]) => ({ name, type, ino: 0xffff_ffff }));
  }

  /** One node while the binding is the same. */
  protected once(key: string, make: () => TreeNode): TreeNode {
    let node = this.#made.get(key);
    if (node === undefined) this.#made.set(key, (node = make()));
    return node;
  }

  protected linkTo(path: string): TreeNode {
    const up = '../'.repeat(this.bindings.session.relative.split('/').length + 1);
    return this.once(`link ${path}`, () => new LinkNode(`${up}${path}`, this.attr()));
  }

  protected viewOf(name: string, path: string, upper: string | undefined, caller: Caller): TreeNode {
    const { store, session } = this.bindings;
    // Asked at each walk: the name is never kept.
    if (!mayReach(store, path, caller)) throw fail('EACCES', `${path} is closed to you`);
    if (!isDirectory(`${store}/${path}`)) throw fail('ENOENT', 'what is bound is not there');
    return this.once(`view ${name} ${path} ${upper ?? ''}`, () => {
      const layers = new ViewLayers(bytePath(store), bytePath(path), upper === undefined ? undefined : bytePath(upper));
      return new ViewArea(session.options.deriver, layers).root(this, name);
    });
  }
}

/** IMG-90 to IMG-93. */
export class MemoryDirectory extends BindingDirectory {
  protected names(): ReadonlyMap<string, { readonly type: number; readonly make: Make }> {
    return new Map(
      this.bindings
        .memory()
        .filter(({ path }) => isDirectory(`${this.bindings.store}/${path}`))
        .map(({ name, path, mode }) => [
          name,
          {
            type: mode === 'read-write' ? S_IFLNK : S_IFDIR,
            make: (caller): TreeNode =>
              mode === 'read-write' ? this.linkTo(path) : this.viewOf(name, path, this.#upper(name, path, mode), caller),
          },
        ]),
    );
  }

  #upper(name: string, path: string, mode: MemoryMount['mode']): string | undefined {
    if (mode !== 'ephemeral') return undefined;
    const volume = createHash('sha256').update(path).digest('hex').slice(0, 16);
    return `${this.bindings.session.directory}/${EPHEMERAL_DIR}/${name}-${volume}`;
  }
}

/** IMG-94. */
export class RetrievalDirectory extends BindingDirectory {
  protected names(): ReadonlyMap<string, { readonly type: number; readonly make: Make }> {
    return new Map(
      this.bindings.retrieval().map(({ name, place, view }) => [
        name,
        {
          type: S_IFDIR,
          make: (caller): TreeNode =>
            'volume' in place
              ? this.viewOf(name, place.volume, undefined, caller)
              : this.once(`image ${view.descriptor.digest} ${place.source}`, () => sourceDirectory(view, place.source, this.attr())),
        },
      ]),
    );
  }
}

class LinkNode extends TreeNode {
  override readonly entryTtlMs = 0;
  readonly #target: string;
  readonly #attr: Attr;

  constructor(target: string, owner: { readonly uid: number; readonly gid: number; readonly mtime: number }) {
    super();
    this.#target = target;
    this.#attr = syntheticAttr(syntheticIno(), S_IFLNK | 0o777, target.length, owner, owner.mtime * 1000);
  }
  attr(): Attr {
    return this.#attr;
  }
  override readlink(): string {
    return bytePath(this.#target);
  }
}
