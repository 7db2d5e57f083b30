// A byte-pair vocabulary in flat arrays: the bytes of each token, and a hash from bytes to token. The token's id is its
// merge rank. Read from the data files of the tiktoken package; about 5 MB for o200k_base.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CtxError } from '../abi/errors.ts';

/** No token; stays so when a position is or-ed in. */
export const NO_KEY = 0x7fffffff;
/** A key is a token above a position in a window. */
export const POSITION_BITS = 6;

export const TOKEN_BITS = 18;
const TOKEN_MASK = (1 << TOKEN_BITS) - 1;

const TRIPLE_FACTOR = 0x9e3779b1;
const NEXT_DISTANCE = 1 << (TOKEN_BITS + 8);
const MAX_DISTANCE = 63;

/** Of two bytes in `borders`: some token ends with them. */
const ENDS = 1;
/** Some token begins with them. */
const BEGINS = 2;
/** They are a token, and of lower rank than any other that begins or ends with them. */
const FIRST = 4;

export class Vocabulary {
  /** Bytes of all tokens, one after the other. */
  readonly pool: Uint8Array;
  /** Token t has bytes `offsets[t]` to `offsets[t + 1]`; empty for an unused id. */
  readonly offsets: Int32Array;
  readonly size: number;
  /**
   * Open addressing from hash to token + 1, and above it the upper bits of the hash. Filled in rank order: the tokens
   * on the way to one are of lower rank than it.
   */
  readonly slots: Int32Array;
  readonly mask: number;
  /**
   * Three bytes → token, open addressing. Multiplied by an odd number they stay apart, so the slot, how far it is from
   * where the search began, and the low byte of the product tell them exactly: token + 1, low byte, distance.
   */
  readonly triples: Int32Array = new Int32Array(1 << 16);
  /** Two bytes → key of their token, or NO_KEY. */
  readonly pairs: Int32Array = new Int32Array(1 << 16).fill(NO_KEY);
  /** A bit for each value of the upper 21 hash bits that a token has: 256 KB that answer nine of ten misses. */
  readonly filter: Int32Array = new Int32Array(1 << 16);
  /** By two bytes: see {@link sureAt}. */
  readonly borders: Uint8Array = new Uint8Array(1 << 16);
  #longest = 0;

  constructor(pool: Uint8Array, offsets: Int32Array) {
    this.pool = pool;
    this.offsets = offsets;
    this.size = offsets.length - 1;
    if (this.size >= TOKEN_MASK) throw new RangeError('the vocabulary is too large');
    // By shifts: a power would be kept as a floating-point number.
    const capacity = 1 << (32 - Math.clz32(this.size * 2 - 1));
    this.mask = capacity - 1;
    this.slots = new Int32Array(capacity);
    for (let token = 0; token < this.size; token += 1) this.#insert(token);
  }

  /** The token with exactly these bytes, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > this.#longest) return -1;
    const { slots, mask } = this;
    const hash = mixHash(hashBytes(bytes, start, end));
    if (!mayHave(this.filter, hash)) return -1;
    let slot = hash & mask;
    for (;;) {
      const held = slots[slot] as number;
      if (held === 0) return -1;
      if ((held ^ hash) >>> TOKEN_BITS === 0) {
        const token = (held & TOKEN_MASK) - 1;
        if (this.is(token, bytes, start, end)) return token;
      }
      slot = (slot + 1) & mask;
    }
  }

  /** True when the token has exactly these bytes. */
  is(token: number, bytes: Uint8Array, start: number, end: number): boolean {
    const { pool, offsets } = this;
    let at = offsets[token] as number;
    if ((offsets[token + 1] as number) - at !== end - start) return false;
    for (let i = start; i < end; i += 1, at += 1) if (pool[at] !== bytes[i]) return false;
    return true;
  }

  lengthOf(token: number): number {
    return (this.offsets[token + 1] as number) - (this.offsets[token] as number);
  }

  #insert(token: number): void {
    const { pool, slots, mask } = this;
    const start = this.offsets[token] as number;
    const end = this.offsets[token + 1] as number;
    if (start === end) return;
    this.#longest = Math.max(this.#longest, end - start);
    if (end - start > 1) this.#insertBorders(start, end);
    if (end - start === 2) this.pairs[pairAt(pool, start)] = token << POSITION_BITS;
    if (end - start === 3) this.#insertTriple(tripleAt(pool, start), token);
    const hash = mixHash(hashBytes(pool, start, end));
    this.filter[hash >>> 16] = (this.filter[hash >>> 16] as number) | (1 << (hash >>> 11));
    let slot = hash & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = (hash & ~TOKEN_MASK) | (token + 1);
  }

  /** In rank order: who finds nothing is the first. */
  #insertBorders(start: number, end: number): void {
    const { pool, borders } = this;
    const front = pairAt(pool, start);
    const back = pairAt(pool, end - 2);
    if (end - start === 2 && borders[front] === 0) borders[front] = FIRST;
    borders[front] = (borders[front] as number) | BEGINS;
    borders[back] = (borders[back] as number) | ENDS;
  }

  #insertTriple(triple: number, token: number): void {
    const { triples } = this;
    const product = Math.imul(triple, TRIPLE_FACTOR);
    let slot = (product >>> 8) & 0xffff;
    let distance = 0;
    for (; triples[slot] !== 0; slot = (slot + 1) & 0xffff) distance += 1;
    if (distance > MAX_DISTANCE) throw new RangeError('too many tokens of three bytes');
    triples[slot] = (distance << (TOKEN_BITS + 8)) | ((product & 0xff) << TOKEN_BITS) | (token + 1);
  }
}

export function mayHave(filter: Int32Array, hash: number): boolean {
  return (((filter[hash >>> 16] as number) >>> (hash >>> 11)) & 1) === 1;
}

/**
 * Whether the two bytes at `at` become one part whatever is around them, in `bytes[start..end)`: no token ends where the
 * second of them begins, and none begins there, so both stay alone until they are merged. They may be merged before
 * all else: what is made of them is of higher rank, so until their turn comes nothing else is merged in another order.
 */
export function sureAt(borders: Uint8Array, bytes: Uint8Array, start: number, at: number, end: number): boolean {
  const both = pairAt(bytes, at);
  return (
    ((borders[both] as number) & FIRST) !== 0 &&
    (at === start || ((borders[pairAt(bytes, at - 1)] as number) & ENDS) === 0) &&
    (at + 2 === end || ((borders[pairAt(bytes, at + 1)] as number) & BEGINS) === 0)
  );
}

function pairAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** The token of three bytes as a number, or -1. */
export function findTriple(triples: Int32Array, triple: number): number {
  const product = Math.imul(triple, TRIPLE_FACTOR);
  let wanted = (product & 0xff) << TOKEN_BITS;
  for (let slot = (product >>> 8) & 0xffff; ; slot = (slot + 1) & 0xffff) {
    const held = triples[slot] as number;
    if (held === 0) return -1;
    if ((held ^ wanted) >>> TOKEN_BITS === 0) return (held & TOKEN_MASK) - 1;
    wanted = (wanted + NEXT_DISTANCE) | 0;
  }
}

export function tripleAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
}

/**
 * The first token on the way of a hash that agrees in the upper bits, or -1: the token itself, or another one of lower
 * rank, or one where there is none.
 */
export function firstAlike(filter: Int32Array, slots: Int32Array, mask: number, hash: number): number {
  const mixed = mixHash(hash);
  if (!mayHave(filter, mixed)) return -1;
  let slot = mixed & mask;
  for (;;) {
    const held = slots[slot] as number;
    if (held === 0) return -1;
    if ((held ^ mixed) >>> TOKEN_BITS === 0) return (held & TOKEN_MASK) - 1;
    slot = (slot + 1) & mask;
  }
}

/** Reads `tiktoken/encoders/<name>.json`. Errors: `tokens.unavailable` (ENOENT). */
export function loadVocabulary(name: string): Vocabulary {
  let ranks: string;
  try {
    const path = createRequire(import.meta.url).resolve(`tiktoken/encoders/${name}.json`);
    ranks = (JSON.parse(readFileSync(path, 'latin1')) as { bpe_ranks: string }).bpe_ranks;
  } catch (cause) {
    throw new CtxError('tokens.unavailable', 'ENOENT', `the vocabulary of ${name} cannot be read`, {
      next: 'reinstall the tiktoken package',
      cause,
    });
  }
  return parseRanks(ranks);
}

/** Lines `! <first rank> <base64> <base64> …`. */
function parseRanks(text: string): Vocabulary {
  const pool = new Uint8Array(text.length);
  const offsets: number[] = [];
  let used = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const first = line.indexOf(' ', 2);
    const rank = Number(line.slice(2, first));
    while (offsets.length < rank) offsets.push(used);
    let bits = 0;
    let held = 0;
    offsets.push(used);
    for (let i = first + 1; i < line.length; i += 1) {
      const code = line.charCodeAt(i);
      if (code === 0x20) {
        offsets.push(used);
        held = 0;
      } else if (code !== 0x3d) {
        bits = ((bits << 6) | (BASE64[code] as number)) & 0xffffff;
        held += 6;
        if (held >= 8) {
          held -= 8;
          pool[used++] = bits >> held;
        }
      }
    }
  }
  offsets.push(used);
  return new Vocabulary(pool.slice(0, used), Int32Array.from(offsets));
}

const BASE64 = new Uint8Array(128);
for (let i = 0; i < 64; i += 1) BASE64['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charCodeAt(i)] = i;

const HASH_FACTOR = 0x2c1b3c6d;

/** Adds a byte to the hash of what is before it: the hash of a part follows from those of two prefixes. */
export function addByte(hash: number, byte: number): number {
  return (Math.imul(hash, HASH_FACTOR) + byte + 1) | 0;
}

/** Powers of the factor, by the number of bytes. */
export function hashPowers(count: number): Int32Array {
  const powers = new Int32Array(count).fill(1);
  for (let i = 1; i < count; i += 1) powers[i] = Math.imul(powers[i - 1] as number, HASH_FACTOR);
  return powers;
}

function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i += 1) hash = addByte(hash, bytes[i] as number);
  return hash;
}

export function mixHash(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x297a2d39);
  return mixed ^ (mixed >>> 15);
}
