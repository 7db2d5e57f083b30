// The tokens of a vocabulary as a trie in one flat table (4 MB), for the longest token at a place. A node is the slot
// that its edge is kept in, so an edge needs no room for where it leads. Built in about 50 ms.
import type { Vocabulary } from './vocabulary.ts';

const NODE_BITS = 20;
const NODE_MASK = (1 << NODE_BITS) - 1;
const TOKEN_BITS = 18;
const TOKEN_MASK = (1 << TOKEN_BITS) - 1;
/** One more in the distance, which starts at 1: a used slot is never 0. */
const FURTHER = 1 << (TOKEN_BITS + 8);
const MAX_DISTANCE = 62;
/** In place of a distance: this node is found by its two bytes, not by an edge. */
const BY_BYTES = (MAX_DISTANCE + 1) << (TOKEN_BITS + 8);
const EDGE_FACTOR = 0x9e3779b1;

export class TokenTrie {
  /**
   * Open addressing from (node, byte), 28 bits, to the child. Multiplied by an odd number they stay apart, so the slot,
   * how far it is from where the search began, and the low byte of the product tell them exactly. A slot holds token + 1
   * (0: no token ends here), low byte, distance.
   */
  readonly #edges: Int32Array = new Int32Array(1 << NODE_BITS);
  /** Two bytes → node + 1. */
  readonly #second: Int32Array = new Int32Array(1 << 16);
  readonly #single: Int32Array = new Int32Array(256);

  constructor(vocabulary: Vocabulary) {
    const { pool, offsets } = vocabulary;
    for (let token = 0; token < vocabulary.size; token += 1) {
      const start = offsets[token] as number;
      const end = offsets[token + 1] as number;
      if (end - start === 1) this.#single[pool[start] as number] = token;
      if (end - start < 2) continue;
      let node = this.#root(((pool[start] as number) << 8) | (pool[start + 1] as number));
      for (let i = start + 2; i < end; i += 1) node = this.#child(node, pool[i] as number);
      this.#edges[node] = (this.#edges[node] as number) | (token + 1);
    }
  }

  /** The longest token that `bytes` has at `start` and that ends by `end`; `start < end`. */
  longest(bytes: Uint8Array, start: number, end: number): number {
    const edges = this.#edges;
    const first = bytes[start] as number;
    let token = this.#single[first] as number;
    if (start + 1 >= end) return token;
    let node = (this.#second[(first << 8) | (bytes[start + 1] as number)] as number) - 1;
    if (node < 0) return token;
    let held = edges[node] as number;
    for (let i = start + 2; ; i += 1) {
      if ((held & TOKEN_MASK) !== 0) token = (held & TOKEN_MASK) - 1;
      if (i >= end) return token;
      const product = Math.imul((node << 8) | (bytes[i] as number), EDGE_FACTOR);
      node = (product >>> 8) & NODE_MASK;
      let wanted = (((product & 0xff) << TOKEN_BITS) + FURTHER) | 0;
      for (;;) {
        held = edges[node] as number;
        if (held === 0) return token;
        if ((held ^ wanted) >>> TOKEN_BITS === 0) break;
        wanted = (wanted + FURTHER) | 0;
        node = (node + 1) & NODE_MASK;
      }
    }
  }

  #root(two: number): number {
    const known = (this.#second[two] as number) - 1;
    if (known >= 0) return known;
    let slot = Math.imul(two, EDGE_FACTOR) >>> (32 - NODE_BITS);
    while (this.#edges[slot] !== 0) slot = (slot + 1) & NODE_MASK;
    this.#edges[slot] = BY_BYTES;
    this.#second[two] = slot + 1;
    return slot;
  }

  #child(node: number, byte: number): number {
    const edges = this.#edges;
    const product = Math.imul((node << 8) | byte, EDGE_FACTOR);
    let slot = (product >>> 8) & NODE_MASK;
    let wanted = (((product & 0xff) << TOKEN_BITS) + FURTHER) | 0;
    for (let distance = 1; distance <= MAX_DISTANCE; distance += 1) {
      const held = edges[slot] as number;
      if (held === 0) edges[slot] = wanted;
      if (held === 0 || (held ^ wanted) >>> TOKEN_BITS === 0) return slot;
      wanted = (wanted + FURTHER) | 0;
      slot = (slot + 1) & NODE_MASK;
    }
    throw new RangeError('too many tokens begin alike');
  }
}
