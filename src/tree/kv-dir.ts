// `context/kv/`: what is compiled of a session. manifest.json is listed and always there; state.bin and tokens.bin answer by
// name. A look never starts a compile; an open of the two waits for one (KVT-1, KVT-6).
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { syntheticAttr, syntheticIno } from './backing.ts';
import { BytesNode } from './bytes-node.ts';
import type { Owner } from './bytes-node.ts';
import { askEngine } from './engine-client.ts';
import type { EngineClient, StateFile } from './engine-client.ts';
import type { Session } from './sessions.ts';
import { DirectoryHandle, fail, Handle, S_IFDIR, S_IFREG, Slow, TreeNode } from './types.ts';
import type { Attr, Caller, DirectoryEntry } from './types.ts';

export class KvDirectory extends TreeNode {
  readonly #session: Session;
  readonly #owner: Owner;
  readonly #attr: Attr;
  #manifestNow: { readonly digest: string; readonly value: TreeNode } | undefined;

  constructor(session: Session, owner: Owner) {
    super();
    this.#session = session;
    this.#owner = owner;
    this.#attr = syntheticAttr(syntheticIno(), S_IFDIR | 0o755, 0, owner, Date.now());
  }

  attr(): Attr {
    return this.#attr;
  }

  override lookup(name: string): TreeNode | Slow<TreeNode> {
    if (name === 'manifest.json') return this.#manifest();
    if (name === 'state.bin' || name === 'tokens.bin') return this.#state(name);
    throw fail('ENOENT', 'no such file');
  }

  #manifest(): Slow<TreeNode> {
    const node = new BytesNode(Buffer.alloc(0), this.#owner, 0);
    const request = { kind: 'manifest', of: this.#session.forEngine() } as const;
    return askEngine<typeof request, TreeNode>(
      this.#session.engine,
      request,
      node,
      ({ text, modifiedMs, digest }) => {
        node.fill(Buffer.from(text), modifiedMs);
        this.#manifestNow = { digest, value: node };
      },
      this.#manifestNow,
    );
  }

  #state(file: StateFile): Slow<TreeNode> {
    const node = new StateNode(this.#session, file, this.#owner);
    const request = { kind: 'state-now', of: this.#session.forEngine(), file } as const;
    // A node for each look: an open fills it with what it waited for.
    return askEngine<typeof request, TreeNode>(this.#session.engine, request, node, ({ sizeBytes, modifiedMs }) =>
      node.fill(sizeBytes, modifiedMs),
    );
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return [{ name: 'manifest.json', type: S_IFREG, ino: 0xffff_ffff }];
  }
  /** Derived: it is back at the next look. Compiled state goes with `ctx evict`. */
  override unlink(name: string): void {
    if (name !== 'manifest.json') throw fail('EPERM', 'ctx evict drops compiled state');
  }
}

/** One look at state.bin or tokens.bin. An open may find it grown: each answers with what it holds. */
class StateNode extends TreeNode {
  override readonly entryTtlMs = 0;
  override readonly attrTtlMs = 0;
  readonly #session: Session;
  readonly #file: StateFile;
  readonly #owner: Owner;
  #attr: Attr;

  constructor(session: Session, file: StateFile, owner: Owner) {
    super();
    this.#session = session;
    this.#file = file;
    this.#owner = owner;
    this.#attr = syntheticAttr(syntheticIno(), S_IFREG | 0o444, 0, owner, 0);
  }

  fill(sizeBytes: number, modifiedMs: number): void {
    this.#attr = syntheticAttr(this.#attr.ino, S_IFREG | 0o444, sizeBytes, this.#owner, modifiedMs);
  }

  attr(): Attr {
    return this.#attr;
  }

  override open(flags: number, _caller: Caller): Slow<Handle> {
    if ((flags & 3) !== constants.O_RDONLY) throw fail('EPERM', 'compiled state is derived');
    const { engine } = this.#session;
    const handle = new StateHandle(engine);
    const wait = (flags & constants.O_NONBLOCK) === 0;
    const request = { kind: 'state', of: this.#session.forEngine(), file: this.#file, wait } as const;
    return askEngine<typeof request, Handle>(engine, request, handle, ({ file, sizeBytes, modifiedMs }) => {
      handle.fill(file);
      this.fill(sizeBytes, modifiedMs);
    });
  }
}

/** KVT-3: reads what was there at its open, whatever is evicted meanwhile. */
class StateHandle extends Handle {
  // The size is known only now: the kernel must not go by the one of the look.
  override readonly mode = { directIo: true, noFlush: true };
  readonly #engine: EngineClient;
  #file: number | undefined;

  constructor(engine: EngineClient) {
    super();
    this.#engine = engine;
  }
  fill(file: number): void {
    this.#file = file;
  }
  override read(offset: number, into: Buffer): number {
    if (this.#file === undefined) throw fail('EBADF', 'not open');
    return fs.readSync(this.#file, into, 0, into.length, offset);
  }
  /** The engine's thread opened it and closes it. */
  override release(): void {
    if (this.#file !== undefined) this.#engine.letGo(this.#file);
    this.#file = undefined;
  }
}
