// prompt.json as a fold of pack lines: a valid chat-completions `messages` array that only grows at its end.
// PCK-8: an assistant message with tool calls is followed at once by one tool message for each call. So a call waits here
// until its results are there (or until something else comes: then the missing ones are said to be missing).
import { chatArguments, chatId, chatName, wellFormed } from '../abi/chat-call.ts';
import type { TokenCounter } from '../tokens/types.ts';
import type { PackLine } from './pack-line.ts';
import { templateCall, templateMessage } from './render.ts';

export const MISSING_RESULT = '[no result was recorded]';

interface Call {
  readonly id: string;
  readonly name: string;
  readonly args: string;
}
interface OpenGroup {
  text: string;
  readonly calls: Call[];
  readonly results: Map<string, string>;
  readonly after: { readonly role: 'system' | 'user'; readonly text: string }[];
}

/** Serialized messages to append, and what they cost in the reference template. */
export interface PromptDelta {
  readonly messages: readonly string[];
  /** Tokens of everything so far, an open group counted as if it closed now. */
  readonly tokens: number;
}

export class PromptFold {
  readonly #counter: TokenCounter;
  #tokens = 0;
  #open: OpenGroup | undefined;
  #openTokens = 0;
  #out: string[] = [];
  /** Everything so far, where the whole of it is counted. */
  #all: string[] = [];
  readonly #toolsJson: string | undefined;

  constructor(counter: TokenCounter, toolsJson?: string) {
    this.#counter = counter;
    this.#toolsJson = toolsJson;
  }

  /** An independent copy with nothing to take. */
  clone(): PromptFold {
    const copy = new PromptFold(this.#counter, this.#toolsJson);
    copy.#all = [...this.#all];
    copy.#tokens = this.#tokens;
    copy.#openTokens = this.#openTokens;
    if (this.#open !== undefined) {
      copy.#open = {
        text: this.#open.text,
        calls: [...this.#open.calls],
        results: new Map(this.#open.results),
        after: [...this.#open.after],
      };
    }
    return copy;
  }

  /** Messages since the last take. */
  take(): PromptDelta {
    const messages = this.#out;
    this.#out = [];
    return { messages, tokens: this.#total() };
  }

  /** TOK-8: a model's own template says what the messages cost together; of the reference template they add up. */
  #total(): number {
    const { prompt } = this.#counter;
    if (prompt === undefined) return this.#tokens + this.#openTokens;
    const open = this.#open === undefined ? [] : groupMessages(this.#open).map((message) => message.json);
    return prompt([...this.#all, ...open], this.#toolsJson);
  }

  /** Ids of calls that wait for their result. */
  get waiting(): readonly string[] {
    const open = this.#open;
    return open === undefined ? [] : open.calls.filter((call) => !open.results.has(call.id)).map((call) => call.id);
  }

  /** A message that is not from history: sections, recall, a contribution, a child's result. Never inside a call group. */
  note(role: 'system' | 'user', said: string): void {
    const text = wellFormed(said);
    if (this.#open !== undefined) {
      this.#open.after.push({ role, text });
      this.#countOpen();
    } else this.#plain(role, text, {});
  }

  line(packed: PackLine): void {
    const texts: string[] = [];
    const calls: Call[] = [];
    const results: { id: string; text: string }[] = [];
    for (const part of packed.parts) {
      if (part.type === 'text') texts.push(wellFormed(part.text));
      else if (part.type === 'call') calls.push({ id: chatId(part.id), name: chatName(part.name), args: chatArguments(part.args) });
      else results.push({ id: chatId(part.id), text: wellFormed(part.text) });
    }
    for (const result of results) this.#result(result.id, result.text);
    const text = texts.join('\n');
    if (packed.role === 'assistant') this.#assistant(text, calls);
    else if (text !== '') {
      this.#close();
      this.#plain(packed.role === 'tool' ? 'user' : packed.role, text, packed.name === undefined ? {} : { name: packed.name });
    }
  }

  #assistant(text: string, calls: readonly Call[]): void {
    const open = this.#open;
    // One answer may come as several lines (text, call, call): until a result arrives they are one message.
    if (open !== undefined && open.results.size === 0 && open.after.length === 0) {
      open.text = [open.text, text].filter((piece) => piece !== '').join('\n');
      for (const call of calls) if (!open.calls.some((other) => other.id === call.id)) open.calls.push(call);
      this.#countOpen();
      return;
    }
    if (calls.length === 0) {
      if (text === '') return;
      this.#close();
      this.#plain('assistant', text, {});
      return;
    }
    this.#close();
    const unique = calls.filter((call, index) => calls.findIndex((other) => other.id === call.id) === index);
    this.#open = { text, calls: [...unique], results: new Map(), after: [] };
    this.#countOpen();
  }

  #result(id: string, text: string): void {
    const open = this.#open;
    const call = open?.calls.find((other) => !open.results.has(other.id) && (other.id === id || id === ''));
    if (open === undefined || call === undefined) {
      this.note('user', `[result of an earlier call${id === '' ? '' : ` ${id}`}]\n${text}`);
      return;
    }
    open.results.set(call.id, text);
    if (open.calls.every((other) => open.results.has(other.id))) this.#close();
    else this.#countOpen();
  }

  #close(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    this.#openTokens = 0;
    for (const message of groupMessages(open)) this.#push(message);
  }

  #plain(role: string, text: string, extra: { readonly name?: string }): void {
    this.#push({
      json: JSON.stringify({ role, ...(validName(extra.name) ? { name: extra.name } : {}), content: text }),
      template: templateMessage(role, text),
    });
  }

  #push(message: Rendered): void {
    this.#out.push(message.json);
    if (this.#counter.prompt === undefined) this.#tokens += this.#counter.count(message.template);
    else this.#all.push(message.json);
  }

  #countOpen(): void {
    this.#openTokens =
      this.#open === undefined || this.#counter.prompt !== undefined
        ? 0
        : this.#counter.count(
            groupMessages(this.#open)
              .map((message) => message.template)
              .join(''),
          );
  }
}

interface Rendered {
  readonly json: string;
  readonly template: string;
}

function groupMessages(open: OpenGroup): readonly Rendered[] {
  const calls = open.calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.args } }));
  const body = `${open.text}\n${open.calls.map((call) => templateCall(call.name, call.args)).join('')}`;
  return [
    {
      json: JSON.stringify({ role: 'assistant', content: open.text === '' ? null : open.text, tool_calls: calls }),
      template: templateMessage('assistant', body),
    },
    ...open.calls.map((call) => {
      const text = open.results.get(call.id) ?? MISSING_RESULT;
      return { json: JSON.stringify({ role: 'tool', tool_call_id: call.id, content: text }), template: templateMessage('tool', text) };
    }),
    ...open.after.map((note) => ({
      json: JSON.stringify({ role: note.role, content: note.text }),
      template: templateMessage(note.role, note.text),
    })),
  ];
}

function validName(name: string | undefined): boolean {
  return name !== undefined && /^[a-zA-Z0-9_-]{1,64}$/.test(name);
}
