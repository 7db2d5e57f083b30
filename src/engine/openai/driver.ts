// Any OpenAI-compatible server (vLLM, SGLang, Ollama, llama-server's /v1). State lives in the server's prefix cache:
// compiling is asking for one token, and the server says how much of the prompt it had.
import { CtxError } from '../../abi/errors.ts';
import { readEvents } from '../event-stream.ts';
import { countOf, listOf, objectOf, textOf } from '../json-fields.ts';
import { RemoteServer } from '../remote-server.ts';
import type { RemoteOptions } from '../remote-server.ts';
import { openAiTool } from '../tool-schemas.ts';
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
import { ChatAnswer, usageOf } from './chat-answer.ts';

const DEFAULT_CONTEXT_TOKENS = 32_768;

/** Nothing is asked before the first call. */
export function openOpenAiDriver(config: ModelConfig, options: RemoteOptions = {}): EngineDriver {
  return new OpenAiDriver(config, options);
}

class OpenAiDriver implements EngineDriver {
  readonly kind = 'openai';
  readonly #config: ModelConfig;
  readonly #server: RemoteServer;
  #model: Promise<ServedModel> | undefined;

  constructor(config: ModelConfig, options: RemoteOptions) {
    this.#config = config;
    this.#server = new RemoteServer(versioned(config.url ?? ''), {
      ...options,
      ...(config.apiKeyEnv === undefined ? {} : { keyEnv: config.apiKeyEnv }),
    });
  }

  async describe(): Promise<ModelDescription> {
    const model = await this.#served();
    const contextTokens = this.#config.contextTokens ?? model.contextTokens ?? DEFAULT_CONTEXT_TOKENS;
    const { base } = this.#server;
    return {
      id: model.id,
      driver: 'openai',
      contextTokens,
      fingerprint: {
        driver: 'openai',
        server: base,
        served_model: model.id,
        renderer: 'server',
        model: model.id,
        context_tokens: contextTokens,
      },
    };
  }

  /** The server keeps its tokenizer to itself. */
  tokenize(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async compile({ prompt, signal, onProgress }: CompileJob): Promise<CompileOutcome> {
    const body = { ...(await this.#request(prompt)), max_tokens: 1, temperature: 0, stream: false };
    const reply = await this.#server.json('POST', '/chat/completions', body, signal);
    const usage = usageOf(reply);
    if (usage === undefined) {
      throw new CtxError('engine.http', 'EIO', 'answered without usage.prompt_tokens', {
        where: `${this.#server.base}/chat/completions`,
        next: 'use a server that reports usage, or check the address',
      });
    }
    onProgress(usage.promptTokens, usage.promptTokens);
    return { tokens: usage.promptTokens, reusedTokens: usage.cachedTokens, evaluatedTokens: usage.promptTokens - usage.cachedTokens };
  }

  /** `start` comes when the server tells its counts: at the end, for most. */
  async *generate(job: GenerateJob): AsyncGenerator<GenerateEvent, GenerateOutcome, void> {
    const url = `${this.#server.base}/chat/completions`;
    const answer = new ChatAnswer(url);
    try {
      const body = { ...(await this.#request(job.prompt)), ...choices(job), stream: true, stream_options: { include_usage: true } };
      for await (const event of readEvents(this.#server.stream('/chat/completions', body, job.signal), url)) yield* answer.feed(event);
      yield* answer.end();
    } catch (error) {
      if (!job.signal.aborted) throw error;
      answer.abort();
    }
    return answer.outcome();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #request({ messages, tools }: Prompt): Promise<Readonly<Record<string, unknown>>> {
    if (messages.length === 0) throw new CtxError('engine.empty', 'EINVAL', 'the prompt is empty', { next: 'append a message first' });
    return {
      model: this.#config.model ?? (await this.#served()).id,
      messages,
      ...(tools.length === 0 ? {} : { tools: tools.map(openAiTool) }),
    };
  }

  #served(): Promise<ServedModel> {
    // A failure is not kept: the next call asks again.
    return (this.#model ??= this.#ask().catch((error: unknown) => {
      this.#model = undefined;
      throw error;
    }));
  }

  async #ask(): Promise<ServedModel> {
    const reply = objectOf(await this.#server.quick.json('GET', '/models', undefined));
    const where = `${this.#server.base}/models`;
    const listed = listOf(reply['data']).flatMap(servedModel);
    const wanted = this.#config.model;
    const found = wanted === undefined ? listed[0] : listed.find(({ id }) => id === wanted);
    if (found !== undefined) return found;
    const names = listed.map(({ id }) => id).slice(0, 10);
    const what = wanted === undefined ? 'lists no model' : `has no model ${wanted}`;
    const next = names.length === 0 ? 'load a model in the server' : `use one of ${names.join(', ')}: ctx model add --model NAME`;
    throw new CtxError('engine.model', 'EINVAL', what, { where, next });
  }
}

interface ServedModel {
  readonly id: string;
  readonly contextTokens: number | undefined;
}

/** vLLM says max_model_len, llama-server meta.n_ctx, others nothing. */
function servedModel(entry: unknown): ServedModel[] {
  const model = objectOf(entry);
  const id = textOf(model['id']);
  if (id === undefined) return [];
  const lengths = [model['max_model_len'], model['context_length'], objectOf(model['meta'])['n_ctx']].map(countOf);
  return [{ id, contextTokens: lengths.find((each) => each !== undefined && each > 0) }];
}

function choices({ maxTokens, temperature, seed, schema }: GenerateJob): Readonly<Record<string, unknown>> {
  return {
    max_tokens: maxTokens,
    temperature,
    ...(seed === undefined ? {} : { seed }),
    ...(schema === undefined ? {} : { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } }),
  };
}

/** A bare host means the usual `/v1` below it. */
function versioned(url: string): string {
  return URL.canParse(url) && new URL(url).pathname === '/' ? `${url.replace(/\/+$/, '')}/v1` : url;
}
