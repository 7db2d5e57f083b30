// What the kernel holds by number: nodes (with lookup counts) and open files.
import type { Handle, TreeNode } from '../../src/tree/types.ts';
import { fail } from '../../src/tree/types.ts';
import { ROOT_NODEID } from './protocol.ts';

export class NodeTable {
  readonly #nodes: (TreeNode | undefined)[] = [undefined];
  // A number is used again only after many others: a late FORGET can never meet the wrong node.
  readonly #free: number[] = [];

  constructor(root: TreeNode) {
    root.nodeid = ROOT_NODEID;
    root.lookups = 1;
    this.#nodes.push(root);
  }

  get(nodeid: number): TreeNode {
    const node = this.#nodes[nodeid];
    if (node === undefined) throw fail('ESTALE', 'unknown node');
    return node;
  }

  /** The kernel is told of this node once more. */
  reference(node: TreeNode): TreeNode {
    if (node.nodeid === 0 || this.#nodes[node.nodeid] !== node) {
      node.nodeid = this.#free.length > 1024 ? (this.#free.shift() as number) : this.#nodes.length;
      node.lookups = 0;
      this.#nodes[node.nodeid] = node;
    }
    node.lookups += 1;
    return node;
  }

  forget(nodeid: number, count: number): void {
    const node = this.#nodes[nodeid];
    if (node === undefined || nodeid === ROOT_NODEID) return;
    node.lookups -= count;
    if (node.lookups > 0) return;
    this.#nodes[nodeid] = undefined;
    this.#free.push(nodeid);
    node.nodeid = 0;
    node.lookups = 0;
    node.forget();
  }
}

export class HandleTable {
  readonly #handles: (Handle | undefined)[] = [undefined];
  readonly #free: number[] = [];

  add(handle: Handle): number {
    const fh = this.#free.pop() ?? this.#handles.length;
    this.#handles[fh] = handle;
    return fh;
  }
  get(fh: number): Handle {
    const handle = this.#handles[fh];
    if (handle === undefined) throw fail('EBADF', 'unknown open file');
    return handle;
  }
  remove(fh: number): Handle {
    const handle = this.get(fh);
    this.#handles[fh] = undefined;
    this.#free.push(fh);
    return handle;
  }
  /** Every open file, at the end of the mount. */
  drain(): Handle[] {
    return this.#handles.splice(1).filter((handle) => handle !== undefined);
  }
}
