// Prompt to token ids: the template's special tokens count, those in message text never do.
import { openChatRenderer } from '../chat-prompt.ts';
import type { ChatRenderer, OpenTemplate } from '../chat-prompt.ts';
import type { ModelFacts } from '../gguf.ts';
import type { Prompt } from '../types.ts';
import type { LlamaModel } from './native.ts';

const [UNKNOWN, CONTROL, USER_DEFINED] = [2, 3, 4];
/** Texts that the engine treats as control tokens whatever the file says of their kind. */
const CONTROL_TEXT = /^(?:<\|[^|]{1,60}\|>|<\/?s>|<(?:start|end)_of_turn>|<eos>|<bos>|<EOT>|_<EOT>)$/;
/** Each of two generations. */
const KEPT_UNITS = 1 << 22;
const ENTRY_UNITS = 64;
const BRACKETED = /^[<[].*[>\]]$/s;

export class PromptTokens {
  readonly #model: LlamaModel;
  readonly #renderer: ChatRenderer;
  readonly #bos: number | undefined;
  readonly #special: ReadonlySet<number>;
  readonly #spaced: boolean;
  /** Texts of control tokens: the engine cuts a text at them, and each piece between is tokenized by itself. */
  readonly #cuts: RegExp | undefined;
  readonly #counts: CountMemory = new CountMemory();

  constructor(model: LlamaModel, facts: ModelFacts, open: OpenTemplate) {
    this.#model = model;
    this.#bos = model.tokens.shouldPrependBosToken ? facts.bosToken : undefined;
    this.#spaced = facts.tokenizerModel === 'llama';
    const special = specialTokens(facts);
    this.#special = new Set(special);
    this.#cuts = patternOf(special.filter((id) => facts.tokenTypes[id] === CONTROL).map((id) => facts.tokens[id] ?? ''));
    const text = (id: number | undefined): string => (id === undefined ? '' : (facts.tokens[id] ?? ''));
    this.#renderer = openChatRenderer(
      facts.path,
      facts.chatTemplate,
      { bos: text(facts.bosToken), eos: text(facts.eosToken), all: special.map((id) => text(id)) },
      open,
    );
  }

  /** Cost: about 0.3 s a megabyte of text, on the child's own thread. */
  async tokenize(prompt: Prompt, generationPrompt: boolean): Promise<Uint32Array> {
    const tokens: number[] = [];
    for (const { text, special } of await this.#renderer.render(prompt, generationPrompt)) {
      const ids = special ? this.#model.tokenize(text, true, ...this.#trim(tokens)) : this.#literal(text, tokens);
      for (const id of ids) tokens.push(id);
    }
    if (this.#bos !== undefined && tokens[0] !== this.#bos) tokens.unshift(this.#bos);
    return Uint32Array.from(tokens);
  }

  /**
   * As many tokens as `tokenize` gives. What was counted before between two control tokens is not counted again: a prompt that
   * grew by a message costs its rendering and the count of that message.
   */
  async count(prompt: Prompt, generationPrompt: boolean): Promise<number> {
    let tokens = 0;
    let first: number | undefined;
    const add = (ids: readonly number[]): void => {
      if (tokens === 0) first = ids[0];
      tokens += ids.length;
    };
    for (const { text, special } of await this.#renderer.render(prompt, generationPrompt)) {
      for (const [index, piece] of (special ? this.#pieces(text) : [text]).entries()) {
        const inside = tokens > 0 && index === 0;
        if (tokens === 0) add(this.#model.tokenize(piece, special));
        else if (special)
          tokens += this.#counts.of(
            `${inside ? 'i' : 's'}${piece}`,
            () => this.#model.tokenize(piece, true, ...(inside ? this.#trim([0]) : [])).length,
          );
        else tokens += this.#counts.of(`l${piece}`, () => this.#literal(piece, [0]).length);
      }
    }
    return this.#bos !== undefined && first !== this.#bos ? tokens + 1 : tokens;
  }

  /** Ordinary text by itself. */
  countText(text: string): number {
    return this.#literal(text, []).length;
  }

  /** Each begins with a control token, but perhaps the first. */
  #pieces(text: string): readonly string[] {
    return this.#cuts === undefined ? [text] : text.split(this.#cuts).filter((piece) => piece !== '');
  }

  // Some vocabularies have tokens that match even where special tokens are off: cut in two, the text is only text.
  #literal(text: string, before: readonly number[]): number[] {
    const ids = this.#model.tokenize(text, false, ...this.#trim(before));
    const characters = Array.from(text);
    if (characters.length < 2 || !ids.some((id) => this.#special.has(id))) return ids;
    const middle = characters.length >> 1;
    const head = this.#literal(characters.slice(0, middle).join(''), before);
    return [...head, ...this.#literal(characters.slice(middle).join(''), [...before, ...head])];
  }

  // SentencePiece puts a space at the start of a text: only the first piece of a prompt may have it.
  #trim(before: readonly number[]): ['trimLeadingSpace'] | [] {
    return this.#spaced && before.length > 0 ? ['trimLeadingSpace'] : [];
  }
}

function specialTokens(facts: ModelFacts): number[] {
  const found: number[] = [];
  for (const [id, text] of facts.tokens.entries()) {
    if (text === '') continue;
    const type = facts.tokenTypes[id];
    const special = type === CONTROL || type === UNKNOWN || (type === USER_DEFINED && BRACKETED.test(text)) || CONTROL_TEXT.test(text);
    if (special) found.push(id);
  }
  return found;
}

/** Cuts before each occurrence of one of these; undefined: of none. */
function patternOf(texts: readonly string[]): RegExp | undefined {
  const escaped = texts
    .filter((text) => text !== '')
    .sort((a, b) => b.length - a.length)
    .map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return escaped.length === 0 ? undefined : new RegExp(`(?=${escaped.join('|')})`, 'u');
}

/** Counts by text, of bounded size: what was not asked for in a while is counted again. */
export class CountMemory {
  #young: Map<string, number> = new Map();
  #old: Map<string, number> = new Map();
  #units = 0;

  known(text: string): number | undefined {
    return this.#young.get(text) ?? this.#old.get(text);
  }

  of(text: string, count: () => number): number {
    let tokens = this.#young.get(text);
    if (tokens !== undefined) return tokens;
    tokens = this.#old.get(text) ?? count();
    if (this.#units > KEPT_UNITS) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#units = 0;
    }
    this.#units += text.length + ENTRY_UNITS;
    this.#young.set(text, tokens);
    return tokens;
  }
}
