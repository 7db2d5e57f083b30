// A thread that is woken for every write of a burst, one at a time, costs the writers more than its own work: both want the CPU.
// So it rests between two looks for a few milliseconds, unless somebody waits for it.

const NAP_MS = 10;

export class Nap {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;
  #answered = 0;
  #planned = false;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  /** Sender's side, before a message that does not wait. */
  wake(): void {
    Atomics.add(this.#words, 0, 1);
    Atomics.notify(this.#words, 0);
  }

  /** Receiver's side, for each such message. */
  woken(): void {
    this.#answered = (this.#answered + 1) | 0;
  }

  /** Receiver's side: when everything that is there has been looked at. */
  soon(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      Atomics.wait(this.#words, 0, this.#answered, NAP_MS);
    });
  }
}
