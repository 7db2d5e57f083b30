// Exact byte-pair encoding of long pieces in linear time. The encoding of a text is the only token sequence in which
// every neighbouring pair is compatible (merging the two alone gives back the two), so: take the longest token that
// fits behind the last one, shorten it while the pair is incompatible, step back when none is left. A position that
// failed once is never tried again. Fast where pairs come again, as in all text that people and programs write; where
// they do not, windows.ts is faster. What a token is made of is found when it is first asked for. About 9 MB, 50 ms.
import { TokenTrie } from './trie.ts';
import { TOKEN_BITS as ID_BITS, addByte, hashPowers, mayHave, mixHash, type Vocabulary } from './vocabulary.ts';

// Imported constants are looked up each time; this one is not.
const TOKEN_BITS = ID_BITS;
const TOKEN_MASK = (1 << TOKEN_BITS) - 1;
const NONE = 0x7fffffff;
const UNKNOWN = -2;
// A token's numbers: hash of its bytes, how many, and the two tokens whose merge makes it (itself twice if none does).
const HASH = 0;
const BYTES = 1;
const LEFT = 2;
const RIGHT = 3;
/** As many as there are token ids: with the left token, a place tells the right one. */
const MEMO_BITS = 18;
const MEMO_MASK = (1 << MEMO_BITS) - 1;

/** What a pair that is not remembered costs, in tokens that are. */
const MISS_COST = 6;
const MOST_DEBT = 1 << 17;

export class LinearEncoder {
  readonly #vocabulary: Vocabulary;
  readonly #trie: TokenTrie;
  /** Four numbers a token. */
  readonly #tokens: Int32Array;
  /** The longest proper prefix of a token that is a token, or -1. */
  readonly #prefix: Int32Array;
  readonly #powers: Int32Array;
  /** By a hash of the left token xor the right one: left token + 1, and whether the two are compatible. */
  readonly #memo: Int32Array = new Int32Array(1 << MEMO_BITS);
  #found: Int32Array = new Int32Array(1024);
  #failed: Uint8Array = new Uint8Array(1025);
  /** Grows with pairs that were not remembered, falls with those that were and with what was encoded otherwise. */
  #debt = 0;

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    this.#trie = new TokenTrie(vocabulary);
    this.#tokens = new Int32Array(vocabulary.size * 4);
    this.#prefix = new Int32Array(vocabulary.size).fill(UNKNOWN);
    const { pool, offsets } = vocabulary;
    let longest = 0;
    for (let token = 0; token < vocabulary.size; token += 1) {
      longest = Math.max(longest, vocabulary.lengthOf(token));
      let hash = 0;
      for (let i = offsets[token] as number; i < (offsets[token + 1] as number); i += 1) hash = addByte(hash, pool[i] as number);
      this.#tokens[token * 4 + HASH] = hash;
      this.#tokens[token * 4 + BYTES] = vocabulary.lengthOf(token);
      this.#tokens[token * 4 + LEFT] = UNKNOWN;
    }
    this.#powers = hashPowers(longest + 1);
  }

  /** As `encode`, or -1 where too few pairs come again; then another way is faster. It is asked again after a while. */
  tryEncode(bytes: Uint8Array, length: number, into?: number[]): number {
    if (this.#debt >= MOST_DEBT) {
      this.#debt -= length >> 6;
      return -1;
    }
    return this.#encode(bytes, length, into, MOST_DEBT);
  }

  /** Encodes `bytes[0..length)`; returns the count, tokens go to `into` when given. */
  encode(bytes: Uint8Array, length: number, into?: number[]): number {
    return this.#encode(bytes, length, into, NONE);
  }

  #encode(bytes: Uint8Array, length: number, into: number[] | undefined, mostDebt: number): number {
    if (this.#found.length < length) {
      this.#found = new Int32Array(length);
      this.#failed = new Uint8Array(length + 1);
    }
    const found = this.#found;
    const failed = this.#failed.fill(0, 0, length + 1);
    const tokens = this.#tokens;
    const memo = this.#memo;
    const trie = this.#trie;
    let debt = this.#debt;
    let count = 0;
    let last = -1;
    let place = 0;
    let token = trie.longest(bytes, 0, length);
    for (let at = 0; at < length;) {
      const end = at + (tokens[token * 4 + BYTES] as number);
      if (failed[end] === 0) {
        let fits = last < 0;
        if (!fits) {
          const slot = (place ^ token) & MEMO_MASK;
          const held = memo[slot] as number;
          if (held >>> 1 === last + 1) fits = (held & 1) === 1;
          else {
            fits = this.#compatible(last, token, NONE);
            memo[slot] = ((last + 1) << 1) | (fits ? 1 : 0);
            debt += MISS_COST;
            if (debt - count > mostDebt) {
              this.#debt = mostDebt;
              return -1;
            }
          }
        }
        if (fits) {
          found[count++] = token;
          at = end;
          last = token;
          place = placeOf(last);
          if (at < length) token = trie.longest(bytes, at, length);
          continue;
        }
      }
      const shorter = this.#prefixOf(token);
      if (shorter >= 0) {
        token = shorter;
        continue;
      }
      // No token fits here behind what was chosen: give the last one back and let it be shorter.
      failed[at] = 1;
      count -= 1;
      token = found[count] as number;
      at -= tokens[token * 4 + BYTES] as number;
      last = count > 0 ? (found[count - 1] as number) : -1;
      place = placeOf(last);
    }
    this.#debt = Math.min(MOST_DEBT, Math.max(0, debt - count));
    if (into !== undefined) for (let i = 0; i < count; i += 1) into.push(found[i] as number);
    return count;
  }

  /** True when encoding `left + right` alone, with no merges but those of rank below `limit`, gives these two tokens. */
  #compatible(left: number, right: number, limit: number): boolean {
    const tokens = this.#tokens;
    let a = left;
    let b = right;
    for (;;) {
      // A merge across the border that comes before the merges undone so far would have happened first.
      if (this.#merged(a, b, limit)) return false;
      if (tokens[a * 4 + LEFT] === UNKNOWN) this.#dissolve(a);
      if (tokens[b * 4 + LEFT] === UNKNOWN) this.#dissolve(b);
      const behind = tokens[a * 4 + RIGHT] as number;
      const before = tokens[b * 4 + LEFT] as number;
      if (behind !== a && (a > b || before === b)) {
        limit = a;
        a = behind;
      } else if (before !== b) {
        limit = b + 1;
        b = before;
      } else return true;
    }
  }

  /** Whether there is a token below `limit` that is made of these two. */
  #merged(left: number, right: number, limit: number): boolean {
    const tokens = this.#tokens;
    const bytes = tokens[right * 4 + BYTES] as number;
    const hash = (Math.imul(tokens[left * 4 + HASH] as number, this.#powers[bytes] as number) + (tokens[right * 4 + HASH] as number)) | 0;
    const mixed = mixHash(hash);
    const { filter, slots, mask } = this.#vocabulary;
    if (!mayHave(filter, mixed)) return false;
    for (let slot = mixed & mask; ; slot = (slot + 1) & mask) {
      const held = slots[slot] as number;
      if (held === 0) return false;
      if ((held ^ mixed) >>> TOKEN_BITS !== 0) continue;
      const token = (held & TOKEN_MASK) - 1;
      // They are met in rank order.
      if (token >= limit) return false;
      if (tokens[token * 4 + LEFT] === UNKNOWN) this.#dissolve(token);
      if (tokens[token * 4 + LEFT] === left && tokens[token * 4 + RIGHT] === right) return true;
    }
  }

  #prefixOf(token: number): number {
    if (this.#prefix[token] === UNKNOWN) this.#dissolve(token);
    return this.#prefix[token] as number;
  }

  /** Finds the merge that makes a token. It rests on tokens of lower rank only. */
  #dissolve(token: number): void {
    const vocabulary = this.#vocabulary;
    const tokens = this.#tokens;
    const { pool, offsets } = vocabulary;
    const start = offsets[token] as number;
    const end = offsets[token + 1] as number;
    const prefixes: number[] = [];
    for (let i = start + 1; i < end; i += 1) {
      const prefix = vocabulary.find(pool, start, i);
      if (prefix >= 0) prefixes.push(prefix);
    }
    this.#prefix[token] = prefixes.at(-1) ?? -1;
    tokens[token * 4 + LEFT] = token;
    tokens[token * 4 + RIGHT] = token;
    for (let i = prefixes.length - 1; i >= 0; i -= 1) {
      const left = prefixes[i] as number;
      if (left >= token) continue;
      const right = vocabulary.find(pool, start + vocabulary.lengthOf(left), end);
      if (right < 0 || right >= token || !this.#compatible(left, right, token)) continue;
      tokens[token * 4 + LEFT] = left;
      tokens[token * 4 + RIGHT] = right;
      return;
    }
  }
}

function placeOf(left: number): number {
  return Math.imul(left, 0x9e3779b1) >>> (32 - MEMO_BITS);
}
