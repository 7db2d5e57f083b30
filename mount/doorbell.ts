// A counter in shared memory: the serving thread looks for messages only when there are some.

export class Doorbell {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;
  #seen = 0;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  /** Sender's side, after posting a message. */
  ring(): void {
    Atomics.add(this.#words, 0, 1);
  }

  /** Receiver's side: true when a message has come since the last call. */
  answered(): boolean {
    const now = Atomics.load(this.#words, 0);
    if (now === this.#seen) return false;
    this.#seen = now;
    return true;
  }
}
