// `/ctx/model/<provider>/<name>.d/{id,driver,limit,status,config.json}`: the configured models, read-only.
import { syntheticAttr, syntheticIno } from './backing.ts';
import { BytesName, FixedDirectory } from './bytes-node.ts';
import type { Owner } from './bytes-node.ts';
import type { ShownModel } from './engine-client.ts';
import { DirectoryHandle, fail, S_IFDIR, TreeNode } from './types.ts';
import type { Attr, Caller, DirectoryEntry } from './types.ts';

const EMPTY: ReadonlyMap<string, () => TreeNode> = new Map();

export class ModelDirectory extends TreeNode {
  readonly #owner: Owner;
  readonly #models: () => readonly ShownModel[];
  readonly #attr: Attr;
  readonly #children: Map<string, ModelDirectory | FixedDirectory> = new Map();
  readonly #provider: string | undefined;
  readonly #atMs = Date.now();

  /** `provider`: this is one provider's directory. */
  constructor(owner: Owner, models: () => readonly ShownModel[], provider?: string) {
    super();
    this.#owner = owner;
    this.#models = models;
    this.#provider = provider;
    this.#attr = syntheticAttr(syntheticIno(), S_IFDIR | 0o755, 0, owner, this.#atMs);
  }

  attr(): Attr {
    return this.#attr;
  }

  #names(): readonly string[] {
    const models = this.#models();
    if (this.#provider === undefined) return [...new Set(models.map(({ provider }) => provider))];
    return models.filter(({ provider }) => provider === this.#provider).map(({ name }) => `${name}.d`);
  }

  override lookup(name: string, _caller: Caller): TreeNode {
    if (!this.#names().includes(name)) {
      this.#children.delete(name);
      throw fail('ENOENT', 'no such model');
    }
    let node = this.#children.get(name);
    if (node === undefined) {
      node = this.#provider === undefined ? new ModelDirectory(this.#owner, this.#models, name) : this.#model(this.#provider, name);
      this.#children.set(name, node);
    }
    return node;
  }

  #model(provider: string, directory: string): FixedDirectory {
    const kept = new Map<string, BytesName>();
    return new FixedDirectory(this.#owner, this.#atMs, () => {
      const model = this.#models().find((one) => one.provider === provider && `${one.name}.d` === directory);
      if (model === undefined) return EMPTY;
      const node = (file: string, text: string): TreeNode => {
        let name = kept.get(file);
        if (name === undefined) kept.set(file, (name = new BytesName()));
        return name.node(Buffer.from(text), this.#owner, Date.now());
      };
      return new Map(Object.entries(model.files).map(([file, text]) => [file, () => node(file, text)]));
    });
  }

  override opendir(): DirectoryHandle {
    return new DirectoryHandle(this);
  }
  override readdir(): readonly DirectoryEntry[] {
    return this.#names().map((name) => ({ name, type: S_IFDIR, ino: 0xffff_ffff }));
  }
}
