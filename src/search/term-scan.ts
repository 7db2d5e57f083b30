// Terms of passages as numbers, by the same rules as `terms` (tested to be equal). Words that were met before cost one look
// into a table of entries of 64 bytes, numbers none at all: no strings are made. A term is known by 48 bits of its hash: two
// terms of one segment share them with a probability below one in a thousand, and then only find each other's lines as
// candidates.
import { MAX_TERM, analyseAscii, terms } from './terms.ts';

/** Longer words are analysed each time. */
const CACHED_WORD = 32;
const PACKED_MASK = 15;
const HASH_A = 0x811c9dc5;
const HASH_B = 0x41c6ce57;
/** An entry: hash, length and number of terms, ids of the terms, then the characters. */
const ENTRY = 16;
const ENTRIES = 1 << 16;
/** Entries that a word may lie in. */
const PROBES = 8;
/** Terms that may be known before ids are given out anew. Ids must fit beside 32 bits of hash in a double: below 2 ** 20. */
const MOST_TERMS: number = (1 << 19) - (1 << 15);
const ID_BITS = 20;
const MOST_ID: number = (1 << ID_BITS) - 1;
/** More than this of words alone is not taken along when ids are given out anew. */
const MOST_KEPT_TERMS = 1 << 17;
/** Numbers below this have a place of their own. */
const SMALL_NUMBERS = 10_000;
const SMALL_DIGITS = 4;

/** Odd: ASCII letter (1) or digit (3); 2: any unit beyond ASCII. */
const KIND = new Uint8Array(1 << 16).fill(2, 0x80);
for (const unit of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz') KIND[unit.charCodeAt(0)] = 1;
for (const unit of '0123456789') KIND[unit.charCodeAt(0)] = 3;

/**
 * Numbers of more than a few digits, of which few come again: `kept` as any other term; `apart`, without ids; `hashed`, by an id
 * below zero that is half of their hash, so that they take no room.
 */
export type LongNumbers = 'kept' | 'apart' | 'hashed';

export class TermScan {
  /** Terms of the last passage, repeats included. */
  count = 0;
  /** Ids of its distinct terms are `ids[0 .. distinct - 1]`, in order of first mention. */
  ids: Int32Array = new Int32Array(1024);
  distinct = 0;
  readonly #numbers: LongNumbers;
  /** Of the last passage, where they are told apart: the hashes of all of them, repeats included. */
  apartTops: Uint32Array = new Uint32Array(64);
  apartLows: Uint16Array = new Uint16Array(64);
  apart = 0;
  /** Of the hash that was finished last. */
  #hashTop = 0;
  #hashLow = 0;
  #units: Uint16Array = new Uint16Array(4096);
  #unitBytes: Buffer = Buffer.from(this.#units.buffer);
  // Words seen: a cache of the bounded kind, any entry may go.
  readonly #words: Int32Array = new Int32Array(ENTRIES * ENTRY);
  /** Characters of the last word, four in each. */
  readonly #packed: Int32Array = new Int32Array(PACKED_MASK + 1);
  readonly #small: Int32Array = new Int32Array(SMALL_NUMBERS);
  // Terms known: open addressing on the hash. A slot holds its upper half, then id + 1 below 12 bits of its lower half.
  #size = 0;
  #top: Uint32Array = new Uint32Array(4096);
  #low: Uint16Array = new Uint16Array(4096);
  #termSlots: Int32Array = new Int32Array(1 << 14);
  // Terms of the last passage: a small table, so that a rare term costs no look into a large one. [passage, id] each.
  #passage = 0;
  #here: Int32Array = new Int32Array(1 << 11);

  constructor(numbers: LongNumbers = 'kept') {
    this.#numbers = numbers;
  }

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

  /** Gives ids out anew; what is known of words is kept. */
  clear(): void {
    const words = this.#words;
    const kept: number[] = [];
    for (let at = 0; at < words.length && kept.length <= MOST_KEPT_TERMS * 2; at += ENTRY) {
      const terms = (words[at + 1] as number) >> 8;
      for (let i = 0; i < terms; i += 1) {
        const id = words[at + 2 + i] as number;
        if (id >= 0) kept.push(this.#top[id] as number, this.#low[id] as number);
      }
    }
    this.#size = 0;
    this.#termSlots.fill(0);
    this.#small.fill(0);
    // Ids begin anew with the passages that have them.
    this.#passage += 1;
    if (kept.length > MOST_KEPT_TERMS * 2) {
      words.fill(0);
      return;
    }
    for (let at = 0, from = 0; at < words.length; at += ENTRY) {
      const terms = (words[at + 1] as number) >> 8;
      for (let i = 0; i < terms; i += 1) {
        // A hash stays what it is.
        if ((words[at + 2 + i] as number) < 0) continue;
        words[at + 2 + i] = this.#termId(kept[from] as number, kept[from + 1] as number);
        from += 2;
      }
    }
  }

  /** The term's id, given now if it has none. */
  idOf(term: string): number {
    let a = HASH_A;
    let b = HASH_B;
    let digits = this.#numbers === 'hashed' && term.length > SMALL_DIGITS;
    for (let i = 0; i < term.length; i += 1) {
      const unit = term.charCodeAt(i);
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x5f356495);
      digits &&= unit >= 0x30 && unit <= 0x39;
    }
    this.#finish(a, b);
    if (digits) return ~(this.#hashTop >>> 1);
    return this.#termId(this.#hashTop, this.#hashLow);
  }

  /** A word of digits is its own term, without leading zeros: it needs neither a string nor the cache. */
  #digits(start: number, end: number): void {
    const units = this.#units;
    let at = start;
    while (at < end - 1 && units[at] === 0x30) at += 1;
    const to = Math.min(end, at + MAX_TERM);
    let value = 0;
    if (to - at <= SMALL_DIGITS) {
      for (let i = at; i < to; i += 1) value = value * 10 + (units[i] as number) - 0x30;
      const known = this.#small[value] as number;
      if (known > 0) return this.#met(known - 1);
    }
    let a = HASH_A;
    let b = HASH_B;
    for (let i = at; i < to; i += 1) {
      const unit = units[i] as number;
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x5f356495);
    }
    this.#finish(a, b);
    if (this.#numbers === 'hashed' && to - at > SMALL_DIGITS) return this.#met(~(this.#hashTop >>> 1));
    if (this.#numbers === 'apart' && to - at > SMALL_DIGITS) {
      this.count += 1;
      if (this.apart === this.apartTops.length) {
        this.apartTops = grown(this.apartTops, Uint32Array);
        this.apartLows = grown(this.apartLows, Uint16Array);
      }
      this.apartTops[this.apart] = this.#hashTop;
      this.apartLows[this.apart++] = this.#hashLow;
      return;
    }
    const id = this.#termId(this.#hashTop, this.#hashLow);
    if (to - at <= SMALL_DIGITS) this.#small[value] = id + 1;
    this.#met(id);
  }

  #finish(laneA: number, laneB: number): void {
    let a = laneA;
    let b = laneB;
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
    b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
    this.#hashTop = (a ^ (a >>> 15)) >>> 0;
    this.#hashLow = (b ^ (b >>> 14)) & 0xffff;
  }

  /** Whether the last passage had the term. */
  has(id: number): boolean {
    const here = this.#here;
    const mask = here.length - 2;
    for (let slot = (id << 1) & mask; here[slot] === this.#passage; slot = (slot + 2) & mask) if (here[slot + 1] === id) return true;
    return false;
  }

  scan(text: string): void {
    if (this.#units.length < text.length) {
      this.#units = new Uint16Array(text.length * 2);
      this.#unitBytes = Buffer.from(this.#units.buffer);
    }
    const units = this.#units;
    const packed = this.#packed;
    const end = text.length;
    this.#unitBytes.write(text, 'utf16le');
    this.count = 0;
    this.distinct = 0;
    this.apart = 0;
    this.#passage += 1;
    for (let i = 0; i < end;) {
      let unit = units[i] as number;
      if (KIND[unit] === 0) {
        i += 1;
        continue;
      }
      const start = i;
      let hash = HASH_A;
      let kinds = 3;
      // Four characters at a time: they are hashed and compared so.
      let four = 0;
      let shift = 0;
      let fours = 0;
      for (let kind = KIND[unit] as number; (kind & 1) === 1; kind = KIND[unit] as number) {
        kinds &= kind;
        four |= unit << shift;
        shift += 8;
        if (shift === 32) {
          packed[fours & PACKED_MASK] = four;
          hash = Math.imul(hash ^ four, 0x9e3779b1);
          hash ^= hash >>> 15;
          fours += 1;
          four = shift = 0;
        }
        i += 1;
        if (i === end) break;
        unit = units[i] as number;
      }
      if (i < end && KIND[unit] === 2) {
        while (i < end && KIND[units[i] as number] !== 0) i += 1;
        this.#plain(text.slice(start, i));
      } else if (kinds === 3) this.#digits(start, i);
      else if (i - start > CACHED_WORD) this.#plain(text.slice(start, i));
      else {
        packed[fours & PACKED_MASK] = four;
        hash = Math.imul(hash ^ four, 0x9e3779b1);
        this.#word(text, start, i, hash ^ (hash >>> 15));
      }
    }
  }

  #plain(word: string): void {
    for (const term of terms(word)) this.#met(this.idOf(term));
  }

  #word(text: string, start: number, end: number, hash: number): void {
    const words = this.#words;
    const packed = this.#packed;
    const length = end - start;
    const first = (hash & (ENTRIES - 1)) * ENTRY;
    let at = first;
    let free = first;
    for (let probe = 0; ; probe += 1) {
      const about = words[at + 1] as number;
      if (about === 0 || probe === PROBES) {
        // All of them taken: the word's own place is used again.
        free = about === 0 ? at : first;
        break;
      }
      if (words[at] === hash && (about & 0xff) === length) {
        const count = about >> 8;
        const from = at + 2 + count;
        const fours = (length + 3) >> 2;
        let i = 0;
        while (i < fours && words[from + i] === packed[i]) i += 1;
        if (i === fours) {
          for (let term = at + 2; term < at + 2 + count; term += 1) this.#met(words[term] as number);
          return;
        }
      }
      at = (at + ENTRY) & (ENTRIES * ENTRY - 1);
    }
    this.#learn(text, start, end, hash, free);
  }

  #met(id: number): void {
    this.count += 1;
    const here = this.#here;
    const mask = here.length - 2;
    let slot = (id << 1) & mask;
    for (; here[slot] === this.#passage; slot = (slot + 2) & mask) if (here[slot + 1] === id) return;
    here[slot] = this.#passage;
    here[slot + 1] = id;
    if (this.distinct === this.ids.length) this.ids = grown(this.ids, Int32Array);
    this.ids[this.distinct++] = id;
    if (this.distinct * 4 > here.length) this.#widen();
  }

  #widen(): void {
    const here = new Int32Array(this.#here.length * 4);
    const mask = here.length - 2;
    for (let i = 0; i < this.distinct; i += 1) {
      const id = this.ids[i] as number;
      let slot = (id << 1) & mask;
      while (here[slot] === this.#passage) slot = (slot + 2) & mask;
      here[slot] = this.#passage;
      here[slot + 1] = id;
    }
    this.#here = here;
  }

  #learn(text: string, start: number, end: number, hash: number, at: number): void {
    const words = this.#words;
    const length = end - start;
    const found = analyseAscii(text.slice(start, end));
    const kept = found.length <= ENTRY - 2 - ((length + 3) >> 2);
    if (kept) {
      words[at] = hash;
      words[at + 1] = length | (found.length << 8);
    }
    for (let i = 0; i < found.length; i += 1) {
      const id = this.idOf(found[i] as string);
      if (kept) words[at + 2 + i] = id;
      this.#met(id);
    }
    if (!kept) return;
    const from = at + 2 + found.length;
    for (let i = 0; i < (length + 3) >> 2; i += 1) words[from + i] = this.#packed[i] as number;
  }

  #termId(top: number, low: number): number {
    const slots = this.#termSlots;
    const mask = slots.length - 2;
    const upper = top | 0;
    const part = low << ID_BITS;
    let slot = (top << 1) & mask;
    for (;;) {
      const held = slots[slot + 1] as number;
      if (held === 0) break;
      if (slots[slot] === upper && (held & ~MOST_ID) === part) {
        const id = (held & MOST_ID) - 1;
        if (this.#low[id] === low) return id;
      }
      slot = (slot + 2) & mask;
    }
    if (this.#size === this.#top.length) this.#grow();
    const id = this.#size++;
    this.#top[id] = top;
    this.#low[id] = low;
    this.#place(id);
    return id;
  }

  #place(id: number): void {
    const slots = this.#termSlots;
    const mask = slots.length - 2;
    const top = this.#top[id] as number;
    let slot = (top << 1) & mask;
    while (slots[slot + 1] !== 0) slot = (slot + 2) & mask;
    slots[slot] = top;
    slots[slot + 1] = ((this.#low[id] as number) << ID_BITS) | (id + 1);
  }

  #grow(): void {
    this.#top = grown(this.#top, Uint32Array);
    this.#low = grown(this.#low, Uint16Array);
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
