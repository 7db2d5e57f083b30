// The root of /ctx, and everything that hangs on it.
import { CONTROL_FILE } from '../abi/control.ts';
import { bytePath, lstatOrFail, syntheticAttr } from './backing.ts';
import { BytesName, FixedDirectory } from './bytes-node.ts';
import { ControlChannel } from './control-channel.ts';
import { ModelDirectory } from './model-dir.ts';
import type { PathParent } from './ordinary.ts';
import { HomeDirectory, SharedDirectory } from './places.ts';
import type { Store } from './store.ts';
import { DirectoryHandle, fail, S_IFDIR, S_IFREG, TreeNode } from './types.ts';
import type { Attr, DirectoryEntry } from './types.ts';

export interface RootOptions {
  /** KEY=VALUE lines of /ctx/status. */
  readonly status: () => readonly string[];
  /** Text of /ctx/bin/ctx. */
  readonly launcher: string;
}

const ENTRIES = ['status', 'bin', 'model', 'agent', 'tool', 'home', 'shared'] as const;

export class RootDirectory extends TreeNode implements PathParent {
  readonly store: Store;
  readonly #options: RootOptions;
  readonly #attr: Attr;
  readonly #status: BytesName = new BytesName();
  readonly #bin: FixedDirectory;
  readonly #model: ModelDirectory;
  readonly #home: HomeDirectory;
  readonly #shared: SharedDirectory;
  readonly #control: ControlChannel;

  constructor(store: Store, options: RootOptions) {
    super();
    const now = Date.now();
    const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    this.store = store;
    this.#options = options;
    this.#attr = syntheticAttr(1, S_IFDIR | 0o755, 0, owner, now);
    const launcher = new BytesName();
    this.#bin = new FixedDirectory(
      owner,
      now,
      () => new Map([['ctx', () => launcher.node(Buffer.from(options.launcher), owner, now, 0o755)]]),
    );
    this.#model = new ModelDirectory(owner, () => store.sessions.options.deriver.engine.models);
    this.#home = new HomeDirectory(store, `${store.root}/home`);
    this.#shared = new SharedDirectory(store, `${store.root}/shared`);
    this.#control = new ControlChannel(store, owner, () => this.statusText());
  }

  statusText(): string {
    return this.#options
      .status()
      .map((line) => `${line}\n`)
      .join('');
  }

  path(): string {
    return bytePath(this.store.root);
  }
  changed(): void {}
  attr(): Attr {
    return this.#attr;
  }

  override lookup(name: string): TreeNode {
    switch (name) {
      case 'status':
        return this.#status.node(Buffer.from(this.statusText()), this.#attr, Date.now());
      case 'bin':
        return this.#bin;
      case 'model':
        return this.#model;
      case 'home':
        return this.#home;
      case 'shared':
        return this.#shared;
      case 'agent':
      case 'tool':
        return this.store.area.nodeAt(this, name, lstatOrFail(`${this.store.root}/${name}`));
      case CONTROL_FILE:
        return this.#control;
      default:
        throw fail('ENOENT', 'no such file');
    }
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return ENTRIES.map((name) => ({ name, type: name === 'status' ? S_IFREG : S_IFDIR, ino: 0xffff_ffff }));
  }
}
