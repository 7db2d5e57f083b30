// When what is derived is written: not while somebody waits for it, and not never.

/** When nobody has asked for this long, */
const IDLE_MS = 400;
/** or, while questions follow each other, this long after the first. */
const AFTER_MS = 5000;
/** So much later it is written beside what is being built. */
const LATE_MS = 1000;
const TRY_MS = 20;

export class SaveSchedule {
  readonly #hooks: { now(): number; isBusy(): boolean; save(): void };
  #timer: NodeJS.Timeout | undefined;
  #by = Infinity;

  /** `save` must not throw. */
  constructor(hooks: { now(): number; isBusy(): boolean; save(): void }) {
    this.#hooks = hooks;
  }

  soon(): void {
    const now = this.#hooks.now();
    this.#by = Math.min(this.#by, now + AFTER_MS);
    this.#in(Math.max(0, Math.min(IDLE_MS, this.#by - now)));
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  #in(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#try(), delayMs).unref();
  }

  /** Between two questions rather than inside one, which gives way to timers. */
  #try(): void {
    if (this.#hooks.isBusy() && this.#hooks.now() < this.#by + LATE_MS) {
      this.#in(TRY_MS);
      return;
    }
    this.#by = Infinity;
    this.#hooks.save();
  }
}
