// The llama driver: node-llama-cpp in a child process that may end at any moment.
import { stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { CtxError } from '../../abi/errors.ts';
import type {
  ArtifactFile,
  CompileJob,
  CompileOutcome,
  EngineDriver,
  GenerateEvent,
  GenerateJob,
  GenerateOutcome,
  ModelConfig,
  ModelDescription,
  Prompt,
} from '../types.ts';
import { EngineChild, NotTaken } from './engine-child.ts';
import { engineDirectory, requireEngine } from './native.ts';
import type { ChildEvent, ChildSetup, Request } from './wire.ts';

const IDLE_MS = 5 * 60_000;
/** What the process takes before any model: below it not even an error could be said. */
const LEAST_MEMORY = 256 * 2 ** 20;
const BACKOFF_MS = { first: 200, most: 30_000 };

export interface LlamaDriverOptions {
  /** Where digests of model files are remembered: `<store>/.engine/models`. */
  readonly cacheDirectory?: string;
  readonly engineDirectory?: string;
  /** The child ends after so long without a call; the next one starts it again. */
  readonly idleMs?: number;
  /** Only tokens are asked for: weights are not loaded. */
  readonly vocabularyOnly?: boolean;
}

/** Nothing starts before the first call. */
export function openLlamaDriver(config: ModelConfig, options: LlamaDriverOptions = {}): LlamaDriver {
  return new LlamaDriver(config, options);
}

export class LlamaDriver implements EngineDriver {
  readonly kind = 'llama';
  readonly #setup: ChildSetup;
  readonly #idleMs: number;
  #child: EngineChild | undefined;
  /** The model file as it was when the child started: another file needs another child. */
  #identity = '';
  #queue: Promise<unknown> = Promise.resolve();
  /** Calls that have let the next one begin and have no answer yet. */
  #finishing: Promise<unknown> = Promise.resolve();
  #open = 0;
  #idle: NodeJS.Timeout | undefined;
  #crashes = 0;
  #closed = false;

  constructor(config: ModelConfig, options: LlamaDriverOptions) {
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#setup = {
      config,
      engineDirectory: options.engineDirectory ?? engineDirectory(),
      cacheDirectory: options.cacheDirectory,
      ...(options.vocabularyOnly === undefined ? {} : { vocabularyOnly: options.vocabularyOnly }),
      memoryLimitBytes: config.memoryLimitBytes ?? Math.floor(totalmem() * 0.8),
    };
  }

  /** Of the running child, for `status`; undefined while none runs. */
  get pid(): number | undefined {
    return this.#child?.alive === true ? this.#child.pid : undefined;
  }

  async describe(): Promise<ModelDescription> {
    return (await this.#call({ method: 'describe' })) as ModelDescription;
  }

  async tokenize(prompt: Prompt, generationPrompt: boolean): Promise<Uint32Array> {
    return (await this.#call({ method: 'tokenize', prompt: plain(prompt), generationPrompt })) as Uint32Array;
  }

  /** Tokens of each text by itself. */
  async count(texts: readonly string[]): Promise<Uint32Array> {
    return (await this.#call({ method: 'count', texts })) as Uint32Array;
  }

  /** As many as `tokenize` gives with the start of an answer, for less. */
  async countPrompt(prompt: Prompt): Promise<number> {
    return (await this.#call({ method: 'count-prompt', prompt: plain(prompt) })) as number;
  }

  async compile({ prompt, tokens, base, saveTo, signal, onProgress }: CompileJob): Promise<CompileOutcome> {
    const request: Request = { method: 'compile', prompt: plain(prompt), tokens, base: file(base), saveTo };
    const onEvent = (event: ChildEvent): void => {
      if (event.kind === 'progress') onProgress(event.done, event.total);
    };
    return (await this.#call(request, signal, onEvent)) as CompileOutcome;
  }

  async *generate(job: GenerateJob): AsyncGenerator<GenerateEvent, GenerateOutcome, void> {
    const { prompt, base, maxTokens, temperature, seed, schema, signal } = job;
    const stop = new AbortController();
    const events: GenerateEvent[] = [];
    let wake: () => void = () => undefined;
    let ended = false;
    const request: Request = { method: 'generate', prompt: plain(prompt), base: file(base), maxTokens, temperature, seed, schema };
    const outcome = this.#call(request, AbortSignal.any([signal, stop.signal]), (event) => {
      if (event.kind !== 'progress' && event.kind !== 'free') events.push(event);
      wake();
    }).finally(() => {
      ended = true;
      wake();
    });
    outcome.catch(() => undefined);
    try {
      for (;;) {
        const event = events.shift();
        if (event !== undefined) yield event;
        else if (ended) return (await outcome) as GenerateOutcome;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      // The reader left early: the engine stops too, and the next call waits until it has.
      stop.abort();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    await this.#child?.close();
  }

  #call(request: Request, signal?: AbortSignal, onEvent?: (event: ChildEvent) => void): Promise<unknown> {
    let free: () => void = () => undefined;
    const freed = new Promise<void>((resolve) => (free = resolve));
    const take = (event: ChildEvent): void => {
      if (event.kind === 'free') free();
      onEvent?.(event);
    };
    this.#open += 1;
    const turn: Promise<unknown> = this.#queue.then(async () => {
      clearTimeout(this.#idle);
      try {
        if (signal?.aborted === true && request.method !== 'generate') throw cancelled();
        const before = this.#child;
        const child = await this.#start(signal);
        const value = await child.call(request, signal, take).catch(async (error: unknown) => {
          // A process that ended while idle is noticed only now: another one is asked, once.
          if (!(error instanceof NotTaken) || child !== before) throw error;
          await child.close();
          return (await this.#start(signal)).call(request, signal, take);
        });
        this.#crashes = 0;
        return value;
      } catch (thrown) {
        const error = thrown instanceof NotTaken ? thrown.cause : thrown;
        if (error instanceof CtxError && (error.code === 'engine.crashed' || error.code === 'engine.memory')) this.#crashes += 1;
        throw error;
      } finally {
        this.#open -= 1;
        if (this.#open === 0) this.#unloadLater();
      }
    });
    const ended = turn.catch(() => undefined);
    void freed.then(() => (this.#finishing = Promise.all([this.#finishing, ended])));
    this.#queue = Promise.race([ended, freed]);
    return turn;
  }

  async #start(signal: AbortSignal | undefined): Promise<EngineChild> {
    if (this.#closed) throw new CtxError('engine.closed', 'EINTR', 'the engine was closed');
    requireEngine(this.#setup.engineDirectory);
    this.#requireMemory();
    const identity = await identityOf(this.#setup.config.path);
    if (this.#child?.alive === true && identity === this.#identity) return this.#child;
    if (this.#child?.alive === true) await this.#finishing;
    await this.#child?.close();
    if (this.#crashes > 0) {
      const wait = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (this.#crashes - 1));
      await sleep(wait, undefined, signal === undefined ? {} : { signal }).catch(() => {
        throw cancelled();
      });
    }
    this.#identity = identity;
    this.#child = new EngineChild(this.#setup);
    return this.#child;
  }

  #requireMemory(): void {
    const { memoryLimitBytes, config } = this.#setup;
    if (memoryLimitBytes >= LEAST_MEMORY) return;
    throw new CtxError(
      'engine.memory',
      'ENOMEM',
      `the engine's memory limit is ${memoryLimitBytes} bytes; it needs ${LEAST_MEMORY} and the model's own`,
      {
        where: `${config.provider}/${config.name}`,
        next: 'configure more memory for the engine',
      },
    );
  }

  #unloadLater(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#child?.close(), this.#idleMs);
    this.#idle.unref();
  }
}

async function identityOf(path: string | undefined): Promise<string> {
  if (path === undefined) return '';
  // A file that is not there is the child's to explain.
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? '' : [found.dev, found.ino, found.size, found.mtimeNs].join(':');
}

// Only what the child needs crosses: anything else on these objects may not be cloneable.
function plain({ messages, tools }: Prompt): Prompt {
  return { messages, tools };
}

function file(base: ArtifactFile | undefined): ArtifactFile | undefined {
  if (base === undefined) return undefined;
  const { path, bytes, digest, tokens, look } = base;
  return { path, bytes, digest, tokens, ...(look === undefined ? {} : { look }) };
}

function cancelled(): CtxError {
  return new CtxError('engine.cancelled', 'EINTR', 'the caller stopped waiting');
}
