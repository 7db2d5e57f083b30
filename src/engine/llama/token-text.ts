// Token ids to text as they come: a character that spans several tokens is given out whole.
import type { ModelFacts } from '../gguf.ts';
import type { LlamaModel } from './native.ts';
import { TOOL_MARKERS } from './tool-calls.ts';

/** No character spans more tokens; bytes that are no UTF-8 are then given out as replacement characters. */
const HELD_TOKENS = 16;
const CONTEXT_TOKENS = 4;

export class TokenText {
  readonly #model: LlamaModel;
  /** Markers of tool calls may be control tokens, whose text would not show. */
  readonly #markers: ReadonlyMap<number, string>;
  #held: number[] = [];
  #last: number[] = [];

  constructor(model: LlamaModel, facts: ModelFacts) {
    this.#model = model;
    this.#markers = new Map(TOOL_MARKERS.map((text) => [facts.tokens.indexOf(text), text]));
  }

  push(token: number): string {
    const marker = this.#markers.get(token);
    if (marker !== undefined) return this.end() + marker;
    this.#held.push(token);
    const text = this.#model.detokenize(this.#held, false, this.#last);
    if (text.endsWith('\uFFFD') && this.#held.length < HELD_TOKENS) return '';
    this.#settle();
    return text;
  }

  end(): string {
    const text = this.#held.length === 0 ? '' : this.#model.detokenize(this.#held, false, this.#last);
    this.#settle();
    return text;
  }

  #settle(): void {
    this.#last = [...this.#last, ...this.#held].slice(-CONTEXT_TOKENS);
    this.#held = [];
  }
}
