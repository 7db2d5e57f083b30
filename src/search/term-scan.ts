// The bulk form of `terms`: the distinct terms of a passage as numbers. ASCII words are scanned in place and looked up by
// hash, so a word is analysed once for each filling of the cache. A term is known by 48 bits of its hash: two terms of one
// segment share them with a probability below one in a thousand, and then only find each other's lines as candidates.
import { MAX_TERM, analyseAscii, terms } from './terms.ts';

/** Longer words are analysed each time. */
const CACHED_WORD = 32;
const HASH_A = 0x811c9dc5;
const HASH_B = 0x41c6ce57;
const SLOTS = 1 << 17;
const ENTRIES = 1 << 16;
const POOL_UNITS = 1 << 20;
/** Terms that may be known before ids are given out anew. Ids must fit beside 32 bits of hash in a double: below 2 ** 20. */
const MOST_TERMS: number = (1 << 19) - (1 << 15);

/** Odd: ASCII letter (1) or digit (3); 2: any unit beyond ASCII. */
const KIND = new Uint8Array(1 << 16).fill(2, 0x80);
for (const unit of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz') KIND[unit.charCodeAt(0)] = 1;
for (const unit of '0123456789') KIND[unit.charCodeAt(0)] = 3;

export class TermScan {
  /** Terms of the last passage, repeats included. */
  count = 0;
  /** Ids of its distinct terms are `ids[0 .. distinct - 1]`, in order of first mention. */
  ids: Int32Array = new Int32Array(1024);
  distinct = 0;
  #units: Uint16Array = new Uint16Array(4096);
  #unitBytes: Buffer = Buffer.from(this.#units.buffer);
  // Words seen: a slot holds an entry number + 1; an entry's terms are ids in `#wordTerms`.
  readonly #slots: Int32Array = new Int32Array(SLOTS);
  readonly #hashes: Int32Array = new Int32Array(ENTRIES);
  readonly #starts: Int32Array = new Int32Array(ENTRIES + 1);
  readonly #wordPool: Uint8Array = new Uint8Array(POOL_UNITS);
  readonly #termsAt: Int32Array = new Int32Array(ENTRIES + 1);
  #wordTerms: Int32Array = new Int32Array(ENTRIES);
  #entries = 0;
  // Terms known: open addressing on the hash.
  #size = 0;
  #top: Uint32Array = new Uint32Array(4096);
  #low: Uint16Array = new Uint16Array(4096);
  #stamps: Int32Array = new Int32Array(4096);
  #termSlots: Int32Array = new Int32Array(1 << 13);
  #passage = 0;

  /** Terms known. */
  get size(): number {
    return this.#size;
  }

  /** True when ids should be given out anew before much more is scanned: call `clear` when nobody holds an id. */
  get full(): boolean {
    return this.#size > MOST_TERMS;
  }

  /** The upper 32 bits of a term's hash. */
  top(id: number): number {
    return this.#top[id] as number;
  }

  /** Its lower 16 bits. */
  low(id: number): number {
    return this.#low[id] as number;
  }

  clear(): void {
    this.#size = 0;
    this.#termSlots.fill(0);
    this.#forgetWords();
  }

  /** The term's id, given now if it has none. */
  idOf(term: string): number {
    let a = HASH_A;
    let b = HASH_B;
    for (let i = 0; i < term.length; i += 1) {
      const unit = term.charCodeAt(i);
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x5f356495);
    }
    return this.#idOfHash(a, b);
  }

  /** A word of digits is its own term, without leading zeros: it needs neither a string nor the cache. */
  #idOfDigits(start: number, end: number): number {
    const units = this.#units;
    let at = start;
    while (at < end - 1 && units[at] === 0x30) at += 1;
    const to = Math.min(end, at + MAX_TERM);
    let a = HASH_A;
    let b = HASH_B;
    for (; at < to; at += 1) {
      const unit = units[at] as number;
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x5f356495);
    }
    return this.#idOfHash(a, b);
  }

  #idOfHash(laneA: number, laneB: number): number {
    let a = laneA;
    let b = laneB;
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
    b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
    return this.#termId((a ^ (a >>> 15)) >>> 0, (b ^ (b >>> 14)) & 0xffff);
  }

  /** Whether the last passage had the term. */
  has(id: number): boolean {
    return this.#stamps[id] === this.#passage;
  }

  scan(text: string): void {
    if (this.#units.length < text.length) {
      this.#units = new Uint16Array(text.length * 2);
      this.#unitBytes = Buffer.from(this.#units.buffer);
    }
    const units = this.#units;
    const end = text.length;
    this.#unitBytes.write(text, 'utf16le');
    this.count = 0;
    this.distinct = 0;
    this.#passage += 1;
    for (let i = 0; i < end;) {
      let unit = units[i] as number;
      if (KIND[unit] === 0) {
        i += 1;
        continue;
      }
      const start = i;
      let hash = 0x811c9dc5;
      let kinds = 3;
      for (let kind = KIND[unit] as number; (kind & 1) === 1; kind = KIND[unit] as number) {
        kinds &= kind;
        hash = Math.imul(hash ^ unit, 0x01000193);
        i += 1;
        if (i === end) break;
        unit = units[i] as number;
      }
      if (i < end && KIND[unit] === 2) {
        while (i < end && KIND[units[i] as number] !== 0) i += 1;
        this.#plain(text.slice(start, i));
      } else if (kinds === 3) this.#met(this.#idOfDigits(start, i));
      else if (i - start > CACHED_WORD) this.#plain(text.slice(start, i));
      else this.#word(text, start, i, hash ^ (hash >>> 15));
    }
  }

  #plain(word: string): void {
    for (const term of terms(word)) this.#met(this.idOf(term));
  }

  #word(text: string, start: number, end: number, hash: number): void {
    const found = this.#find(start, end, hash);
    const entry = found < 0 ? this.#learn(text, start, end, hash) : found;
    const to = this.#termsAt[entry + 1] as number;
    for (let at = this.#termsAt[entry] as number; at < to; at += 1) this.#met(this.#wordTerms[at] as number);
  }

  #met(id: number): void {
    this.count += 1;
    if (this.#stamps[id] === this.#passage) return;
    this.#stamps[id] = this.#passage;
    if (this.distinct === this.ids.length) this.ids = grown(this.ids, Int32Array);
    this.ids[this.distinct++] = id;
  }

  #find(start: number, end: number, hash: number): number {
    const units = this.#units;
    const length = end - start;
    for (let slot = hash & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const entry = (this.#slots[slot] as number) - 1;
      if (entry < 0) return -1;
      if (this.#hashes[entry] !== hash) continue;
      const at = this.#starts[entry] as number;
      if ((this.#starts[entry + 1] as number) - at !== length) continue;
      let i = 0;
      while (i < length && this.#wordPool[at + i] === units[start + i]) i += 1;
      if (i === length) return entry;
    }
  }

  #learn(text: string, start: number, end: number, hash: number): number {
    const found = analyseAscii(text.slice(start, end));
    if (this.#entries === ENTRIES || (this.#starts[this.#entries] as number) + CACHED_WORD > POOL_UNITS) this.#forgetWords();
    const entry = this.#entries++;
    let at = this.#starts[entry] as number;
    for (let i = start; i < end; i += 1) this.#wordPool[at++] = this.#units[i] as number;
    let to = this.#termsAt[entry] as number;
    while (to + found.length > this.#wordTerms.length) this.#wordTerms = grown(this.#wordTerms, Int32Array);
    for (const term of found) this.#wordTerms[to++] = this.idOf(term);
    this.#hashes[entry] = hash;
    this.#starts[entry + 1] = at;
    this.#termsAt[entry + 1] = to;
    let slot = hash & (SLOTS - 1);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1);
    this.#slots[slot] = entry + 1;
    return entry;
  }

  #forgetWords(): void {
    this.#slots.fill(0);
    this.#entries = 0;
  }

  #termId(top: number, low: number): number {
    const mask = this.#termSlots.length - 1;
    let slot = top & mask;
    for (;;) {
      const id = (this.#termSlots[slot] as number) - 1;
      if (id < 0) break;
      if (this.#top[id] === top && this.#low[id] === low) return id;
      slot = (slot + 1) & mask;
    }
    if (this.#size === this.#top.length) this.#grow();
    const id = this.#size++;
    this.#top[id] = top;
    this.#low[id] = low;
    this.#stamps[id] = 0;
    this.#place(id);
    return id;
  }

  #place(id: number): void {
    const mask = this.#termSlots.length - 1;
    let slot = (this.#top[id] as number) & mask;
    while (this.#termSlots[slot] !== 0) slot = (slot + 1) & mask;
    this.#termSlots[slot] = id + 1;
  }

  #grow(): void {
    this.#top = grown(this.#top, Uint32Array);
    this.#low = grown(this.#low, Uint16Array);
    this.#stamps = grown(this.#stamps, Int32Array);
    this.#termSlots = new Int32Array(this.#termSlots.length * 2);
    for (let id = 0; id < this.#size; id += 1) this.#place(id);
  }
}

type Numbers = Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** The same numbers in twice the room. */
export function grown<T extends Numbers>(from: T, make: new (length: number) => T): T {
  const to = new make(from.length * 2);
  to.set(from);
  return to;
}
