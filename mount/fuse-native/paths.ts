// fuse-native speaks in paths; the tree speaks in nodes. Nodes are found anew for each operation.
import { Slow } from '../../src/tree/types.ts';
import type { Caller, TreeNode } from '../../src/tree/types.ts';

/** The tree's names are bytes (latin1 strings); fuse-native's are UTF-8 text. */
export const nameToTree = (name: string): string => Buffer.from(name, 'utf8').toString('latin1');
export const nameFromTree = (name: string): string => Buffer.from(name, 'latin1').toString('utf8');

export async function settle<T>(value: T | Slow<T>): Promise<T> {
  if (!(value instanceof Slow)) return value;
  return new Promise<T>((resolve, reject) => {
    value.start((outcome) => {
      if ('error' in outcome) reject(outcome.error as Error);
      else resolve(outcome.value);
    });
  });
}

export interface Place {
  readonly parent: TreeNode;
  readonly name: string;
}

const FORGET_ABOVE = 20_000;

export class Paths {
  readonly #root: TreeNode;
  readonly #caller: Caller;
  /** Nodes given out since the last sweep. A child keeps its parent: nothing is forgotten while a file is open. */
  readonly #known: Set<TreeNode> = new Set();

  constructor(root: TreeNode, caller: Caller) {
    this.#root = root;
    this.#caller = caller;
  }

  async node(path: string): Promise<TreeNode> {
    let node = this.#root;
    for (const name of path.split('/')) {
      if (name === '') continue;
      node = await settle(node.lookup(nameToTree(name), this.#caller));
      this.#known.add(node);
    }
    return node;
  }

  async place(path: string): Promise<Place> {
    const slash = path.lastIndexOf('/');
    return { parent: await this.node(path.slice(0, slash)), name: nameToTree(path.slice(slash + 1)) };
  }

  /** Bounds memory: called when nothing is open. */
  sweep(): void {
    if (this.#known.size <= FORGET_ABOVE) return;
    for (const node of this.#known) node.forget();
    this.#known.clear();
  }
}
