// A few worker threads for long CPU work on history. Workers start with the first task and end when idle.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { CtxError } from '../abi/errors.ts';
import type { MapResult, MapTask } from './map-history.ts';

export interface Pool {
  readonly size: number;
  map(task: MapTask): Promise<MapResult>;
  close(): Promise<void>;
}

/** What follows a cold build is the fold of a cell on the deriver's thread: workers should not hold memory beside it. */
const IDLE_MS = 100;
const HEAP_MB = 96;
const YOUNG_MB = 4;

/** Undefined where the built worker file is not beside this one (running from sources): callers then work in-process. */
export function openPool(size: number): Pool | undefined {
  const file = fileURLToPath(new URL('./map-worker.js', import.meta.url));
  return size > 0 && existsSync(file) ? new WorkerPool(file, size) : undefined;
}

interface Job {
  readonly task: MapTask;
  readonly resolve: (result: MapResult) => void;
  readonly reject: (error: unknown) => void;
}

interface Seat {
  readonly worker: Worker;
  job: Job | undefined;
  timer: NodeJS.Timeout | undefined;
}

class WorkerPool implements Pool {
  readonly size: number;
  readonly #file: string;
  readonly #seats: Seat[] = [];
  readonly #waiting: Job[] = [];
  #closed = false;

  constructor(file: string, size: number) {
    this.#file = file;
    this.size = size;
  }

  map(task: MapTask): Promise<MapResult> {
    if (this.#closed) return Promise.reject(new CtxError('derive.closed', 'EINTR', 'the worker pool is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, resolve, reject });
      this.#serve();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const error = new CtxError('derive.closed', 'EINTR', 'the worker pool is closed');
    for (const job of this.#waiting.splice(0)) job.reject(error);
    const seats = this.#seats.splice(0);
    for (const seat of seats) {
      clearTimeout(seat.timer);
      seat.job?.reject(error);
    }
    await Promise.all(seats.map((seat) => seat.worker.terminate()));
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const seat = this.#seats.find((candidate) => candidate.job === undefined) ?? this.#seat();
      if (seat === undefined) return;
      const job = this.#waiting.shift() as Job;
      clearTimeout(seat.timer);
      seat.job = job;
      seat.worker.ref();
      seat.worker.postMessage(job.task);
    }
  }

  #seat(): Seat | undefined {
    if (this.#seats.length >= this.size) return undefined;
    const worker = new Worker(this.#file, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_MB } });
    const seat: Seat = { worker, job: undefined, timer: undefined };
    worker.on('message', (reply: { readonly result: MapResult } | { readonly error: string }) => {
      const job = seat.job;
      seat.job = undefined;
      worker.unref();
      seat.timer = setTimeout(() => this.#retire(seat), IDLE_MS).unref();
      if ('result' in reply) job?.resolve(reply.result);
      else job?.reject(new CtxError('derive.worker', 'EIO', reply.error));
      this.#serve();
    });
    worker.on('error', (error) => {
      this.#remove(seat);
      seat.job?.reject(error);
      seat.job = undefined;
      this.#serve();
    });
    this.#seats.push(seat);
    return seat;
  }

  #retire(seat: Seat): void {
    if (seat.job !== undefined) return;
    this.#remove(seat);
    void seat.worker.terminate();
  }

  #remove(seat: Seat): void {
    const at = this.#seats.indexOf(seat);
    if (at >= 0) this.#seats.splice(at, 1);
  }
}
