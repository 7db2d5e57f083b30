// Prompt to token ids: the template's special tokens count, those in message text never do.
import { openChatRenderer } from '../chat-prompt.ts';
import type { ChatRenderer, TemplateCompiler } from '../chat-prompt.ts';
import type { ModelFacts } from '../gguf.ts';
import type { Prompt } from '../types.ts';
import type { LlamaModel } from './native.ts';

const [UNKNOWN, CONTROL, USER_DEFINED] = [2, 3, 4];
/** Texts that the engine treats as control tokens whatever the file says of their kind. */
const CONTROL_TEXT = /^(?:<\|[^|]{1,60}\|>|<\/?s>|<(?:start|end)_of_turn>|<eos>|<bos>|<EOT>|_<EOT>)$/;
const BRACKETED = /^[<[].*[>\]]$/s;

export class PromptTokens {
  readonly #model: LlamaModel;
  readonly #renderer: ChatRenderer;
  readonly #bos: number | undefined;
  readonly #special: ReadonlySet<number>;
  readonly #spaced: boolean;

  constructor(model: LlamaModel, facts: ModelFacts, compile: TemplateCompiler) {
    this.#model = model;
    this.#bos = model.tokens.shouldPrependBosToken ? facts.bosToken : undefined;
    this.#spaced = facts.tokenizerModel === 'llama';
    const special = specialTokens(facts);
    this.#special = new Set(special);
    const text = (id: number | undefined): string => (id === undefined ? '' : (facts.tokens[id] ?? ''));
    this.#renderer = openChatRenderer(
      facts.path,
      facts.chatTemplate,
      { bos: text(facts.bosToken), eos: text(facts.eosToken), all: special.map((id) => text(id)) },
      compile,
    );
  }

  /** Cost: about 0.3 s a megabyte of text, on the child's own thread. */
  tokenize(prompt: Prompt, generationPrompt: boolean): Uint32Array {
    const tokens: number[] = [];
    for (const { text, special } of this.#renderer.render(prompt, generationPrompt)) {
      const ids = special ? this.#model.tokenize(text, true, ...this.#trim(tokens)) : this.#literal(text, tokens);
      for (const id of ids) tokens.push(id);
    }
    if (this.#bos !== undefined && tokens[0] !== this.#bos) tokens.unshift(this.#bos);
    return Uint32Array.from(tokens);
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
