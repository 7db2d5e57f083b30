// One session as something to talk with: its prompt as the mount packs it, its journals, and a driver that stays alive, so that
// in a chat only new tokens are evaluated. Lines are whole, the user's before the answer begins, the assistant's after it.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import type { ChatMessage, EngineDriver, GenerateOutcome, ModelConfig, ModelDescription, Prompt } from '../engine/types.ts';
import { modelId } from '../engine/models.ts';
import { openCounter } from '../tokens/counter.ts';
import { takeCompiledState, type CompiledState } from './compiled-state.ts';
import type { ChatOutput } from './chat-output.ts';
import { rebuilt } from './rebuilt.ts';
import { JournalAppender } from './session-target.ts';
import type { Shell } from './shell.ts';

const SETTLE_TRIES = 20;
/** Of a context, for the prompt; the rest is for the answer. */
const ROOM_PART = 0.75;
/** The engine keeps what it evaluated for five minutes without a call: until then its own state is the best base. */
const LIVE_MS = 4 * 60_000;

export interface ChatLimits {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: number;
}

export interface SentPrompt extends Prompt {
  readonly digest: string;
  /** Messages that the pack has seen. */
  readonly lines: number;
  /** Bytes of messages.jsonl that it speaks of. */
  readonly end: number;
}

export class ChatSession {
  readonly directory: string;
  readonly #shell: Shell;
  readonly #model: ModelConfig;
  readonly #driver: EngineDriver;
  readonly #journals: JournalAppender;
  readonly #limits: ChatLimits;
  #described: ModelDescription | undefined;
  #answeredMs = -Infinity;

  private constructor(
    shell: Shell,
    directory: string,
    model: ModelConfig,
    driver: EngineDriver,
    journals: JournalAppender,
    limits: ChatLimits,
  ) {
    this.#shell = shell;
    this.directory = directory;
    this.#model = model;
    this.#driver = driver;
    this.#journals = journals;
    this.#limits = limits;
  }

  static async open(shell: Shell, directory: string, model: ModelConfig, driver: EngineDriver, limits: ChatLimits): Promise<ChatSession> {
    return new ChatSession(shell, directory, model, driver, await JournalAppender.open(directory), limits);
  }

  /** Appends the user's line and answers it. */
  async say(text: string, output: ChatOutput, signal: AbortSignal): Promise<GenerateOutcome> {
    await this.#mustFit(text);
    this.answerLine = undefined;
    const state = await this.#state();
    let asked = false;
    try {
      await this.#append({ role: 'user', content: text });
      asked = true;
      return await this.#answer(state, output, signal);
    } catch (error) {
      if (asked && !signal.aborted && this.answerLine === undefined) this.#shell.terminal.note(kept(this.directory));
      throw error;
    } finally {
      await state.end();
    }
  }

  /**
   * RUN-9: a question that the model's context has no room for is refused before it is in the history. A pack that is about to be
   * cut may make the room, and some servers count only what they answer: they are asked. A template that takes no message
   * leaves no question behind either (RUN-7).
   */
  async #mustFit(text: string): Promise<void> {
    const { contextTokens } = await this.#describe();
    if (this.#model.driver === 'openai') return;
    const read = async (name: string): Promise<unknown> => JSON.parse(await rebuilt(this.#shell, join(this.directory, 'context', name)));
    const messages = (await read('prompt.json')) as readonly ChatMessage[];
    const tools = JSON.parse(await readFile(join(this.directory, 'context/tools.json'), 'utf8')) as readonly unknown[];
    const question: ChatMessage = { role: 'user', content: text };
    const count = async (prompt: readonly ChatMessage[]): Promise<number> =>
      (await this.#driver.tokenize({ messages: prompt, tools }, true))?.length ?? 0;
    const whole = await count([...messages, question]);
    if (whole < contextTokens) return;
    const pack = (await read('pack.json')) as PackBounds;
    const { tokenizer, budget_tokens: budget } = pack;
    const alone = await count([question]);
    const added = tokenizer.startsWith('engine:') ? alone : openCounter(tokenizer).count(text);
    // A cut leaves the newest question whole, unless it is larger than the budget (PCK-3).
    const cut = budget > 0 && Math.max(pack.tokens, pack.prompt_tokens) + added > budget;
    if (cut && (alone < contextTokens || added > budget)) return;
    throw new CtxError(
      'engine.context',
      'EMSGSIZE',
      `with this question the prompt has ${whole} tokens, the model's context holds ${contextTokens - 1}`,
      {
        where: modelId(this.#model),
        next: `nothing was appended; give the pack a smaller budget (echo ${Math.floor(contextTokens * ROOM_PART)} > ${join(this.directory, 'context/budget')}), or the model a larger context`,
      },
    );
  }

  /** Answers what is there. `arrange` may put the messages in another order. */
  async answer(
    output: ChatOutput,
    signal: AbortSignal,
    arrange?: (messages: readonly ChatMessage[]) => readonly ChatMessage[],
  ): Promise<GenerateOutcome> {
    await this.#describe();
    const state = await this.#state();
    try {
      return await this.#answer(state, output, signal, arrange);
    } finally {
      await state.end();
    }
  }

  /** The newest prompt that was sent; what came to the journal after `end` is not in it. */
  sent: SentPrompt | undefined;
  /** The newest line that was appended for the assistant. */
  answerLine: string | undefined;

  async close(): Promise<void> {
    await this.#driver.close();
    await this.#journals.close();
  }

  /** Starts the engine, so that the first answer need not wait for it; fails where it cannot answer at all. */
  async ready(): Promise<void> {
    await this.#describe();
  }

  // Before anything is appended: an engine that cannot start, or a server that is not there, leaves no question behind.
  async #describe(): Promise<ModelDescription> {
    return (this.#described ??= await this.#driver.describe());
  }

  async #state(): Promise<CompiledState> {
    const none: CompiledState = { base: undefined, reason: undefined, end: () => Promise.resolve() };
    if (this.#model.driver !== 'llama') return none;
    if (Date.now() - this.#answeredMs < LIVE_MS) return none;
    // Asking for the prompt has it compiled; waiting for that costs what evaluating it here would, and is kept.
    const messages = JSON.parse(await rebuilt(this.#shell, join(this.directory, 'context/prompt.json'))) as readonly unknown[];
    if (messages.length === 0) return none;
    const state = await takeCompiledState(this.#shell, this.directory, await this.#describe());
    if (state.base === undefined && state.reason !== undefined) this.#shell.terminal.note(`ctx: no compiled state: ${state.reason}`);
    return state;
  }

  async #answer(
    state: CompiledState,
    output: ChatOutput,
    signal: AbortSignal,
    arrange: (messages: readonly ChatMessage[]) => readonly ChatMessage[] = (messages) => messages,
  ): Promise<GenerateOutcome> {
    const sent = await this.prompt();
    const { id } = await this.#describe();
    this.sent = sent;
    // Which pack this call sends (pack.md: `ctx pack --at DIGEST` shows it again).
    await this.#appendEvent({ type: 'context.pack', digest: sent.digest, messages: sent.lines, model: modelId(this.#model) });
    const prompt: Prompt = { messages: arrange(sent.messages), tools: sent.tools };
    const run = this.#driver.generate({ prompt, ...this.#limits, signal, ...(state.base === undefined ? {} : { base: state.base }) });
    let text = '';
    let outcome: GenerateOutcome;
    try {
      for (let step = await run.next(); ; step = await run.next()) {
        if (step.done === true) {
          outcome = step.value;
          break;
        }
        if (step.value.kind === 'text') text += step.value.text;
        output.event(step.value);
      }
    } catch (error) {
      // What the reader saw is history; the failure is told beside it.
      if (text !== '') await this.#appendAnswer({ role: 'assistant', content: text, model: modelId(this.#model), stop: 'error' });
      throw error;
    } finally {
      this.#answeredMs = Date.now();
    }
    const { toolCalls, stop } = outcome;
    if (stop !== 'aborted' || text !== '') {
      await this.#appendAnswer({
        role: 'assistant',
        content: outcome.text,
        ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(recorded) }),
        model: modelId(this.#model),
        ...(stop === 'end' || stop === 'tool_calls' ? {} : { stop }),
      });
    }
    output.done(outcome, id);
    return outcome;
  }

  /** prompt.json and pack.json of one version of the pack, with the journal at rest around them. */
  async prompt(): Promise<SentPrompt> {
    const file = (name: string): string => join(this.directory, name);
    const record = async (): Promise<{ prefix_digest: string; messages: number }> =>
      JSON.parse(await rebuilt(this.#shell, file('context/pack.json'))) as { prefix_digest: string; messages: number };
    for (let tries = 0; tries < SETTLE_TRIES; tries += 1) {
      const { size: end } = await stat(file('messages.jsonl'));
      const before = await record();
      const messages = JSON.parse(await rebuilt(this.#shell, file('context/prompt.json'))) as readonly ChatMessage[];
      const tools = JSON.parse(await readFile(file('context/tools.json'), 'utf8')) as readonly unknown[];
      const after = await record();
      const { size } = await stat(file('messages.jsonl'));
      if (before.prefix_digest === after.prefix_digest && size === end)
        return { messages, tools, digest: after.prefix_digest, lines: after.messages, end };
    }
    throw new CtxError('run.unsettled', 'EAGAIN', 'changes faster than its pack can be read', {
      where: this.directory,
      next: 'stop what writes to it, then run this again',
    });
  }

  async #appendAnswer(line: Readonly<Record<string, unknown>>): Promise<void> {
    this.answerLine = JSON.stringify(line);
    await this.#append(line);
  }

  #append(line: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#journals.append({ file: 'messages', bytes: Buffer.from(`${JSON.stringify(line)}\n`) });
  }

  #appendEvent(event: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#journals.append({ file: 'events', bytes: Buffer.from(`${JSON.stringify(event)}\n`) });
  }
}

interface PackBounds {
  readonly tokenizer: string;
  readonly budget_tokens: number;
  readonly tokens: number;
  readonly prompt_tokens: number;
}

function kept(directory: string): string {
  return `ctx: the question is kept in messages.jsonl, without an answer; this answers it: ctx resume ${directory}`;
}

function recorded(call: GenerateOutcome['toolCalls'][number]): Readonly<Record<string, unknown>> {
  return { id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } };
}
