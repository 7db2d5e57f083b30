// TOK-7: counting with the tokenizer and the chat template of the model that compiles. The pack's fold counts as it goes and
// waits for nothing: so counts are asked for synchronously, of a worker thread that keeps the engine's process (one with the
// vocabulary alone). A crash or a hang of that process is an error of the count, never of this thread.
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { CtxError } from '../abi/errors.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { readModelFacts } from './gguf.ts';
import { CountMemory } from './llama/prompt-tokens.ts';
import { fromWire } from './llama/wire.ts';
import type { WireError } from './llama/wire.ts';
import { modelId } from './models.ts';
import type { ChatMessage, ModelConfig, Prompt } from './types.ts';

/** What a counting worker is asked; its answer comes by the port, then `signal` is rung. */
export type CountQuestion = { readonly texts: readonly string[] } | { readonly prompt: Prompt };
export interface CountRequest {
  readonly id: number;
  readonly question: CountQuestion;
}
export type CountAnswer = { readonly id: number } & ({ readonly counts: Uint32Array } | { readonly error: WireError });

/** The engine's process ends when nobody asks for five minutes: before that it is known to be there. */
const FRESH_MS = 2 * 60_000;
/** A count takes milliseconds, and this thread stands still for it. */
const LIMIT_MS = 60_000;
/** Loading a large vocabulary takes a second, more where others have the machine; nothing stands still for it. */
const START_LIMIT_MS = 10 * 60_000;
/** Changes with how prompts are rendered and counted. */
const RULE = 'engine-tokens/1 jinja-0.5';

export class EngineTokenizer {
  readonly #model: () => ModelConfig | undefined;
  #known: { readonly file: string; readonly digest: string } | undefined;
  #counting: Counting | undefined;
  readonly #onFault: () => void;
  /** Of the model and its file, and of counting itself: one that goes leaves the other. */
  readonly #faults: { model?: string | undefined; count?: string | undefined } = {};

  /** `model`: the one that compiles, asked each time; `onFault`: `fault` has changed. */
  constructor(model: () => ModelConfig | undefined, onFault: () => void = () => undefined) {
    this.#model = model;
    this.#onFault = onFault;
  }

  /** Why it does not count; undefined: it does, or nobody asked. */
  get fault(): string | undefined {
    return this.#faults.model ?? this.#faults.count;
  }

  /** `sha256-…` over tokenizer, vocabulary and chat template: the same counts follow from the same digest. Fails as counting would. */
  digest(): string {
    return this.#guarded('model', () => {
      const { path } = this.#file();
      const stats = statSync(path, { bigint: true });
      const file = [path, stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
      if (this.#known?.file !== file) {
        const facts = readModelFacts(path);
        const parts = [RULE, facts.tokenizerDigest, facts.vocabularyDigest, facts.chatTemplateDigest];
        this.#known = { file, digest: `sha256-${createHash('sha256').update(parts.join('\n')).digest('hex')}` };
      }
      return this.#known.digest;
    });
  }

  /** The counter of this digest. Fails when the model is another one now. */
  counter(digest: string): TokenCounter {
    this.#mustBe(digest);
    const { config } = this.#file();
    const key = `${digest} ${JSON.stringify(config)}`;
    if (this.#counting?.key !== key) {
      void this.#counting?.close();
      this.#counting = new Counting(key, config);
    }
    const counting = this.#counting;
    const memory = new CountMemory();
    const ask = (question: CountQuestion): number => this.#guarded('count', () => counting.ask(question));
    return {
      name: `engine:${digest}`,
      count: (text) => (text === '' ? 0 : memory.of(text, () => ask({ texts: [text] }))),
      prompt: (messages, tools) =>
        messages.length === 0
          ? 0
          : ask({ prompt: { messages: messages.map((each) => JSON.parse(each) as ChatMessage), tools: toolsOf(tools) } }),
      ready: async () => {
        this.#mustBe(digest);
        try {
          await counting.ready();
          this.#told('count', undefined);
        } catch (error) {
          this.#told('count', error);
          throw error;
        }
      },
    };
  }

  async close(): Promise<void> {
    await this.#counting?.close();
  }

  #mustBe(digest: string): void {
    if (this.digest() !== digest)
      throw this.#refused('this pack was counted by the tokenizer of another model', 'choose that model again: ctx model use');
  }

  #file(): { readonly path: string; readonly config: ModelConfig } {
    const config = this.#model();
    if (config === undefined)
      throw this.#refused('no model is chosen', 'ctx model add FILE.gguf, or another tokenizer in context/policy.yaml');
    if (config.path !== undefined) return { path: config.path, config };
    throw this.#refused(
      `${modelId(config)} is a server, which keeps its tokenizer to itself`,
      'choose a model file, or another tokenizer in context/policy.yaml',
    );
  }

  #refused(what: string, next: string): CtxError {
    return new CtxError('tokens.engine', 'ENODEV', what, { where: 'tokenizer: engine', next });
  }

  #guarded<T>(of: 'model' | 'count', work: () => T): T {
    try {
      const value = work();
      this.#told(of, undefined);
      return value;
    } catch (thrown) {
      const code = (thrown as NodeJS.ErrnoException).code;
      const error = code === 'ENOENT' || code === 'EACCES' ? this.#refused('the model file cannot be read', 'ctx model ls') : thrown;
      this.#told(of, error);
      throw error;
    }
  }

  #told(of: 'model' | 'count', error: unknown): void {
    const before = this.fault;
    this.#faults[of] = error === undefined ? undefined : describeOf(error);
    // Another model, another story.
    if (of === 'model' && error !== undefined) this.#faults.count = undefined;
    if (this.fault !== before) this.#onFault();
  }
}

/** One worker with one model. */
class Counting {
  readonly key: string;
  readonly #config: ModelConfig;
  readonly #signal: Int32Array = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | undefined;
  #port: MessagePort | undefined;
  /** Questions that nobody blocks for. */
  readonly #waiting: Map<number, (answer: CountAnswer) => void> = new Map();
  #next = 1;
  #answeredMs = -Infinity;

  constructor(key: string, config: ModelConfig) {
    this.key = key;
    this.#config = config;
  }

  /** Starts what counts, without holding up this thread. */
  async ready(): Promise<void> {
    if (Date.now() - this.#answeredMs < FRESH_MS) return;
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

  ask(question: CountQuestion): number {
    const port = this.#open();
    const id = this.#next++;
    port.postMessage({ id, question } satisfies CountRequest);
    for (const by = Date.now() + LIMIT_MS; ;) {
      const rung = Atomics.load(this.#signal, 0);
      const received = receiveMessageOnPort(port) as { readonly message: CountAnswer } | undefined;
      if (received?.message.id === id) return this.#read(received.message);
      if (received !== undefined) this.#take(received.message);
      else if (Atomics.wait(this.#signal, 0, rung, by - Date.now()) === 'timed-out') throw this.#late();
    }
  }

  #take(answer: CountAnswer): void {
    this.#waiting.get(answer.id)?.(answer);
  }

  #read(answer: CountAnswer): number {
    if ('error' in answer) throw fromWire(answer.error);
    this.#answeredMs = Date.now();
    return answer.counts[0] ?? 0;
  }

  async close(): Promise<void> {
    this.#port?.close();
    this.#port = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#answeredMs = -Infinity;
    await worker?.terminate();
  }

  /** What comes later is the answer to a question that nobody waits for: the next one is asked of another worker. */
  #late(limitMs = LIMIT_MS): CtxError {
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

function describeOf(error: unknown): string {
  if (error instanceof CtxError) return error.describe();
  return error instanceof Error ? error.message : JSON.stringify(error);
}

function toolsOf(text: string | undefined): readonly unknown[] {
  const tools = (text ?? '').trim();
  return tools === '' ? [] : (JSON.parse(tools) as readonly unknown[]);
}

/** Beside this file when built; running from sources, in the build's directory. */
function workerFile(): string {
  const beside = fileURLToPath(new URL('./count-worker.js', import.meta.url));
  return existsSync(beside) ? beside : fileURLToPath(new URL('../../dist/src/engine/count-worker.js', import.meta.url));
}
