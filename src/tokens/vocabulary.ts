// A byte-pair vocabulary in flat arrays: the bytes of each token, and a hash from bytes to token. The token's id is its
// merge rank. Read from the data files of the tiktoken package; about 5 MB for o200k_base.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CtxError } from '../abi/errors.ts';

export class Vocabulary {
  /** Bytes of all tokens, one after the other. */
  readonly pool: Uint8Array;
  /** Token t has bytes `offsets[t]` to `offsets[t + 1]`; empty for an unused id. */
  readonly offsets: Int32Array;
  readonly size: number;
  readonly #slots: Int32Array;
  readonly #mask: number;

  constructor(pool: Uint8Array, offsets: Int32Array) {
    this.pool = pool;
    this.offsets = offsets;
    this.size = offsets.length - 1;
    const capacity = 2 ** Math.ceil(Math.log2(this.size * 2));
    this.#mask = capacity - 1;
    this.#slots = new Int32Array(capacity).fill(-1);
    for (let token = 0; token < this.size; token += 1) this.#insert(token);
  }

  /** The token with exactly these bytes, or -1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const { pool, offsets } = this;
    const length = end - start;
    let slot = hashBytes(bytes, start, end) & this.#mask;
    for (;;) {
      const token = this.#slots[slot] as number;
      if (token < 0) return -1;
      const at = offsets[token] as number;
      if ((offsets[token + 1] as number) - at === length) {
        let i = 0;
        while (i < length && pool[at + i] === bytes[start + i]) i += 1;
        if (i === length) return token;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  lengthOf(token: number): number {
    return (this.offsets[token + 1] as number) - (this.offsets[token] as number);
  }

  #insert(token: number): void {
    const start = this.offsets[token] as number;
    const end = this.offsets[token + 1] as number;
    if (start === end) return;
    let slot = hashBytes(this.pool, start, end) & this.#mask;
    while ((this.#slots[slot] as number) >= 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = token;
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

function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i += 1) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash ^ (hash >>> 15);
}
