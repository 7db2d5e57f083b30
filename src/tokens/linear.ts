// Exact byte-pair encoding of long pieces in linear time. The encoding of a text is the only token sequence in which
// every neighbouring pair is compatible (merging the two alone gives back the two), so: take the longest token that
// fits behind the last one, shorten it while the pair is incompatible, step back when none is left. A position that
// failed once is never tried again. For the pieces that windows.ts gives up; tables are built on the first of them
// (about 20 MB for o200k_base, half a second).
import type { Vocabulary } from './vocabulary.ts';

const NONE = 0x7fffffff;
const REMEMBERED = 1 << 16;

export class LinearEncoder {
  readonly #vocabulary: Vocabulary;
  // Trie over token bytes: (node << 8 | byte) → node.
  readonly #edgeKey: Int32Array;
  readonly #edgeNode: Int32Array;
  readonly #edgeMask: number;
  #nodeToken: Int32Array;
  #nodes = 1;
  /** The longest proper prefix of a token that is a token, or -1. */
  readonly #prefix: Int32Array;
  /** The two tokens whose merge makes this one; itself twice for a single byte. */
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  // (left, right) → token.
  readonly #pairLeft: Int32Array;
  readonly #pairRight: Int32Array;
  readonly #pairToken: Int32Array;
  readonly #pairMask: number;
  // Pairs asked lately.
  readonly #askedLeft: Int32Array = new Int32Array(REMEMBERED).fill(-1);
  readonly #askedRight: Int32Array = new Int32Array(REMEMBERED);
  readonly #answers: Uint8Array = new Uint8Array(REMEMBERED);
  #found: Int32Array = new Int32Array(1024);

  constructor(vocabulary: Vocabulary) {
    const size = vocabulary.size;
    this.#vocabulary = vocabulary;
    const edges = 2 ** Math.ceil(Math.log2(size * 5));
    this.#edgeMask = edges - 1;
    this.#edgeKey = new Int32Array(edges).fill(-1);
    this.#edgeNode = new Int32Array(edges);
    this.#nodeToken = new Int32Array(size * 4).fill(-1);
    const pairs = 2 ** Math.ceil(Math.log2(size * 2));
    this.#pairMask = pairs - 1;
    this.#pairLeft = new Int32Array(pairs).fill(-1);
    this.#pairRight = new Int32Array(pairs);
    this.#pairToken = new Int32Array(pairs);
    this.#prefix = new Int32Array(size).fill(-1);
    this.#left = new Int32Array(size);
    this.#right = new Int32Array(size);
    for (let token = 0; token < size; token += 1) if (vocabulary.lengthOf(token) > 0) this.#grow(token);
    for (let token = 0; token < size; token += 1) if (vocabulary.lengthOf(token) > 0) this.#dissolve(token);
  }

  /** Encodes `bytes[0..length)`; returns the count, tokens go to `into` when given. */
  encode(bytes: Uint8Array, length: number, into?: number[]): number {
    if (this.#found.length < length) this.#found = new Int32Array(length);
    const found = this.#found;
    const failed = new Uint8Array(length + 1);
    let count = 0;
    let at = 0;
    let token = this.#longest(bytes, 0, length);
    while (at < length) {
      const end = at + this.#vocabulary.lengthOf(token);
      if (failed[end] === 0 && (count === 0 || this.#compatible(found[count - 1] as number, token))) {
        found[count++] = token;
        at = end;
        if (at < length) token = this.#longest(bytes, at, length);
        continue;
      }
      const shorter = this.#prefix[token] as number;
      if (shorter >= 0) {
        token = shorter;
        continue;
      }
      // No token fits here behind what was chosen: give the last one back and let it be shorter.
      failed[at] = 1;
      count -= 1;
      token = found[count] as number;
      at -= this.#vocabulary.lengthOf(token);
    }
    if (into !== undefined) for (let i = 0; i < count; i += 1) into.push(found[i] as number);
    return count;
  }

  /** True when encoding `left + right` alone gives these two tokens. Answers are remembered: long pieces repeat. */
  #compatible(left: number, right: number): boolean {
    const slot = pairHash(left, right) & (REMEMBERED - 1);
    if (this.#askedLeft[slot] === left && this.#askedRight[slot] === right) return this.#answers[slot] === 1;
    const answer = this.#compare(left, right);
    this.#askedLeft[slot] = left;
    this.#askedRight[slot] = right;
    this.#answers[slot] = answer ? 1 : 0;
    return answer;
  }

  #compare(left: number, right: number): boolean {
    let a = left;
    let b = right;
    let limit = NONE;
    for (;;) {
      // A merge across the border that comes before the merges undone so far would have happened first.
      const merged = this.#pair(a, b);
      if (merged >= 0 && merged < limit) return false;
      const splitLeft = a > b;
      if (splitLeft ? this.#right[a] !== a : this.#left[b] === b && this.#right[a] !== a) {
        limit = a;
        a = this.#right[a] as number;
      } else if (this.#left[b] !== b) {
        limit = b + 1;
        b = this.#left[b] as number;
      } else return true;
    }
  }

  #pair(left: number, right: number): number {
    let slot = pairHash(left, right) & this.#pairMask;
    while ((this.#pairLeft[slot] as number) >= 0) {
      if (this.#pairLeft[slot] === left && this.#pairRight[slot] === right) return this.#pairToken[slot] as number;
      slot = (slot + 1) & this.#pairMask;
    }
    return -1;
  }

  #longest(bytes: Uint8Array, start: number, end: number): number {
    let node = 0;
    let token = -1;
    for (let i = start; i < end; i += 1) {
      node = this.#step(node, bytes[i] as number);
      if (node < 0) break;
      const here = this.#nodeToken[node] as number;
      if (here >= 0) token = here;
    }
    return token;
  }

  #step(node: number, byte: number): number {
    const key = (node << 8) | byte;
    let slot = edgeHash(key) & this.#edgeMask;
    for (;;) {
      const held = this.#edgeKey[slot] as number;
      if (held === key) return this.#edgeNode[slot] as number;
      if (held < 0) return -1;
      slot = (slot + 1) & this.#edgeMask;
    }
  }

  #grow(token: number): void {
    const { pool, offsets } = this.#vocabulary;
    let node = 0;
    for (let i = offsets[token] as number; i < (offsets[token + 1] as number); i += 1) {
      let next = this.#step(node, pool[i] as number);
      if (next < 0) {
        const key = (node << 8) | (pool[i] as number);
        let slot = edgeHash(key) & this.#edgeMask;
        while ((this.#edgeKey[slot] as number) >= 0) slot = (slot + 1) & this.#edgeMask;
        next = this.#nodes++;
        this.#edgeKey[slot] = key;
        this.#edgeNode[slot] = next;
        if (next >= this.#nodeToken.length) {
          const larger = new Int32Array(this.#nodeToken.length * 2).fill(-1);
          larger.set(this.#nodeToken);
          this.#nodeToken = larger;
        }
      }
      node = next;
    }
    this.#nodeToken[node] = token;
  }

  /** Finds the merge that makes a token. Tokens come in rank order, so everything smaller is known. */
  #dissolve(token: number): void {
    const { pool, offsets } = this.#vocabulary;
    const start = offsets[token] as number;
    const end = offsets[token + 1] as number;
    let node = 0;
    const prefixes: number[] = [];
    for (let i = start; i < end - 1; i += 1) {
      node = this.#step(node, pool[i] as number);
      const here = this.#nodeToken[node] as number;
      if (here >= 0) prefixes.push(here);
    }
    this.#prefix[token] = prefixes.at(-1) ?? -1;
    this.#left[token] = token;
    this.#right[token] = token;
    for (let i = prefixes.length - 1; i >= 0; i -= 1) {
      const left = prefixes[i] as number;
      const right = this.#vocabulary.find(pool, start + this.#vocabulary.lengthOf(left), end);
      if (left >= token || right < 0 || right >= token || !this.#compare(left, right)) continue;
      this.#left[token] = left;
      this.#right[token] = right;
      let slot = pairHash(left, right) & this.#pairMask;
      while ((this.#pairLeft[slot] as number) >= 0) slot = (slot + 1) & this.#pairMask;
      this.#pairLeft[slot] = left;
      this.#pairRight[slot] = right;
      this.#pairToken[slot] = token;
      return;
    }
  }
}

function edgeHash(key: number): number {
  const hash = Math.imul(key, 0x9e3779b1);
  return hash ^ (hash >>> 15);
}

function pairHash(left: number, right: number): number {
  const hash = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b);
  return hash ^ (hash >>> 15);
}
