// What counts for a thread that waits: a worker thread that keeps the engine's process (one with the vocabulary alone), or
// speaks to the llama-server. A crash or a hang of that is an error of the count, never of this thread.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { CtxError } from '../abi/errors.ts';
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
/** A count takes milliseconds, and this thread stands still for it. */
const LIMIT_MS = 60_000;
export interface ServerLimits {
  /** A server that is slow does not hold up other sessions. */
  readonly answerMs: number;
  /** After a server failed to count it is not asked for so long: who waits for it is a thread. */
  readonly restMs: number;
}
const SERVER_LIMITS: ServerLimits = { answerMs: 10_000, restMs: 5000 };
/** Loading a large vocabulary takes a second, more where others have the machine; nothing stands still for it. */
const START_LIMIT_MS = 10 * 60_000;

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
  /** Questions that nobody blocks for. */
  readonly #waiting: Map<number, (answer: CountAnswer) => void> = new Map();
  #next = STARTED + 1;
  #started = false;
  #answeredMs = -Infinity;

  constructor(key: string, config: ModelConfig, limits: ServerLimits = SERVER_LIMITS) {
    this.key = key;
    this.#config = config;
    this.#remote = config.driver !== 'llama';
    this.#limits = limits;
  }

  /** Starts what counts, without holding up this thread. */
  async ready(): Promise<void> {
    if (this.#remote || Date.now() - this.#answeredMs < FRESH_MS) return;
    const port = this.#open();
    const id = this.#next++;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#late(START_LIMIT_MS)), START_LIMIT_MS);
    });
    const answer = new Promise<CountAnswer>((resolve) => this.#waiting.set(id, resolve));
    port.postMessage({ id, question: { texts: [''] } } satisfies CountRequest);
    try {
      this.#read(await Promise.race([answer, late]));
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  count(question: { readonly texts: readonly string[] } | { readonly prompt: Prompt }): number {
    const answer = this.#ask(question);
    return 'counts' in answer ? (answer.counts[0] ?? 0) : 0;
  }

  /** Of a server: what its counts follow from. */
  digest(): string {
    const answer = this.#ask({ digest: true });
    return 'digest' in answer ? answer.digest : '';
  }

  #ask(question: CountQuestion): CountAnswer {
    if (!this.#remote) return this.#answer(question, LIMIT_MS);
    if (this.#failed !== undefined && Date.now() - this.#failed.atMs < this.#limits.restMs) throw this.#failed.error;
    try {
      const answer = this.#answer(question, this.#limits.answerMs);
      this.#failed = undefined;
      return answer;
    } catch (thrown) {
      const { message, where, next } = thrown as CtxError;
      const error = new CtxError('tokens.engine', 'ENODEV', message, {
        where: where ?? modelId(this.#config),
        ...(next === undefined ? {} : { next }),
      });
      this.#failed = { error, atMs: Date.now() };
      throw error;
    }
  }

  #answer(question: CountQuestion, limitMs: number): CountAnswer {
    const port = this.#open();
    const id = this.#next++;
    port.postMessage({ id, question } satisfies CountRequest);
    // The thread that asks starts first: on a busy machine that is no fault of who is asked.
    for (let by = Date.now() + (this.#started ? limitMs : LIMIT_MS); ;) {
      const rung = Atomics.load(this.#signal, 0);
      const received = receiveMessageOnPort(port) as { readonly message: CountAnswer } | undefined;
      if (received?.message.id === id) return this.#read(received.message);
      if (received?.message.id === STARTED) by = Date.now() + limitMs;
      if (received !== undefined) this.#take(received.message);
      else if (Atomics.wait(this.#signal, 0, rung, by - Date.now()) === 'timed-out') throw this.#late(limitMs);
    }
  }

  #take(answer: CountAnswer): void {
    if (answer.id === STARTED) this.#started = true;
    this.#waiting.get(answer.id)?.(answer);
  }

  #read(answer: CountAnswer): CountAnswer {
    if ('error' in answer) throw fromWire(answer.error);
    this.#answeredMs = Date.now();
    return answer;
  }

  async close(): Promise<void> {
    this.#port?.close();
    this.#port = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#started = false;
    this.#answeredMs = -Infinity;
    await worker?.terminate();
  }

  /** What comes later is the answer to a question that nobody waits for: the next one is asked of another worker. */
  #late(limitMs: number): CtxError {
    void this.close();
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
