// The bulk form of `terms`: the distinct words' terms of a passage as one line of text for the index. ASCII words are
// scanned in place and looked up by hash, so a word is analysed once for each filling of the cache.
import { analyseAscii, terms } from './terms.ts';

/** Words longer than this are analysed each time. */
const CACHED_WORD = 32;
const SLOTS = 1 << 17;
const ENTRIES = 1 << 16;
const POOL_BYTES = 1 << 21;

/** 1: ASCII letter or digit; 2: any unit beyond ASCII. */
const KIND = new Uint8Array(1 << 16).fill(2, 0x80);
for (const unit of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789') KIND[unit.charCodeAt(0)] = 1;

export class TermWriter {
  /** Terms of the last passage, repeats included. */
  count = 0;
  #units: Uint16Array = new Uint16Array(4096);
  #unitBytes: Buffer = Buffer.from(this.#units.buffer);
  #out: Buffer = Buffer.allocUnsafe(16_384);
  #used = 0;
  // Words seen: a slot holds an entry number + 1.
  readonly #slots: Int32Array = new Int32Array(SLOTS);
  readonly #hashes: Int32Array = new Int32Array(ENTRIES);
  readonly #words: Int32Array = new Int32Array(ENTRIES + 1);
  readonly #terms: Int32Array = new Int32Array(ENTRIES + 1);
  readonly #counts: Uint8Array = new Uint8Array(ENTRIES);
  readonly #stamps: Int32Array = new Int32Array(ENTRIES);
  readonly #wordPool: Uint8Array = new Uint8Array(POOL_BYTES);
  readonly #termPool: Buffer = Buffer.allocUnsafe(POOL_BYTES);
  #entries = 0;
  #passage = 0;

  /**
   * Terms of `text` separated by spaces, each word once; valid until the next call. `count` is then the number of
   * terms with repeats. Which repeats are left out may vary with the cache; the set of terms and `count` never do.
   */
  write(text: string): Buffer {
    if (this.#units.length < text.length) {
      this.#units = new Uint16Array(text.length * 2);
      this.#unitBytes = Buffer.from(this.#units.buffer);
    }
    const units = this.#units;
    const end = text.length;
    this.#unitBytes.write(text, 'utf16le');
    this.#used = 0;
    this.count = 0;
    this.#passage += 1;
    for (let i = 0; i < end;) {
      if (KIND[units[i] as number] === 0) {
        i += 1;
        continue;
      }
      const start = i;
      let hash = 0x811c9dc5;
      while (i < end && KIND[units[i] as number] === 1) {
        hash = Math.imul(hash ^ (units[i] as number), 0x01000193);
        i += 1;
      }
      if (i < end && KIND[units[i] as number] === 2) {
        while (i < end && KIND[units[i] as number] !== 0) i += 1;
        this.#plain(text, start, i);
      } else if (i - start > CACHED_WORD) this.#plain(text, start, i);
      else this.#word(text, start, i, hash ^ (hash >>> 15));
    }
    return this.#out.subarray(0, this.#used);
  }

  #plain(text: string, start: number, end: number): void {
    const found = terms(text.slice(start, end));
    this.count += found.length;
    const line = found.join(' ');
    this.#room(line.length * 3 + 1);
    this.#used += this.#out.write(line, this.#used);
    this.#out[this.#used++] = 0x20;
  }

  #word(text: string, start: number, end: number, hash: number): void {
    const entry = this.#find(start, end, hash) ?? this.#learn(text, start, end, hash);
    this.count += this.#counts[entry] as number;
    if (this.#stamps[entry] === this.#passage) return;
    this.#stamps[entry] = this.#passage;
    const from = this.#terms[entry] as number;
    const to = this.#terms[entry + 1] as number;
    this.#room(to - from);
    for (let i = from; i < to; i += 1) this.#out[this.#used++] = this.#termPool[i] as number;
  }

  #find(start: number, end: number, hash: number): number | undefined {
    const units = this.#units;
    let slot = hash & (SLOTS - 1);
    for (;;) {
      const entry = (this.#slots[slot] as number) - 1;
      if (entry < 0) return undefined;
      if (this.#hashes[entry] === hash) {
        const at = this.#words[entry] as number;
        const length = end - start;
        if ((this.#words[entry + 1] as number) - at === length) {
          let i = 0;
          while (i < length && this.#wordPool[at + i] === units[start + i]) i += 1;
          if (i === length) return entry;
        }
      }
      slot = (slot + 1) & (SLOTS - 1);
    }
  }

  #learn(text: string, start: number, end: number, hash: number): number {
    const found = analyseAscii(text.slice(start, end));
    const line = found.length === 0 ? '' : `${found.join(' ')} `;
    let at = this.#words[this.#entries] as number;
    let to = this.#terms[this.#entries] as number;
    if (this.#entries === ENTRIES || at + CACHED_WORD > POOL_BYTES || to + line.length > POOL_BYTES) {
      this.#slots.fill(0);
      this.#stamps.fill(0);
      this.#entries = 0;
      at = 0;
      to = 0;
    }
    const entry = this.#entries++;
    for (let i = start; i < end; i += 1) this.#wordPool[at++] = this.#units[i] as number;
    to += this.#termPool.write(line, to, 'latin1');
    this.#hashes[entry] = hash;
    this.#counts[entry] = found.length;
    this.#stamps[entry] = 0;
    this.#words[entry + 1] = at;
    this.#terms[entry + 1] = to;
    let slot = hash & (SLOTS - 1);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1);
    this.#slots[slot] = entry + 1;
    return entry;
  }

  #room(more: number): void {
    if (this.#used + more <= this.#out.length) return;
    const larger = Buffer.allocUnsafe((this.#used + more) * 2);
    this.#out.copy(larger, 0, 0, this.#used);
    this.#out = larger;
  }
}
