// One at a time, in the order of asking.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Resolves when it is this caller's turn, with the function that ends it. */
  async take(): Promise<() => void> {
    const before = this.#last;
    let end: () => void = () => undefined;
    this.#last = new Promise<void>((resolve) => (end = resolve));
    await before;
    return end;
  }
}
