// Tool calls in what a model says: Hermes (`<tool_call>{…}</tool_call>`) and Llama 3 (the whole answer is the JSON object).
// Text that turns out to be no call is passed on as it came.
import { parsedObject } from '../json-fields.ts';

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text of the arguments object. */
  readonly arguments: string;
}

export type AnswerPart = { readonly kind: 'text'; readonly text: string } | ({ readonly kind: 'tool_call' } & ToolCall);

export const TOOL_MARKERS = ['<tool_call>', '</tool_call>', '<|python_tag|>'] as const;
const [OPEN, CLOSE, PYTHON] = TOOL_MARKERS;
/** A call that never closes is text: what is held back is bounded. */
const HELD_LIMIT = 1 << 20;

/** Splits an answer as it streams; without tools nothing is held back. */
export class AnswerReader {
  readonly #tools: ReadonlySet<string> | undefined;
  #held = '';
  #anything = false;
  #calls = 0;
  /** White space between calls belongs to neither. */
  #afterCall = false;

  constructor(tools: readonly unknown[]) {
    this.#tools = tools.length === 0 ? undefined : new Set(tools.map(toolName).filter((name) => name !== undefined));
  }

  feed(text: string): AnswerPart[] {
    if (this.#tools === undefined) return text === '' ? [] : [{ kind: 'text', text }];
    this.#held += text;
    if (this.#held.length > HELD_LIMIT) return this.#release(this.#held.length);
    return this.#read(false);
  }

  end(): AnswerPart[] {
    return this.#tools === undefined ? [] : this.#read(true);
  }

  #read(ended: boolean): AnswerPart[] {
    if (!this.#anything && /^\s*(?:\{|<\|python_tag\|>)/.test(this.#held)) return ended ? this.#readObject() : [];
    if (!this.#anything && !ended && (/^\s*$/.test(this.#held) || PYTHON.startsWith(this.#held.trimStart()))) return [];
    const parts: AnswerPart[] = [];
    for (;;) {
      if (this.#afterCall) this.#held = this.#held.trimStart();
      const start = this.#held.indexOf(OPEN);
      if (start < 0) return [...parts, ...this.#release(ended ? this.#held.length : heldFrom(this.#held))];
      const end = this.#held.indexOf(CLOSE, start);
      if (end < 0 && !ended) return [...parts, ...this.#release(this.#held.slice(0, start).trimEnd().length)];
      const call = this.#callOf(this.#held.slice(start + OPEN.length, end < 0 ? undefined : end));
      const length = end < 0 ? this.#held.length : end + CLOSE.length;
      if (call === undefined) {
        parts.push(...this.#release(length));
        if (this.#held === '') return parts;
        continue;
      }
      parts.push(...this.#release(this.#held.slice(0, start).trimEnd().length), this.#numbered(call));
      this.#held = this.#held.slice(this.#held.indexOf(OPEN) + length - start);
      this.#afterCall = true;
    }
  }

  // Llama 3: one object, or several with semicolons between.
  #readObject(): AnswerPart[] {
    const text = this.#held.trim().replace(PYTHON, '');
    const calls = (this.#callOf(text) === undefined ? text.split(/;\s*(?=\{)/) : [text]).map((each) => this.#callOf(each));
    if (calls.length === 0 || calls.some((call) => call === undefined)) return this.#release(this.#held.length);
    this.#held = '';
    return calls.filter((call) => call !== undefined).map((call) => this.#numbered(call));
  }

  #numbered(call: Omit<ToolCall, 'id'>): AnswerPart {
    this.#calls += 1;
    return { kind: 'tool_call', id: `call_${this.#calls}`, ...call };
  }

  #callOf(text: string): Omit<ToolCall, 'id'> | undefined {
    const call = parsedObject(text);
    if (call === undefined) return undefined;
    const { name, arguments: own, parameters } = call as { name?: unknown; arguments?: unknown; parameters?: unknown };
    if (typeof name !== 'string' || this.#tools?.has(name) !== true) return undefined;
    const given = own ?? parameters ?? {};
    return { name, arguments: typeof given === 'string' ? given : JSON.stringify(given) };
  }

  #release(length: number): AnswerPart[] {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    if (text === '') return [];
    this.#anything = true;
    this.#afterCall = false;
    return [{ kind: 'text', text }];
  }
}

/** Where the end of the text begins that may be the start of a marker, with the white space before it. */
function heldFrom(text: string): number {
  let from = text.length;
  for (let length = Math.min(OPEN.length - 1, text.length); length > 0; length -= 1) {
    if (!OPEN.startsWith(text.slice(-length))) continue;
    from = text.length - length;
    break;
  }
  return text.slice(0, from).trimEnd().length;
}

function toolName(tool: unknown): string | undefined {
  const { name, function: inner } = (tool ?? {}) as { name?: unknown; function?: { name?: unknown } };
  const found = inner?.name ?? name;
  return typeof found === 'string' ? found : undefined;
}
