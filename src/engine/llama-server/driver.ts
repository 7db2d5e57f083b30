// llama-server over HTTP: its template, its tokenizer, one of its slots. Where it was started with `--slot-save-path`, state
// is saved there by name and restored; what it really reused is what its own counts say, never what we hoped for.
import { join } from 'node:path';
import { CtxError } from '../../abi/errors.ts';
import { canonicalDigest } from '../fingerprint.ts';
import { AnswerReader, TOOL_MARKERS } from '../llama/tool-calls.ts';
import { RemoteServer } from '../remote-server.ts';
import type { RemoteOptions } from '../remote-server.ts';
import { Turns } from '../turns.ts';
import type {
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
import { complete } from './completion.ts';
import type { CompletionPart } from './completion.ts';
import { readProperties, serverAddress } from './properties.ts';
import type { ServerProperties } from './properties.ts';
import { serverTokens } from './server-prompt.ts';
import { ServerSlot } from './server-slot.ts';

export interface LlamaServerOptions extends RemoteOptions {
  /** Where the names of saved states are remembered; undefined: only while this driver lives. */
  readonly cacheDirectory?: string;
}

/** Nothing is asked before the first call. */
export function openLlamaServerDriver(config: ModelConfig, options: LlamaServerOptions = {}): EngineDriver {
  return new LlamaServerDriver(config, options);
}

interface Ready {
  readonly properties: ServerProperties;
  readonly slot: ServerSlot;
}

class LlamaServerDriver implements EngineDriver {
  readonly kind = 'llama-server';
  readonly #config: ModelConfig;
  readonly #server: RemoteServer;
  readonly #cacheDirectory: string | undefined;
  readonly #turns = new Turns();
  #ready: Ready | undefined;

  constructor(config: ModelConfig, options: LlamaServerOptions) {
    this.#config = config;
    this.#cacheDirectory = options.cacheDirectory;
    this.#server = new RemoteServer(serverAddress(config), {
      ...options,
      ...(config.apiKeyEnv === undefined ? {} : { keyEnv: config.apiKeyEnv }),
    });
  }

  async describe(): Promise<ModelDescription> {
    const { properties } = await this.#open();
    return {
      id: properties.model,
      driver: 'llama-server',
      contextTokens: this.#contextTokens(properties),
      fingerprint: properties.fingerprint,
    };
  }

  async tokenize(prompt: Prompt, generationPrompt: boolean): Promise<Uint32Array> {
    if (prompt.messages.length === 0) throw empty();
    return serverTokens(this.#server.quick, prompt, generationPrompt);
  }

  async compile({ prompt, tokens: given, signal, onProgress }: CompileJob): Promise<CompileOutcome> {
    const tokens = given ?? (await this.tokenize(prompt, false));
    const end = await this.#turns.take();
    try {
      const { slot } = await this.#prepare(tokens, signal);
      const prepared = await slot.prepare(tokens, signal);
      const run = complete(this.#server, { tokens, slot: slot.id, maxTokens: 0, temperature: 0, preserved: [] }, signal);
      let step = await run.next();
      for (; step.done !== true; step = await run.next()) if (step.value.kind === 'progress') onProgress(step.value.done, tokens.length);
      const { reusedTokens } = step.value;
      const refused = slot.settle(tokens, step.value, prepared) ?? (await slot.save(tokens, signal));
      // The server always evaluates the last token again to have something to say: no token of the prompt was missing.
      const whole = reusedTokens >= tokens.length - 1 ? tokens.length : reusedTokens;
      const outcome = { tokens: tokens.length, reusedTokens: whole, evaluatedTokens: tokens.length - whole };
      return refused === undefined ? outcome : { ...outcome, baseRefused: refused };
    } finally {
      end();
    }
  }

  async *generate(job: GenerateJob): AsyncGenerator<GenerateEvent, GenerateOutcome, void> {
    const { prompt, signal } = job;
    const text: string[] = [];
    const toolCalls: { id: string; name: string; arguments: string }[] = [];
    const counts = { restoredTokens: 0, evaluatedTokens: 0, generatedTokens: 0 };
    const tools = job.schema === undefined ? prompt.tools : [];
    const reader = new AnswerReader(tools);
    let stop: GenerateOutcome['stop'] = 'aborted';
    function* take(parts: ReturnType<AnswerReader['feed']>): Generator<GenerateEvent> {
      for (const part of parts) {
        if (part.kind === 'text') text.push(part.text);
        else toolCalls.push({ id: part.id, name: part.name, arguments: part.arguments });
        yield part;
      }
    }
    const end = await this.#turns.take();
    try {
      const tokens = await this.#promptTokens(prompt, signal);
      const { slot } = await this.#prepare(tokens, signal);
      const prepared = await slot.prepare(tokens, signal);
      const preserved = tools.length === 0 ? [] : TOOL_MARKERS;
      const request = { tokens, slot: slot.id, maxTokens: job.maxTokens, temperature: job.temperature, preserved };
      const run = complete(this.#server, { ...request, ...optional(job) }, signal);
      for (let step = await run.next(); ; step = await run.next()) {
        if (step.done === true) {
          counts.generatedTokens = step.value.generated.length;
          stop = step.value.limited ? 'length' : 'end';
          slot.settle(tokens, step.value, prepared);
          break;
        }
        const event = this.#start(step.value, tokens.length, counts);
        if (event !== undefined) yield event;
        if (step.value.kind === 'text') {
          counts.generatedTokens += 1;
          yield* take(reader.feed(step.value.text));
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      end();
    }
    yield* take(reader.end());
    if (toolCalls.length > 0 && stop !== 'aborted') stop = 'tool_calls';
    return { text: text.join(''), toolCalls, stop, ...counts };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #start(part: CompletionPart, total: number, counts: { restoredTokens: number; evaluatedTokens: number }): GenerateEvent | undefined {
    if (part.kind !== 'reuse') return undefined;
    counts.restoredTokens = Math.min(part.tokens, total);
    counts.evaluatedTokens = total - counts.restoredTokens;
    return { kind: 'start', restoredTokens: counts.restoredTokens, evaluatedTokens: counts.evaluatedTokens };
  }

  async #promptTokens(prompt: Prompt, signal: AbortSignal): Promise<Uint32Array> {
    if (prompt.messages.length === 0) throw empty();
    return serverTokens(this.#server.quick, prompt, true, signal);
  }

  async #prepare(tokens: Uint32Array, signal: AbortSignal): Promise<Ready> {
    const ready = await this.#open(signal);
    const room = this.#contextTokens(ready.properties);
    if (tokens.length < room) return ready;
    throw new CtxError('engine.context', 'EMSGSIZE', `the prompt has ${tokens.length} tokens, the model's context holds ${room - 1}`, {
      where: this.#server.base,
      next: 'give the pack a smaller budget (context/budget) or the server a larger context (-c)',
    });
  }

  // A server may come back with another model: what it says of itself is asked anew, and a new model is a new slot.
  async #open(signal?: AbortSignal): Promise<Ready> {
    const properties = await readProperties(this.#server.quick, signal);
    const digest = canonicalDigest(properties.fingerprint);
    if (this.#ready !== undefined && canonicalDigest(this.#ready.properties.fingerprint) === digest) return this.#ready;
    const directory = this.#cacheDirectory === undefined ? undefined : join(this.#cacheDirectory, 'llama-server', digest.slice(7, 23));
    this.#ready = { properties, slot: new ServerSlot(this.#server, directory) };
    return this.#ready;
  }

  #contextTokens({ contextTokens }: ServerProperties): number {
    return Math.min(contextTokens, this.#config.contextTokens ?? contextTokens);
  }
}

function optional({ seed, schema }: GenerateJob): { readonly seed?: number; readonly schema?: unknown } {
  return { ...(seed === undefined ? {} : { seed }), ...(schema === undefined ? {} : { schema }) };
}

function empty(): CtxError {
  return new CtxError('engine.empty', 'EINVAL', 'the prompt is empty', { next: 'append a message first' });
}
