// What counts for a thread that asks and reads the answer in the same breath: a worker thread that keeps the engine's process
// (one with the vocabulary alone), or speaks to the llama-server. A crash or a hang of that is an error of the count, and holds
// this thread up for moments only (TOK-11).
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { CtxError } from '../abi/errors.ts';
import { CountPending } from '../tokens/pending.ts';
import { fromWire } from './llama/wire.ts';
import type { WireError } from './llama/wire.ts';
import { modelId } from './models.ts';
import type { ModelConfig, Prompt } from './types.ts';

/** What a counting worker is asked; its answer comes by the port, then `signal` is rung. */
export type CountQuestion = { readonly texts: readonly string[] } | { readonly prompt: Prompt } | { readonly digest: true };
export interface CountRequest {
  readonly id: number;
  readonly question: CountQuestion;
}
export type CountAnswer = { readonly id: number } & (
  { readonly counts: Uint32Array } | { readonly digest: string } | { readonly error: WireError }
);

/** The worker's first word answers no question. */
export const STARTED = 0;
/** The engine's process ends when nobody asks for five minutes: before that it is known to be there. */
const FRESH_MS = 2 * 60_000;
/** A count takes milliseconds. */
const LIMIT_MS = 60_000;
/** TOK-11: an answer that takes longer is awaited, and the thread that asks goes on with what others want of it. */
const PATIENCE_MS = 50;
/** Answers that took longer than this share a quarter of the thread's time; when they have used it nothing is stood still for. */
const QUICK_MS = 10;
const SLOW_BURST_MS = 250;
const SLOW_PART = 0.25;
export interface ServerLimits {
  /** TOK-10 */
  readonly answerMs: number;
  /** After a server failed to count it is not asked for so long: who waits for it waits in vain. */
  readonly restMs: number;
}
const SERVER_LIMITS: ServerLimits = { answerMs: 10_000, restMs: 5000 };
/** Loading a large vocabulary takes a second, more where others have the machine; nothing stands still for it. */
const START_LIMIT_MS = 10 * 60_000;

type Asked = { readonly texts: readonly string[] } | { readonly prompt: Prompt };

interface Waiting {
  readonly limitMs: number;
  readonly resolve: (answer: CountAnswer) => void;
  readonly reject: (error: CtxError) => void;
  timer: NodeJS.Timeout;
}

/** One worker with one model. */
export class Counting {
  readonly key: string;
  readonly #config: ModelConfig;
  readonly #remote: boolean;
  readonly #limits: ServerLimits;
  #failed: { readonly error: CtxError; readonly atMs: number } | undefined;
  readonly #signal: Int32Array = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | undefined;
  #port: MessagePort | undefined;
  /** Questions that nobody stands still for. */
  readonly #waiting: Map<number, Waiting> = new Map();
  /** Of those, what is asked again before it is answered. */
  readonly #pending: Map<string, CountPending> = new Map();
  #next = STARTED + 1;
  #started = false;
  #answeredMs = -Infinity;
  #slowMs = 0;
  #slowAtMs = 0;

  constructor(key: string, config: ModelConfig, limits: ServerLimits = SERVER_LIMITS) {
    this.key = key;
    this.#config = config;
    this.#remote = config.driver !== 'llama';
    this.#limits = limits;
  }

  /** Starts what counts, without holding up this thread. */
  async ready(): Promise<void> {
    if (this.#remote || Date.now() - this.#answeredMs < FRESH_MS) return;
    this.#read(await this.#arrival(this.#post({ texts: [''] }), START_LIMIT_MS));
  }

  /** Throws CountPending when the answer takes its time; `keep` is told of it whenever it comes. */
  count(question: Asked, keep: (tokens: number) => void): number {
    return this.#ask(JSON.stringify(question), question, (answer) => ('counts' in answer ? (answer.counts[0] ?? 0) : 0), keep);
  }

  /** Of a server: what its counts follow from. As `count`. */
  digest(keep: (digest: string) => void): string {
    return this.#ask('digest', { digest: true }, (answer) => ('digest' in answer ? answer.digest : ''), keep);
  }

  #ask<T>(key: string, question: CountQuestion, of: (answer: CountAnswer) => T, keep: (value: T) => void): T {
    if (this.#failed !== undefined && Date.now() - this.#failed.atMs < this.#limits.restMs) throw this.#failed.error;
    const pending = this.#pending.get(key);
    if (pending !== undefined) throw pending;
    const take = (answer: CountAnswer): T => {
      const value = of(this.#read(answer));
      this.#failed = undefined;
      keep(value);
      return value;
    };
    const id = this.#post(question);
    const answer = this.#standStill(id);
    if (answer === undefined) throw this.#later(key, id, take);
    try {
      return take(answer);
    } catch (thrown) {
      throw this.#failure(thrown);
    }
  }

  #later(key: string, id: number, take: (answer: CountAnswer) => void): CountPending {
    const answered = this.#arrival(id, this.#remote ? this.#limits.answerMs : LIMIT_MS)
      .then(take)
      .catch((thrown: unknown) => Promise.reject(this.#failure(thrown)))
      .finally(() => this.#pending.delete(key));
    const pending = new CountPending(answered);
    this.#pending.set(key, pending);
    return pending;
  }

  /** A server that failed rests. */
  #failure(thrown: unknown): unknown {
    if (!this.#remote || !(thrown instanceof CtxError)) return thrown;
    const { message, where, next } = thrown;
    const error = new CtxError('tokens.engine', 'ENODEV', message, {
      where: where ?? modelId(this.#config),
      ...(next === undefined ? {} : { next }),
    });
    this.#failed = { error, atMs: Date.now() };
    return error;
  }

  #post(question: CountQuestion): number {
    const port = this.#open();
    const id = this.#next++;
    port.postMessage({ id, question } satisfies CountRequest);
    return id;
  }

  /** The answer, when it comes while this thread may stand still. */
  #standStill(id: number): CountAnswer | undefined {
    const port = this.#open();
    const began = performance.now();
    this.#slowMs = Math.max(0, this.#slowMs - (began - this.#slowAtMs) * SLOW_PART);
    this.#slowAtMs = began;
    const patienceMs = this.#slowMs > SLOW_BURST_MS ? 0 : PATIENCE_MS;
    try {
      for (;;) {
        const rung = Atomics.load(this.#signal, 0);
        const received = receiveMessageOnPort(port) as { readonly message: CountAnswer } | undefined;
        if (received?.message.id === id) return received.message;
        if (received !== undefined) {
          this.#take(received.message);
          continue;
        }
        const leftMs = patienceMs - (performance.now() - began);
        if (leftMs <= 0 || Atomics.wait(this.#signal, 0, rung, leftMs) === 'timed-out') return undefined;
      }
    } finally {
      const stoodMs = performance.now() - began;
      if (stoodMs > QUICK_MS) this.#slowMs += stoodMs;
    }
  }

  /** The thread that asks for us starts first: on a busy machine that is no fault of who is asked. */
  #arrival(id: number, limitMs: number): Promise<CountAnswer> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock(this.#started ? limitMs : Math.max(limitMs, LIMIT_MS));
      this.#waiting.set(id, { limitMs, resolve, reject, timer });
    });
  }

  #clock(limitMs: number): NodeJS.Timeout {
    return setTimeout(() => void this.#end(this.#late(limitMs)), limitMs);
  }

  #take(answer: CountAnswer): void {
    if (answer.id === STARTED) {
      this.#started = true;
      for (const waiting of this.#waiting.values()) {
        clearTimeout(waiting.timer);
        waiting.timer = this.#clock(waiting.limitMs);
      }
      return;
    }
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    clearTimeout(waiting?.timer);
    waiting?.resolve(answer);
  }

  #read(answer: CountAnswer): CountAnswer {
    if ('error' in answer) throw fromWire(answer.error);
    this.#answeredMs = Date.now();
    return answer;
  }

  async close(): Promise<void> {
    await this.#end(new CtxError('tokens.engine', 'EINTR', 'another model counts now', { next: 'read it again' }));
  }

  /** What comes later is the answer to a question that nobody waits for: the next one is asked of another worker. */
  async #end(why: CtxError): Promise<void> {
    this.#port?.close();
    this.#port = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#started = false;
    this.#answeredMs = -Infinity;
    for (const { timer, reject } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(why);
    }
    this.#waiting.clear();
    await worker?.terminate();
  }

  #late(limitMs: number): CtxError {
    return new CtxError('tokens.engine', 'ETIMEDOUT', `the engine's tokenizer does not answer within ${limitMs / 1000} s`, {
      where: modelId(this.#config),
      next: 'read it again',
    });
  }

  #open(): MessagePort {
    if (this.#port !== undefined) return this.#port;
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(workerFile(), {
      workerData: { config: this.#config, port: port2, signal: this.#signal.buffer },
      transferList: [port2],
    });
    port1.on('message', (answer: CountAnswer) => this.#take(answer));
    worker.on('error', (error) => {
      if (this.#worker !== worker) return;
      void this.#end(new CtxError('tokens.engine', 'EIO', `what counts has failed: ${String(error)}`, { next: 'read it again' }));
    });
    worker.unref();
    port1.unref();
    this.#worker = worker;
    this.#port = port1;
    return port1;
  }
}

/** Beside this file when built; running from sources, in the build's directory. */
function workerFile(): string {
  const beside = fileURLToPath(new URL('./count-worker.js', import.meta.url));
  return existsSync(beside) ? beside : fileURLToPath(new URL('../../dist/src/engine/count-worker.js', import.meta.url));
}
