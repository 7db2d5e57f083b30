// Reads requests from /dev/fuse without sleeping while they follow each other: in a burst the next one comes within
// microseconds, and waking a sleeping CPU costs more than the request (rationale 0006). Where there is only one CPU to
// run on, the next request comes when this thread sleeps, and one read(2) that blocks is all there is (rationale 0011).
// Through koffi: a read(2) that finds nothing costs 0.4 µs there, in Node an exception of several.
import { createRequire } from 'node:module';
import { constants as files } from 'node:fs';
import { constants } from 'node:os';

/** The longest pause between two requests that is waited through without sleeping, in ms. */
const PAUSE_MS = 0.2;
/** One turn of the loop lasts about a microsecond: longer, and another thread had this CPU. */
const PREEMPTED_MS = 0.2;
/** How long nothing is polled then: the shortest, doubled each time up to the longest. */
const REST_MS = [20, 1_000] as const;
/** How often it is looked whether there is one CPU or more. */
const LOOK_MS = 100;
const READS_BETWEEN_LOOKS = 64;
/** As many bursts without another thread on this CPU make the rest short again. */
const CALM_POLLS = 100;

const POLLIN = 1;
const F_GETFL = 3;
const F_SETFL = 4;
const { EAGAIN, EINTR, ENOENT, ENODEV, ECONNABORTED } = constants.errno;

interface Calls {
  read(fd: number, into: Buffer, size: number): number;
  poll(fds: Buffer, count: number, timeoutMs: number): number;
  fcntl(fd: number, command: number, flags: number): number;
  sched_getaffinity(thread: number, size: number, mask: Buffer): number;
  errno(): number;
}

export class RequestReader {
  readonly #calls: Calls = load();
  readonly #fd: number;
  readonly #beforeSleep: () => number;
  /** struct pollfd: fd (i32), events (i16), revents (i16). */
  readonly #fds: Buffer = Buffer.alloc(8);
  #inBurst = false;
  #restUntil = 0;
  #restMs: number = REST_MS[0];
  #calm = 0;
  readonly #cpus: Buffer = Buffer.alloc(128);
  #alone = false;
  #lookAt = 0;
  #blocks = true;
  #reads = 0;

  /** `beforeSleep`: for how many milliseconds it may be slept before it is called again; -1: for ever. */
  constructor(fd: number, beforeSleep: () => number) {
    this.#fd = fd;
    this.#beforeSleep = beforeSleep;
    this.#fds.writeInt32LE(fd, 0);
    this.#fds.writeInt16LE(POLLIN, 4);
    this.#block(false);
  }

  /** The length of the next request, or 0 when the mount is gone. Blocks. */
  next(into: Buffer): number {
    for (;;) {
      if (this.#alone) this.#settle();
      const length = this.#calls.read(this.#fd, into, into.length);
      if (length >= 0) return length;
      const errno = this.#calls.errno();
      if (errno === EAGAIN) this.#wait();
      else if (errno === ENODEV || errno === ECONNABORTED) return 0;
      // ENOENT: the request was interrupted before it was read.
      else if (errno !== EINTR && errno !== ENOENT) throw this.#error('read', errno);
    }
  }

  /** On one CPU a read may block, unless there is something to be done at a certain time. */
  #settle(): void {
    this.#reads += 1;
    if (this.#reads % READS_BETWEEN_LOOKS === 0) this.#look(performance.now());
    this.#block(this.#alone && this.#beforeSleep() < 0);
  }

  #block(blocks: boolean): void {
    if (blocks === this.#blocks) return;
    const flags = this.#calls.fcntl(this.#fd, F_GETFL, 0);
    const wanted = blocks ? flags & ~files.O_NONBLOCK : flags | files.O_NONBLOCK;
    if (flags < 0 || this.#calls.fcntl(this.#fd, F_SETFL, wanted) < 0) throw this.#error('fcntl', this.#calls.errno());
    this.#blocks = blocks;
  }

  /** Which CPUs this thread may use changes while it runs (taskset, containers). */
  #look(now: number): void {
    if (now < this.#lookAt) return;
    this.#lookAt = now + LOOK_MS;
    const bytes = this.#calls.sched_getaffinity(0, this.#cpus.length, this.#cpus.fill(0));
    this.#alone = bytes === 0 && oneBit(this.#cpus);
  }

  /** Returns when a request may be there. */
  #wait(): void {
    const since = performance.now();
    this.#look(since);
    if (this.#alone) return this.#sleep();
    if (!(this.#inBurst && since >= this.#restUntil && this.#polled(since))) this.#sleep();
    // A pause this short is likely to be followed by another.
    this.#inBurst = performance.now() - since < PAUSE_MS;
  }

  #sleep(): void {
    for (;;) {
      const forMs = this.#beforeSleep();
      if (this.#calls.poll(this.#fds, 1, forMs) !== 0 || forMs < 0) return;
    }
  }

  #polled(since: number): boolean {
    for (let last = since; this.#calls.poll(this.#fds, 1, 0) === 0;) {
      const now = performance.now();
      if (now - last > PREEMPTED_MS) return this.#rest(now);
      if (now - since > PAUSE_MS) return false;
      last = now;
    }
    if (++this.#calm > CALM_POLLS) this.#restMs = REST_MS[0];
    return true;
  }

  #rest(now: number): false {
    this.#restUntil = now + this.#restMs;
    this.#restMs = Math.min(this.#restMs * 2, REST_MS[1]);
    this.#calm = 0;
    return false;
  }

  #error(call: string, errno: number): Error {
    return new Error(`${call} of /dev/fuse failed with errno ${errno}`);
  }
}

function oneBit(mask: Buffer): boolean {
  const used = mask.filter((byte) => byte !== 0);
  const byte = used[0] ?? 0;
  return used.length === 1 && (byte & (byte - 1)) === 0;
}

function load(): Calls {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
  const libc = koffi.load('libc.so.6');
  return {
    read: libc.func('int64_t read(int fd, uint8_t *into, size_t size)') as unknown as Calls['read'],
    poll: libc.func('int poll(uint8_t *fds, unsigned long count, int timeout)') as unknown as Calls['poll'],
    fcntl: libc.func('int fcntl(int fd, int command, int flags)') as unknown as Calls['fcntl'],
    sched_getaffinity: libc.func('int sched_getaffinity(int thread, size_t size, uint8_t *mask)') as unknown as Calls['sched_getaffinity'],
    errno: () => koffi.errno(),
  };
}
