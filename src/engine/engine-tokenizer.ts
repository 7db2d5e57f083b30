// TOK-7: the tokenizer of the model that compiles (counting.ts): a model file's, or a llama-server's where the session may ask
// one. What takes its time is CountPending (TOK-11).
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { CountPending } from '../tokens/pending.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { Counting } from './counting.ts';
import type { ServerLimits } from './counting.ts';
import { readModelFacts } from './gguf.ts';
import { CountMemory } from './llama/prompt-tokens.ts';
import { modelId } from './models.ts';
import type { ChatMessage, ModelConfig } from './types.ts';

/** Changes with how prompts are rendered and counted. */
const RULE = 'engine-tokens/1 jinja-0.5';
/** A server may come back with another model: it is asked again after so long. */
const KNOWN_MS = 1000;
/** While that is awaited the last answer stands. */
const TRUSTED_MS = 15_000;
const OTHER = 'or another tokenizer in context/policy.yaml';

export class EngineTokenizer {
  readonly #model: () => ModelConfig | undefined;
  #known: { readonly file: string; readonly digest: string } | undefined;
  /** TOK-11: what was counted outlives a fold that is begun again because a count was not there yet. */
  #remembered: { readonly digest: string; readonly memory: CountMemory } | undefined;
  #served: { readonly counting: Counting; readonly digest: string; readonly atMs: number } | undefined;
  #counting: Counting | undefined;
  readonly #onFault: () => void;
  readonly #limits: ServerLimits | undefined;
  /** Of the model and its file, and of counting itself: one that goes leaves the other. */
  readonly #faults: { model?: string | undefined; count?: string | undefined } = {};

  /** `model`: the one that compiles, asked each time; `onFault`: `fault` has changed. */
  constructor(model: () => ModelConfig | undefined, onFault: () => void = () => undefined, limits?: ServerLimits) {
    this.#model = model;
    this.#onFault = onFault;
    this.#limits = limits;
  }

  /** Why it does not count; undefined: it does, or nobody asked. */
  get fault(): string | undefined {
    return this.#faults.model ?? this.#faults.count;
  }

  /** Why nothing is counted for a session that may, or may not, ask a server. */
  faultFor(remoteAllowed: boolean): string | undefined {
    const config = this.#model();
    return config === undefined ? this.fault : (this.#notAllowed(config, remoteAllowed)?.describe() ?? this.fault);
  }

  /** `sha256-…` over tokenizer, vocabulary and chat template: the same counts follow from the same digest. Fails as counting would. */
  digest(remoteAllowed: boolean): string {
    // The refusal of one session is no fault of what counts.
    const config = this.#chosen(remoteAllowed);
    return this.#guarded('model', () => (config?.path === undefined ? this.#servedDigest(config) : this.#fileDigest(config.path)));
  }

  /** The counter of this digest. Fails when the model is another one now. */
  counter(digest: string, remoteAllowed: boolean): TokenCounter {
    this.#mustBe(digest, remoteAllowed);
    const config = this.#chosen(remoteAllowed) as ModelConfig;
    const counting = this.#countingOf(config);
    const memory = this.#memoryOf(digest);
    const ask = (key: string, question: () => Parameters<Counting['count']>[0]): number => {
      const known = memory.known(key);
      if (known !== undefined) return memory.of(key, () => known);
      if (config.path === undefined) this.#mustBe(digest, remoteAllowed);
      return this.#guarded('count', () => counting.count(question(), (tokens) => void memory.of(key, () => tokens)));
    };
    return {
      name: `engine:${digest}`,
      count: (text) => (text === '' ? 0 : ask(shortKey(text), () => ({ texts: [text] }))),
      prompt: (messages, tools) =>
        messages.length === 0
          ? 0
          : ask(digestOf([tools ?? '', ...messages].join('\0')), () => ({
              prompt: { messages: messages.map((each) => JSON.parse(each) as ChatMessage), tools: toolsOf(tools) },
            })),
      ready: async () => {
        this.#mustBe(digest, remoteAllowed);
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

  #mustBe(digest: string, remoteAllowed: boolean): void {
    if (this.digest(remoteAllowed) !== digest)
      throw this.#refused('this pack was counted by the tokenizer of another model', 'choose that model again: ctx model use');
  }

  #chosen(remoteAllowed: boolean): ModelConfig | undefined {
    const config = this.#model();
    const refusal = config === undefined ? undefined : this.#notAllowed(config, remoteAllowed);
    if (refusal !== undefined) throw refusal;
    return config;
  }

  #notAllowed(config: ModelConfig, remoteAllowed: boolean): CtxError | undefined {
    if (config.driver !== 'llama-server' || remoteAllowed) return undefined;
    const next = `allow one (remote: {allow: true}), choose a model file, ${OTHER}`;
    return this.#refused(`${modelId(config)} is a server, and policy.yaml of this session does not allow one`, next);
  }

  #fileDigest(path: string): string {
    const stats = statSync(path, { bigint: true });
    const file = [path, stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' ');
    if (this.#known?.file !== file) {
      const facts = readModelFacts(path);
      const parts = [RULE, facts.tokenizerDigest, facts.vocabularyDigest, facts.chatTemplateDigest];
      this.#known = { file, digest: `sha256-${createHash('sha256').update(parts.join('\n')).digest('hex')}` };
    }
    return this.#known.digest;
  }

  #servedDigest(config: ModelConfig | undefined): string {
    if (config === undefined) throw this.#refused('no model is chosen', `ctx model add FILE.gguf, ${OTHER}`);
    if (config.driver !== 'llama-server')
      throw this.#refused(
        `${modelId(config)} is a server, which keeps its tokenizer to itself`,
        `choose a model file or a llama-server, ${OTHER}`,
      );
    const counting = this.#countingOf(config);
    const served = this.#served?.counting === counting ? this.#served : undefined;
    const ageMs = served === undefined ? Infinity : Date.now() - served.atMs;
    if (served !== undefined && ageMs <= KNOWN_MS) return served.digest;
    try {
      return counting.digest((digest) => (this.#served = { counting, digest, atMs: Date.now() }));
    } catch (error) {
      // A server that is slow to say so is no other model yet.
      if (error instanceof CountPending && served !== undefined && ageMs < TRUSTED_MS) return served.digest;
      throw error;
    }
  }

  #memoryOf(digest: string): CountMemory {
    if (this.#remembered?.digest !== digest) this.#remembered = { digest, memory: new CountMemory() };
    return this.#remembered.memory;
  }

  /** One at a time: another model takes the place of the last. */
  #countingOf(config: ModelConfig): Counting {
    const key = JSON.stringify(config);
    if (this.#counting?.key === key) return this.#counting;
    void this.#counting?.close();
    this.#counting = new Counting(key, config, this.#limits);
    return this.#counting;
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
      if (thrown instanceof CountPending) {
        thrown.answered.then(
          () => this.#told(of, undefined),
          (error: unknown) => this.#told(of, error),
        );
        throw thrown;
      }
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

/** Long texts by their digest: the memory holds more of them. */
function shortKey(text: string): string {
  return text.length < 64 ? `=${text}` : digestOf(text);
}

function describeOf(error: unknown): string {
  if (error instanceof CtxError) return error.describe();
  return error instanceof Error ? error.message : JSON.stringify(error);
}

function toolsOf(text: string | undefined): readonly unknown[] {
  const tools = (text ?? '').trim();
  return tools === '' ? [] : (JSON.parse(tools) as readonly unknown[]);
}
