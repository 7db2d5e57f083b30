// A few numbers, asked for many times: most that are asked for are not there, and that is known by one look.

export class IdTable {
  /** Open addressing from id to its place + 1: [id, place + 1] each. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** Each id once. */
  constructor(ids: readonly number[]) {
    let capacity = 64;
    while (capacity < ids.length * 8) capacity *= 2;
    this.#slots = new Int32Array(capacity * 2);
    this.#mask = capacity - 1;
    ids.forEach((id, place) => {
      let slot = id & this.#mask;
      while (this.#slots[slot * 2 + 1] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot * 2] = id;
      this.#slots[slot * 2 + 1] = place + 1;
    });
  }

  /** The place of an id among those given, or -1. */
  find(id: number): number {
    const slots = this.#slots;
    for (let slot = id & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const held = slots[slot * 2 + 1] as number;
      if (held === 0 || slots[slot * 2] === id) return held - 1;
    }
  }
}
