// What runs inside the child: one model, one context, one sequence; calls come one at a time.
import { availableParallelism } from 'node:os';
import { CtxError } from '../../abi/errors.ts';
import { readModelFacts } from '../gguf.ts';
import type { ModelFacts } from '../gguf.ts';
import { stateBytesPerToken } from '../state-file.ts';
import type { ArtifactFile, CompileOutcome, GenerateEvent, GenerateOutcome, ModelDescription } from '../types.ts';
import { answer } from './answer.ts';
import { choose, describeModel, shapeOf, weightsDigest } from './describe.ts';
import type { Choices } from './describe.ts';
import { CHUNK_TOKENS } from './evaluation.ts';
import { LiveState } from './live-state.ts';
import type { Prepared } from './live-state.ts';
import { ENGINE_PACKAGE, loadEngine, requireEngine } from './native.ts';
import type { Llama, LlamaModel, NativeEngine } from './native.ts';
import { PromptTokens } from './prompt-tokens.ts';
import { SavedStates } from './saved-state.ts';
import { boundedTemplates } from './template.ts';
import type { ChildSetup, CompileRequest, CountPromptRequest, CountRequest, GenerateRequest, TokenizeRequest } from './wire.ts';

/** Failures outside the engine: what is live stays good. */
const KEEPS_STATE: readonly string[] = ['engine.cancelled', 'engine.disk_full', 'engine.save', 'engine.schema'];

function isOfSavedState(error: unknown): error is CtxError {
  return error instanceof CtxError && error.code === 'engine.state';
}

interface Loaded {
  readonly native: NativeEngine;
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly prompts: PromptTokens;
}

export class ModelHost {
  readonly #setup: ChildSetup;
  readonly #facts: ModelFacts;
  readonly #choices: Choices;
  readonly #log: string[] = [];
  #description: Promise<ModelDescription> | undefined;
  #loaded: Promise<Loaded> | undefined;
  #live: Promise<LiveState> | undefined;

  constructor(setup: ChildSetup) {
    this.#setup = setup;
    const { config } = setup;
    if (config.path === undefined) {
      throw new CtxError('engine.config', 'EINVAL', 'the llama driver needs the path of a GGUF file', {
        where: `${config.provider}/${config.name}`,
        next: 'ctx model add',
      });
    }
    this.#facts = readModelFacts(config.path);
    this.#choices = choose(config, this.#facts, availableParallelism());
  }

  /** Computed once: a child serves one file. */
  describe(): Promise<ModelDescription> {
    this.#description ??= this.#describe().catch((error: unknown) => {
      this.#description = undefined;
      throw error;
    });
    return this.#description;
  }

  async #describe(): Promise<ModelDescription> {
    const { config, engineDirectory, cacheDirectory, memoryLimitBytes } = this.#setup;
    const { version, release } = requireEngine(engineDirectory);
    const digest = await weightsDigest(this.#facts.path, cacheDirectory);
    return describeModel(config, this.#facts, this.#choices, {
      weightsDigest: digest,
      engine: `${ENGINE_PACKAGE}@${version}`,
      release,
      memoryLimitBytes,
    });
  }

  async tokenize({ prompt, generationPrompt }: TokenizeRequest): Promise<Uint32Array> {
    return (await this.#load()).prompts.tokenize(prompt, generationPrompt);
  }

  async count({ texts }: CountRequest): Promise<Uint32Array> {
    const { prompts } = await this.#load();
    return Uint32Array.from(texts, (text) => prompts.countText(text));
  }

  /** With the start of an answer. */
  async countPrompt({ prompt }: CountPromptRequest): Promise<number> {
    return (await this.#load()).prompts.count(prompt, true);
  }

  /** `free`: the state is saved and the engine may go on; what is left is its digest. */
  async compile(
    request: CompileRequest,
    signal: AbortSignal,
    onProgress: (done: number, total: number) => void,
    free: () => void,
  ): Promise<CompileOutcome> {
    const tokens = request.tokens ?? (await (await this.#load()).prompts.tokenize(request.prompt, false));
    this.#requireRoom(tokens.length);
    this.#requireKnown(tokens);
    const live = await this.#open();
    const { saving, ...outcome } = await this.#guard(live, async () => {
      const evaluate = async (base: ArtifactFile | undefined): Promise<Prepared> => {
        const prepared = await live.prepare(tokens, base, false, signal);
        onProgress(prepared.reusedTokens, tokens.length);
        await live.evaluate(tokens, prepared.reusedTokens, 'evaluate', signal, (done) => onProgress(done, tokens.length));
        signal.throwIfAborted();
        await live.proven();
        return prepared;
      };
      const { reusedTokens, refused } = await evaluate(request.base).catch(async (error: unknown) => {
        if (!isOfSavedState(error)) throw error;
        return { ...(await evaluate(undefined)), refused: error.message };
      });
      const saving = await live.save(tokens, request.saveTo);
      const counts = { tokens: tokens.length, reusedTokens, evaluatedTokens: tokens.length - reusedTokens };
      return { ...counts, saving, ...(refused === undefined ? {} : { baseRefused: refused }) };
    });
    free();
    return { ...outcome, file: { ...saving, digest: await saving.digest } };
  }

  async generate(request: GenerateRequest, signal: AbortSignal, emit: (event: GenerateEvent) => void): Promise<GenerateOutcome> {
    const { native, llama, model, prompts } = await this.#load();
    const tokens = await prompts.tokenize(request.prompt, true);
    this.#requireRoom(tokens.length + 1);
    const live = await this.#open();
    const engine = { native, llama, model, live, facts: this.#facts, contextTokens: this.#choices.contextTokens };
    return this.#guard(live, () =>
      answer(engine, request, tokens, signal, emit).catch((error: unknown) => {
        if (!isOfSavedState(error)) throw error;
        // Nothing was told yet.
        return answer(engine, { ...request, base: undefined }, tokens, signal, emit);
      }),
    );
  }

  /** The last lines that the engine logged: why a load failed. */
  get log(): string {
    return this.#log.join('\n');
  }

  // After a failure inside the engine, nothing of its state is used again.
  async #guard<T>(live: LiveState, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const outside = error instanceof CtxError && KEEPS_STATE.includes(error.code);
      if (!outside) await live.drop();
      throw error;
    }
  }

  /** One cell of a context always stays free. */
  #requireRoom(tokens: number): void {
    const { contextTokens } = this.#choices;
    if (tokens === 0) throw new CtxError('engine.empty', 'EINVAL', 'the prompt is empty', { next: 'append a message first' });
    if (tokens < contextTokens) return;
    throw new CtxError('engine.context', 'EMSGSIZE', `the prompt has ${tokens} tokens, the model's context holds ${contextTokens - 1}`, {
      where: `${this.#setup.config.provider}/${this.#setup.config.name}`,
      next: 'give the pack a smaller budget (context/budget) or the model a larger context',
    });
  }

  /** The engine ends its process on a token that the model does not have. */
  #requireKnown(tokens: Uint32Array): void {
    const unknown = tokens.find((token) => token >= this.#facts.vocabularySize);
    if (unknown === undefined) return;
    throw new CtxError(
      'engine.tokens',
      'EINVAL',
      `the token ${unknown} is beyond the model's vocabulary of ${this.#facts.vocabularySize}`,
      {
        next: 'tokenize the prompt again with this model',
      },
    );
  }

  #load(): Promise<Loaded> {
    this.#loaded ??= this.#loadModel().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  #open(): Promise<LiveState> {
    this.#live ??= this.#openContext().catch((error: unknown) => {
      this.#live = undefined;
      throw error;
    });
    return this.#live;
  }

  async #loadModel(): Promise<Loaded> {
    const { config, engineDirectory, vocabularyOnly = false } = this.#setup;
    if (!vocabularyOnly) this.#requireMemory();
    const native = await loadEngine(engineDirectory);
    const llama = await native.getLlama({
      gpu: config.gpu === true ? 'auto' : false,
      build: 'never',
      skipDownload: true,
      maxThreads: this.#choices.threads,
      logLevel: 'error',
      logger: (_level: string, message: string) => {
        this.#log.push(message.trim());
        this.#log.splice(0, this.#log.length - 20);
      },
    });
    const model = await llama.loadModel({ modelPath: this.#facts.path, vocabOnly: vocabularyOnly });
    const prompts = new PromptTokens(model, this.#facts, boundedTemplates(engineDirectory));
    return { native, llama, model, prompts };
  }

  async #openContext(): Promise<LiveState> {
    const { model } = await this.#load();
    const { contextTokens, keyType, valueType, flashAttention, threads } = this.#choices;
    const context = await model.createContext({
      contextSize: contextTokens,
      sequences: 1,
      batchSize: CHUNK_TOKENS,
      threads,
      flashAttention,
      experimentalKvCacheKeyType: keyType,
      experimentalKvCacheValueType: valueType,
    });
    return new LiveState(context, new SavedStates(shapeOf(this.#facts, this.#choices)));
  }

  /** Refuses before the engine is asked what cannot fit: the state of a full context alone is more than the limit. */
  #requireMemory(): void {
    const { memoryLimitBytes, config } = this.#setup;
    const state = this.#choices.contextTokens * stateBytesPerToken(shapeOf(this.#facts, this.#choices));
    if (state < memoryLimitBytes) return;
    throw new CtxError(
      'engine.memory',
      'ENOMEM',
      `the state of ${this.#choices.contextTokens} tokens takes ${state} bytes, more than the limit of ${memoryLimitBytes}`,
      {
        where: `${config.provider}/${config.name}`,
        next: 'configure a smaller context, a quantized K/V type, or more memory for the engine',
      },
    );
  }
}
