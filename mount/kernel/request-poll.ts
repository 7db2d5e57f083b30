// Polls /dev/fuse for a moment before the thread sleeps in read(2): in a burst of requests the next one comes within
// microseconds, and waking a sleeping CPU costs more than the request (rationale 0006). Without koffi nothing is polled.
import { createRequire } from 'node:module';

/** The longest pause between two requests that is waited through without sleeping, in ms. */
const PAUSE_MS = 0.2;
/** One turn of the loop lasts about a microsecond: longer, and another thread had this CPU. */
const PREEMPTED_MS = 0.2;
/** How long nothing is polled then: the shortest, doubled each time up to the longest. */
const REST_MS = [20, 1_000] as const;
/** As many bursts without another thread on this CPU make the rest short again. */
const CALM_POLLS = 100;

const POLLIN = 1;

type Poll = (fds: Buffer, count: number, timeoutMs: number) => number;

export class RequestPoll {
  readonly #poll: Poll | undefined = loadPoll();
  /** struct pollfd: fd (i32), events (i16), revents (i16). */
  readonly #fds: Buffer = Buffer.alloc(8);
  #since = 0;
  #inBurst = false;
  #restUntil = 0;
  #restMs: number = REST_MS[0];
  #calm = 0;

  constructor(fd: number) {
    this.#fds.writeInt32LE(fd, 0);
    this.#fds.writeInt16LE(POLLIN, 4);
  }

  /** Before the blocking read: returns when a request is there, or when sleeping is the better way to wait. */
  beforeRead(): void {
    this.#since = performance.now();
    if (!this.#inBurst || this.#poll === undefined || this.#since < this.#restUntil) return;
    for (let last = this.#since; this.#poll(this.#fds, 1, 0) === 0;) {
      const now = performance.now();
      if (now - last > PREEMPTED_MS) return this.#rest(now);
      if (now - this.#since > PAUSE_MS) return;
      last = now;
    }
    if (++this.#calm > CALM_POLLS) this.#restMs = REST_MS[0];
  }

  /** After it: a pause this short is likely to be followed by another. */
  afterRead(): void {
    this.#inBurst = performance.now() - this.#since < PAUSE_MS;
  }

  #rest(now: number): void {
    this.#restUntil = now + this.#restMs;
    this.#restMs = Math.min(this.#restMs * 2, REST_MS[1]);
    this.#calm = 0;
  }
}

function loadPoll(): Poll | undefined {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as { load(name: string): { func(signature: string): Poll } };
    return koffi.load('libc.so.6').func('int poll(uint8_t *fds, unsigned long count, int timeout)');
  } catch {
    return undefined;
  }
}
