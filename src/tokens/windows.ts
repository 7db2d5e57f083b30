// Exact byte-pair encoding of a piece of any length by the definition (lowest rank first, leftmost among equals), one
// window of at most 64 bytes at a time: a bounded amount of work a byte, on tables that the vocabulary has anyway.
//
// Long pieces rest on this: a sequence of tokens is the encoding of its bytes when each two neighbours are the encoding
// of theirs. A window starts at a boundary inside the one before it, a few tokens from that one's end. When its first
// token is the one that was there before, the neighbours at the boundary have been seen together, and the two join.
// Else the boundary goes back by a token.
import {
  NO_KEY as NONE,
  POSITION_BITS as BITS,
  addByte,
  findTriple,
  firstAlike,
  hashPowers,
  sureAt,
  tripleAt,
  type Vocabulary,
} from './vocabulary.ts';

// Imported constants are looked up each time; these are not.
const NO_KEY = NONE;
const POSITION_BITS = BITS;
/** Eight blocks of eight bytes. */
export const WINDOW_BYTES: number = 1 << POSITION_BITS;
/** Tokens at the end of a window that the next one decides again. */
const REPEATED_TOKENS = 3;

/** Two blocks: merged without keeping the lowest key of each. */
const FEW_BYTES = 16;

/** The first byte of two that are one character has these bits of 0xe0. */
const LEAD = 0xc0;

/** A window that takes the next one less far counts as one that went back. */
const LEAST_STEP = 16;

// Scratch of one window, in constants: the compiler then knows lengths, and masks spare it the checks (a third of the
// time). A window is merged without leaving off, so that encoders may share it.
/** Positions in a window; positions and its end. */
const IN = WINDOW_BYTES - 1;
const ALL = 2 * WINDOW_BYTES - 1;
/** By the position where a part starts: rank of the part joined with the one behind it, above that position. */
const keys = new Int32Array(IN + 1);
/** The lowest key of each block. */
const lowest = new Int32Array(8);
const next = new Int32Array(IN + 1);
const previous = new Int32Array(ALL + 1);
/** Hashes of the window's first bytes, by their number. */
const hashes = new Int32Array(ALL + 1);
const powers = hashPowers(ALL + 1);

export class WindowEncoder {
  readonly #vocabulary: Vocabulary;
  /** Starts of the tokens taken from the last window. */
  readonly #taken: Int32Array = new Int32Array(WINDOW_BYTES);

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /**
   * Encodes `bytes[0..length)`; returns the count, tokens go to `into` when given. Returns -1, with nothing in `into`,
   * where a token is as long as a window, or boundaries go back, or on by little, too often: then another way must
   * be taken.
   */
  encode(bytes: Uint8Array, length: number, into?: number[]): number {
    const taken = this.#taken;
    const already = into === undefined ? 0 : into.length;
    let retries = 16 + (length >> 8);
    let total = 0;
    let kept = 0;
    let expected = 0;
    let parts = 0;
    for (let at = 0, merged = -1; ;) {
      const size = Math.min(WINDOW_BYTES, length - at);
      // Repetitive text: the window is the one before once more.
      if (size <= FEW_BYTES) parts = mergeFew(this.#vocabulary, bytes, at, size);
      else if (merged < 0 || size < WINDOW_BYTES || !sameBytes(bytes, merged, at)) parts = mergeWindow(this.#vocabulary, bytes, at, size);
      merged = at;
      if (expected > 0 && next[0] !== expected) {
        retries -= 1;
        if (kept === 0 || retries < 0) break;
        kept -= 1;
        total -= 1;
        into?.pop();
        expected = at - (taken[kept] as number);
        at -= expected;
        continue;
      }
      const last = at + size === length;
      const count = last ? parts : Math.min(parts - 1, Math.max(1, parts - REPEATED_TOKENS));
      if (count === 0) break;
      let end = 0;
      for (kept = 0; kept < count; kept += 1) {
        const start = end;
        end = next[start & IN] as number;
        taken[kept] = at + start;
        into?.push(this.#vocabulary.find(bytes, at + start, at + end));
      }
      total += count;
      if (last) return total;
      if (end < LEAST_STEP) {
        retries -= 1;
        if (retries < 0) break;
      }
      expected = (next[end & IN] as number) - end;
      at += end;
    }
    if (into !== undefined) into.length = already;
    return -1;
  }
}

/** Merges `bytes[at..at + size)`; the boundaries are left in `next`. Returns the number of parts. */
function mergeWindow(vocabulary: Vocabulary, bytes: Uint8Array, at: number, size: number): number {
  const { filter, slots, mask, pairs, triples, pool, offsets } = vocabulary;
  let hash = 0;
  let byte = bytes[at] as number;
  let parts = size;
  let leads = 0;
  for (let i = 0; i < size; i += 1) {
    hash = addByte(hash, byte);
    hashes[(i + 1) & ALL] = hash;
    next[i & IN] = i + 1;
    previous[(i + 1) & ALL] = i;
    const after = i + 1 < size ? (bytes[at + i + 1] as number) : 0;
    keys[i & IN] = (pairs[(byte << 8) | after] as number) | i;
    if ((byte & 0xe0) === LEAD) leads += 1;
    byte = after;
  }
  if (leads > 0) parts -= joinSure(vocabulary, bytes, at, size);
  const used = (size + 7) & ~7;
  for (let i = size - 1; i < used; i += 1) keys[i & IN] = NO_KEY;
  for (let i = 0; i < WINDOW_BYTES; i += 8) lowest[i >> 3] = i < used ? lowestOf(keys, i) : NO_KEY;
  for (;;) {
    const best = lowestOf(lowest, 0);
    if (best === NO_KEY) return parts;
    const start = best & IN;
    const middle = next[start] as number;
    const end = next[middle & IN] as number;
    if (end - start > 3) {
      // The key of a long part stands for what hashes alike and may be too low: seen here, before it is used.
      const token = best >> POSITION_BITS;
      let from = offsets[token] as number;
      let same = (offsets[token + 1] as number) - from === end - start;
      for (let i = at + start; same && i < at + end; i += 1, from += 1) same = pool[from] === bytes[i];
      if (!same) {
        const found = vocabulary.find(bytes, at + start, at + end);
        keys[start] = found < 0 ? NO_KEY : (found << POSITION_BITS) | start;
        lowest[start >> 3] = lowestOf(keys, start & 56);
        continue;
      }
    }
    parts -= 1;
    next[start] = end;
    previous[end & ALL] = start;
    keys[middle & IN] = NO_KEY;
    // Two new pairs: with the part behind, and with the one before.
    let left = start;
    let right = end < size ? (next[end & IN] as number) : 0;
    for (let side = 0; side < 2; side += 1) {
      let key = NO_KEY;
      if (right > 0) {
        let token: number;
        if (right - left === 3) token = findTriple(triples, tripleAt(bytes, at + left));
        else token = firstAlike(filter, slots, mask, hashOf(left, right));
        if (token >= 0) key = (token << POSITION_BITS) | left;
      }
      keys[left & IN] = key;
      if (start === 0) break;
      if (side === 0) {
        left = previous[start] as number;
        right = end;
      }
    }
    lowest[start >> 3] = lowestOf(keys, start & 56);
    if ((middle ^ start) > 7) lowest[(middle >> 3) & 7] = lowestOf(keys, middle & 56);
    if ((left ^ start) > 7) lowest[(left >> 3) & 7] = lowestOf(keys, left & 56);
  }
}

/** Makes the parts of two bytes that are sure, and keys for them. Returns how many. */
function joinSure(vocabulary: Vocabulary, bytes: Uint8Array, at: number, size: number): number {
  const { borders, filter, slots, mask, triples } = vocabulary;
  let joined = 0;
  for (let i = 0; i + 1 < size; i += 1) {
    if (((bytes[at + i] as number) & 0xe0) !== LEAD || !sureAt(borders, bytes, at, at + i, at + size)) continue;
    next[i & IN] = i + 2;
    previous[(i + 2) & ALL] = i;
    keys[(i + 1) & IN] = NO_KEY;
    joined += 1;
    i += 1;
  }
  if (joined === 0) return 0;
  for (let left = 0, middle = next[0] as number; left < size;) {
    const right = middle < size ? (next[middle & IN] as number) : 0;
    if (right === 0) keys[left & IN] = NO_KEY;
    else if (right - left > 2) {
      const token =
        right - left === 3 ? findTriple(triples, tripleAt(bytes, at + left)) : firstAlike(filter, slots, mask, hashOf(left, right));
      keys[left & IN] = token < 0 ? NO_KEY : (token << POSITION_BITS) | left;
    }
    left = middle;
    middle = right;
  }
  return joined;
}

/** Of the bytes between two positions of the window. */
function hashOf(left: number, right: number): number {
  const before = Math.imul(hashes[left & ALL] as number, powers[(right - left) & ALL] as number);
  return ((hashes[right & ALL] as number) - before) | 0;
}

/** The same for at most FEW_BYTES: less to set up, and most pieces are short. */
function mergeFew(vocabulary: Vocabulary, bytes: Uint8Array, at: number, size: number): number {
  const { pairs } = vocabulary;
  let hash = 0;
  let leads = 0;
  for (let i = 0; i < FEW_BYTES; i += 1) {
    next[i] = i + 1;
    previous[i + 1] = i;
    let key = NO_KEY;
    if (i < size) {
      const byte = bytes[at + i] as number;
      hash = addByte(hash, byte);
      hashes[i + 1] = hash;
      if ((byte & 0xe0) === LEAD) leads += 1;
      if (i + 1 < size) key = (pairs[(byte << 8) | (bytes[at + i + 1] as number)] as number) | i;
    }
    keys[i] = key;
  }
  let parts = size;
  if (leads > 0) parts -= joinSure(vocabulary, bytes, at, size);
  for (;;) {
    const best = size > 8 ? lower(lowestOf(keys, 0), lowestOf(keys, 8)) : lowestOf(keys, 0);
    if (best === NO_KEY) return parts;
    const start = best & IN;
    const middle = next[start] as number;
    const end = next[middle & IN] as number;
    if (end - start > 3 && !vocabulary.is(best >> POSITION_BITS, bytes, at + start, at + end)) {
      const found = vocabulary.find(bytes, at + start, at + end);
      keys[start] = found < 0 ? NO_KEY : (found << POSITION_BITS) | start;
      continue;
    }
    parts -= 1;
    next[start] = end;
    previous[end & ALL] = start;
    keys[middle & IN] = NO_KEY;
    keys[start] = end < size ? likelyKey(vocabulary, bytes, at, start, next[end & IN] as number) : NO_KEY;
    if (start === 0) continue;
    const left = previous[start] as number;
    keys[left & IN] = likelyKey(vocabulary, bytes, at, left, end);
  }
}

/** Of a part of more than three bytes it stands for what hashes alike, and may be too low. */
function likelyKey(vocabulary: Vocabulary, bytes: Uint8Array, at: number, left: number, right: number): number {
  const token =
    right - left === 3
      ? findTriple(vocabulary.triples, tripleAt(bytes, at + left))
      : firstAlike(vocabulary.filter, vocabulary.slots, vocabulary.mask, hashOf(left, right));
  return token < 0 ? NO_KEY : (token << POSITION_BITS) | left;
}

/** The lowest of the eight keys from `at`; without a branch, for which of them it is cannot be foretold. */
function lowestOf(from: Int32Array, at: number): number {
  const a = lower(from[at] as number, from[at + 1] as number);
  const b = lower(from[at + 2] as number, from[at + 3] as number);
  const c = lower(from[at + 4] as number, from[at + 5] as number);
  const d = lower(from[at + 6] as number, from[at + 7] as number);
  return lower(lower(a, b), lower(c, d));
}

/** The lower of two numbers that are not negative. */
function lower(a: number, b: number): number {
  const difference = (a - b) | 0;
  return b + (difference & (difference >> 31));
}

function sameBytes(bytes: Uint8Array, one: number, other: number): boolean {
  for (let i = 0; i < WINDOW_BYTES; i += 1) if (bytes[one + i] !== bytes[other + i]) return false;
  return true;
}
