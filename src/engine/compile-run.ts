// One compile from prompt to artifact: what is saved already is found, what shares a prefix is the base, and whatever goes
// wrong with saved state ends in a build from source with the reason said.
import { CtxError } from '../abi/errors.ts';
import type { Artifact } from './artifact-shelf.ts';
import type { ArtifactStore } from './artifact-store.ts';
import { binaryDigest, canonicalDigest } from './fingerprint.ts';
import { prefixChain } from './prefix.ts';
import type { PrefixLink } from './prefix.ts';
import type { CompileOutcome, EngineDriver, Fingerprint, ModelDescription, Prompt } from './types.ts';

export interface RunInput {
  readonly session: string;
  readonly prompt: Prompt;
  readonly packDigest: string;
  readonly signal: AbortSignal;
  readonly onProgress: (doneTokens: number, totalTokens: number) => void;
  /** Asked once it was given up: set when what was evaluated is to be saved first, until it is aborted itself. */
  readonly keep?: () => AbortSignal | undefined;
}

export interface RunResult {
  readonly description: ModelDescription;
  readonly fingerprint: Fingerprint;
  readonly tokens: number;
  readonly reusedTokens: number;
  readonly evaluatedTokens: number;
  readonly chain: readonly PrefixLink[];
  /** Undefined where the state stays in a server. */
  readonly artifact: Artifact | undefined;
  /** What was met on the way. */
  readonly notes: readonly string[];
}

/** Fewer are evaluated again as fast as they are saved and read. */
const LEAST_KEPT_TOKENS = 256;

/** Errors after which saved state is not trusted for this compile. */
const OF_SAVED_STATE: ReadonlySet<string> = new Set(['engine.crashed', 'engine.state', 'engine.reuse']);

export async function compilePrompt(driver: EngineDriver, store: ArtifactStore, input: RunInput): Promise<RunResult> {
  const { prompt, signal } = input;
  store.shelf.takeDamage();
  // A crash of the engine here too is tried again once: nothing depends on what it was doing.
  const { description, tokens } = await onceMore(signal, async () => ({
    description: await driver.describe(),
    tokens: await driver.tokenize(prompt, false),
  }));
  signal.throwIfAborted();
  const model = binaryDigest(description.fingerprint);
  const fingerprint = promptFingerprint(description, input, tokens?.length);
  if (tokens !== undefined && tokens.length >= description.contextTokens) throw tooLong(description, tokens.length);
  const found = tokens === undefined ? undefined : await findWhole(store, model, tokens, signal);
  if (found !== undefined && tokens !== undefined) {
    await store.refs.add(input.session, { model, key: found.meta.key });
    const notes = store.shelf.takeDamage();
    const counts = { tokens: tokens.length, reusedTokens: tokens.length, evaluatedTokens: 0 };
    return { description, fingerprint, ...counts, chain: found.meta.chain, artifact: found, notes };
  }
  const attempt = new Attempt(driver, store, input, description, model, fingerprint, tokens);
  const { outcome, artifact } = await attempt.run();
  return {
    description,
    fingerprint: { ...fingerprint, tokens: outcome.tokens },
    tokens: outcome.tokens,
    reusedTokens: outcome.reusedTokens,
    evaluatedTokens: outcome.evaluatedTokens,
    chain: tokens === undefined ? [] : prefixChain(tokens),
    artifact,
    notes: attempt.notes,
  };
}

/** ENG-9: all tokens are saved: nothing is evaluated and nothing copied. */
async function findWhole(store: ArtifactStore, model: string, tokens: Uint32Array, signal: AbortSignal): Promise<Artifact | undefined> {
  const found = await store.shelf.find(model, tokens);
  if (found === undefined || !(await store.shelf.trust(found, signal))) return undefined;
  await store.touch(found);
  return found;
}

class Attempt {
  readonly notes: string[] = [];
  readonly #driver: EngineDriver;
  readonly #store: ArtifactStore;
  readonly #input: RunInput;
  readonly #description: ModelDescription;
  readonly #model: string;
  readonly #fingerprint: Fingerprint;
  readonly #tokens: Uint32Array | undefined;
  /** What there was before anything was evaluated, and what there is. */
  #restored: number | undefined;
  #done = 0;

  constructor(
    driver: EngineDriver,
    store: ArtifactStore,
    input: RunInput,
    description: ModelDescription,
    model: string,
    fingerprint: Fingerprint,
    tokens: Uint32Array | undefined,
  ) {
    this.#driver = driver;
    this.#store = store;
    this.#input = input;
    this.#description = description;
    this.#model = model;
    this.#fingerprint = fingerprint;
    this.#tokens = tokens;
  }

  /** ENG-10: with the best base; once more without it when it is refused or the engine crashes; once more after making room. */
  async run(): Promise<{ readonly outcome: CompileOutcome; readonly artifact: Artifact | undefined }> {
    let base = this.#saves ? await this.#findBase() : undefined;
    let crashed = false;
    let freed = false;
    for (;;) {
      try {
        return await this.#once(base);
      } catch (error) {
        if (this.#input.signal.aborted) await this.#keepEvaluated();
        this.#input.signal.throwIfAborted();
        if (error instanceof CtxError && OF_SAVED_STATE.has(error.code) && !crashed) {
          crashed = true;
          this.notes.push(`${error.message}; built again from source`);
          base = undefined;
        } else if (isDiskFull(error) && !freed) {
          freed = true;
          await this.#store.free(Math.max(this.#expectedBytes, 1), new Set(base === undefined ? [] : [base.meta.key]));
          this.notes.push('older compiled state was evicted: the disk was full');
        } else throw error;
      }
    }
  }

  async #once(base: Artifact | undefined): Promise<{ readonly outcome: CompileOutcome; readonly artifact: Artifact | undefined }> {
    const saveTo = await this.#store.shelf.temporary(this.#model);
    const unpin = base === undefined ? undefined : this.#store.pin(base);
    try {
      if (this.#saves) await this.#store.reserve(this.#expectedBytes, new Set(base === undefined ? [] : [base.meta.key]));
      const outcome = await this.#driver.compile({
        prompt: this.#input.prompt,
        tokens: this.#tokens,
        ...(base === undefined ? {} : { base: base.file }),
        saveTo,
        signal: this.#input.signal,
        onProgress: (done, total) => {
          this.#restored ??= done;
          this.#done = done;
          this.#input.onProgress(done, total);
        },
      });
      unpin?.();
      if (base !== undefined && outcome.baseRefused !== undefined) {
        this.notes.push(`the saved state ${base.meta.key.slice(0, 12)} was refused: ${outcome.baseRefused}; built again from source`);
        await this.#store.shelf.remove(this.#model, base.meta.key, 'was refused');
      } else if (base !== undefined) await this.#store.touch(base);
      return { outcome, artifact: await this.#keep(outcome, saveTo) };
    } finally {
      unpin?.();
      await this.#store.shelf.discard(saveTo);
    }
  }

  /** ENG-19: the engine still holds it: nothing is evaluated again. Whatever goes wrong, it is dropped. */
  async #keepEvaluated(): Promise<void> {
    const signal = this.#input.keep?.();
    const { bytesPerToken } = this.#description;
    if (signal === undefined || bytesPerToken === undefined || this.#tokens === undefined) return;
    if (this.#done - (this.#restored ?? this.#done) < LEAST_KEPT_TOKENS) return;
    const tokens = this.#tokens.slice(0, this.#done);
    const saveTo = await this.#store.shelf.temporary(this.#model);
    try {
      const { prompt, session } = this.#input;
      const outcome = await this.#driver.compile({ prompt, tokens, saveTo, signal, onProgress: () => undefined });
      if (outcome.file === undefined || outcome.tokens !== tokens.length) return;
      const fingerprint = { ...this.#fingerprint, tokens: tokens.length, state_bytes: tokens.length * bytesPerToken };
      await this.#store.put(this.#model, fingerprint, tokens, { ...outcome.file, path: saveTo }, session);
    } catch {
      // It only saves time: it is evaluated again.
    } finally {
      await this.#store.shelf.discard(saveTo);
    }
  }

  async #keep({ file, tokens: count }: CompileOutcome, saveTo: string): Promise<Artifact | undefined> {
    if (file === undefined || this.#tokens === undefined) return undefined;
    if (count !== this.#tokens.length) {
      throw new CtxError('engine.tokens', 'EIO', `the engine compiled ${count} tokens of ${this.#tokens.length}`, {
        next: 'nothing of it is kept; it is compiled again at the next read of the pack',
      });
    }
    const saved = { ...file, path: saveTo };
    return this.#store.put(this.#model, this.#fingerprint, this.#tokens, saved, this.#input.session);
  }

  async #findBase(): Promise<Artifact | undefined> {
    const best = this.#tokens === undefined ? undefined : await this.#store.shelf.bestBase(this.#model, this.#tokens);
    this.notes.push(...this.#store.shelf.takeDamage().map((what) => `${what}; built again from source`));
    return best?.artifact;
  }

  get #saves(): boolean {
    return this.#description.bytesPerToken !== undefined;
  }

  get #expectedBytes(): number {
    return (this.#tokens?.length ?? 0) * (this.#description.bytesPerToken ?? 0);
  }
}

/** The model's fields, and those of what is compiled. */
function promptFingerprint(description: ModelDescription, { prompt, packDigest }: RunInput, tokens: number | undefined): Fingerprint {
  const bytes = tokens === undefined || description.bytesPerToken === undefined ? null : tokens * description.bytesPerToken;
  return {
    ...description.fingerprint,
    pack_digest: packDigest,
    prompt_format: 'chat-completions',
    prompt_digest: canonicalDigest(prompt.messages),
    tool_schemas_digest: canonicalDigest(prompt.tools),
    tokens: tokens ?? null,
    state_bytes: bytes,
  };
}

/** Not engine.space: that is said after what may go was looked at. */
function isDiskFull(error: unknown): boolean {
  if (error instanceof CtxError) return error.errno === 'ENOSPC' && error.code !== 'engine.space';
  return (error as NodeJS.ErrnoException).code === 'ENOSPC';
}

async function onceMore<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted || !(error instanceof CtxError) || error.code !== 'engine.crashed') throw error;
    return work();
  }
}

function tooLong({ id, contextTokens }: ModelDescription, tokens: number): CtxError {
  return new CtxError('engine.context', 'EMSGSIZE', `the prompt has ${tokens} tokens, the model's context holds ${contextTokens - 1}`, {
    where: id,
    next: 'lower context/budget, or give the model a larger context (ctx model add --context)',
  });
}
