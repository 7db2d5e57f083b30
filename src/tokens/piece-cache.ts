// Counts of short pieces already seen, in flat arrays (about 3 MB). When it is full it starts again empty: a count
// never depends on what was counted before.

/** Longer pieces are not kept. */
export const CACHED_UNITS = 48;

const SLOTS = 1 << 17;
const ENTRIES = 1 << 16;
const ENTRY_BITS = 17;
const ENTRY_MASK = (1 << ENTRY_BITS) - 1;
const POOL_UNITS = 1 << 20;

export class PieceCache {
  // A slot holds an entry number + 1, and above it the upper bits of the hash.
  readonly #slots: Int32Array = new Int32Array(SLOTS);
  readonly #starts: Int32Array = new Int32Array(ENTRIES + 1);
  readonly #counts: Uint8Array = new Uint8Array(ENTRIES);
  readonly #pool: Uint16Array = new Uint16Array(POOL_UNITS);
  /** A mark of the piece last asked for, by other bits of its hash. */
  readonly #asked: Uint8Array = new Uint8Array(1 << 16);
  #entries = 0;
  #filled = false;

  /** The stored count, or 0. */
  find(units: Uint16Array, start: number, end: number, hash: number): number {
    let slot = hash & (SLOTS - 1);
    for (;;) {
      const held = this.#slots[slot] as number;
      if (held === 0) return 0;
      if ((held ^ hash) >>> ENTRY_BITS === 0) {
        const entry = (held & ENTRY_MASK) - 1;
        const at = this.#starts[entry] as number;
        const length = end - start;
        if ((this.#starts[entry + 1] as number) - at === length) {
          let i = 0;
          while (i < length && this.#pool[at + i] === units[start + i]) i += 1;
          if (i === length) return this.#counts[entry] as number;
        }
      }
      slot = (slot + 1) & (SLOTS - 1);
    }
  }

  /**
   * Keeps a count of 1 to 255. The piece must not be in the cache. Once the cache has been full, only what is asked for
   * a second time is kept: text in which nothing comes back would else empty it over and over.
   */
  add(units: Uint16Array, start: number, end: number, hash: number, count: number): void {
    if (this.#filled && !this.#askedBefore(hash)) return;
    let at = this.#starts[this.#entries] as number;
    if (this.#entries === ENTRIES || at + end - start > POOL_UNITS) {
      this.#filled = true;
      this.#slots.fill(0);
      this.#entries = 0;
      at = 0;
    }
    for (let i = start; i < end; i += 1) this.#pool[at++] = units[i] as number;
    let slot = hash & (SLOTS - 1);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1);
    this.#counts[this.#entries] = count;
    this.#entries += 1;
    this.#slots[slot] = (hash & ~ENTRY_MASK) | this.#entries;
    this.#starts[this.#entries] = at;
  }

  #askedBefore(hash: number): boolean {
    const at = (hash >>> 4) & 0xffff;
    const mark = (hash >>> 24) | 1;
    const before = this.#asked[at] === mark;
    this.#asked[at] = mark;
    return before;
  }
}

/** A 32-bit hash of UTF-16 units. */
export function hashUnits(units: Uint16Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i += 1) hash = Math.imul(hash ^ (units[i] as number), 0x01000193);
  hash ^= hash >>> 15;
  return hash | 0;
}
