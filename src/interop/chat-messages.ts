// Session messages as a valid chat-completions sequence: one assistant message per model call, every tool call
// answered right after it. Streams; memory holds one assistant message and the results it waits for.
import { chatArguments, chatId, chatName } from '../abi/chat-call.ts';
import { viewMessage } from '../abi/records.ts';
import { asArray, asObject, asText, objects } from './formats/common.ts';
import { splitLine } from './origin.ts';
import type { Json } from './types.ts';

/** What stands for a result that history does not have. */
export const NO_RESULT = '[no result was recorded]';

export interface ChatOptions {
  /** Keep readable reasoning as `reasoning_content`. */
  readonly reasoning?: boolean;
}

/** Lines of `messages.jsonl` in, chat messages out. Unreadable lines are passed over. */
export async function* chatMessages(lines: AsyncIterable<string> | Iterable<string>, options: ChatOptions = {}): AsyncGenerator<Json> {
  const open = new OpenTurn();
  for await (const line of lines) {
    const value = parse(line);
    if (value === undefined) continue;
    for (const item of chatItems(value, options)) {
      const from = splitLine(line)?.origin.format;
      if (item.role === 'tool' && open.answer(item)) continue;
      if (item.role === 'assistant' && open.join(item, value, from)) continue;
      yield* open.close();
      if (item.role === 'assistant') open.begin(item, value, from);
      else
        yield item.role === 'tool'
          ? { role: 'user', content: `[result of ${asText(item['tool_call_id']) || 'a tool call'}]\n${textOf(item['content'])}` }
          : item;
    }
  }
  yield* open.close();
}

interface ChatItem extends Json {
  role: string;
}

/** An assistant message that may still grow (one model call arrives in several records), and its results. */
class OpenTurn {
  #message: Json | undefined;
  #call: unknown;
  #format: string | undefined;
  #results: Json[] = [];
  #unnamed = 0;

  begin(message: Json, value: Json, format: string | undefined): void {
    this.#message = this.#named(message);
    this.#call = value['id'];
    this.#format = format;
  }

  /** Parts of one model call share an id; Codex writes them as separate items without one. */
  join(next: Json, value: Json, format: string | undefined): boolean {
    const message = this.#message;
    if (message === undefined || this.#results.length > 0) return false;
    const same = (typeof value['id'] === 'string' && value['id'] === this.#call) || (format === 'codex' && this.#format === 'codex');
    if (!same) return false;
    const texts = [textOf(message['content']), textOf(next['content'])].filter((text) => text !== '');
    message['content'] = texts.length === 0 ? null : texts.join('\n\n');
    const calls = [...asArray(message['tool_calls']), ...asArray(this.#named(next)['tool_calls'])];
    if (calls.length > 0) message['tool_calls'] = calls;
    const reasoning = [message['reasoning_content'], next['reasoning_content']].map(asText).filter((text) => text !== '');
    if (reasoning.length > 0) message['reasoning_content'] = reasoning.join('\n');
    return true;
  }

  /** Calls of formats without call ids get one. */
  #named(message: Json): Json {
    for (const call of objects(message['tool_calls'])) if (call['id'] === '') call['id'] = `call_${++this.#unnamed}`;
    return message;
  }

  answer(result: Json): boolean {
    const calls = objects(this.#message?.['tool_calls']);
    const id = result['tool_call_id'];
    const free = calls.filter((call) => !this.#results.some((known) => known['tool_call_id'] === call['id']));
    // Formats without call ids answer in order.
    const call = free.find((candidate) => candidate['id'] === id) ?? (id === '' ? free[0] : undefined);
    if (call === undefined) return false;
    this.#results.push({ ...result, tool_call_id: call['id'] });
    return true;
  }

  *close(): Generator<Json> {
    const message = this.#message;
    this.#message = undefined;
    const results = this.#results;
    this.#results = [];
    if (message === undefined) return;
    const calls = objects(message['tool_calls']);
    if (calls.length === 0) delete message['tool_calls'];
    if (calls.length === 0 && textOf(message['content']) === '' && message['reasoning_content'] === undefined) return;
    yield message;
    for (const call of calls) {
      yield (
        results.find((result) => result['tool_call_id'] === call['id']) ?? { role: 'tool', tool_call_id: call['id'], content: NO_RESULT }
      );
    }
  }
}

function chatItems(value: Json, options: ChatOptions): ChatItem[] {
  const view = viewMessage(value);
  const content = value['content'];
  if (view.role === 'tool')
    return view.toolResults.map((result) => ({ role: 'tool', tool_call_id: chatId(result.id), content: toolContent(value, result.text) }));
  if (view.role === 'assistant') {
    const item: ChatItem = { role: 'assistant', content: view.text === '' ? null : view.text };
    if (options.reasoning === true && view.thinking !== '') item['reasoning_content'] = view.thinking;
    if (view.toolCalls.length > 0) {
      item['tool_calls'] = view.toolCalls.map((call) => ({
        id: chatId(call.id),
        type: 'function',
        function: { name: chatName(call.name), arguments: chatArguments(call.arguments) },
      }));
    }
    return [item];
  }
  const items: ChatItem[] = view.toolResults.map((result) => ({ role: 'tool', tool_call_id: chatId(result.id), content: result.text }));
  const parts = chatParts(content);
  const empty = parts === '' || (Array.isArray(parts) && parts.length === 0);
  if (!empty || items.length === 0)
    items.push({ role: view.role, ...(view.name === undefined ? {} : { name: view.name }), content: parts });
  return items;
}

/** A string, or chat parts (text and image_url) without tool results. */
function chatParts(content: unknown): string | readonly Json[] {
  if (!Array.isArray(content)) return textOf(content);
  const parts: Json[] = [];
  for (const block of content as unknown[]) {
    const type = asObject(block)?.['type'];
    if (type === 'tool_result' || type === 'tool_use') continue;
    const image = imagePart(asObject(block));
    const text = image === undefined ? textOf([block]) : '';
    if (image !== undefined) parts.push(image);
    else if (text !== '') parts.push({ type: 'text', text });
  }
  return parts.every((part) => part['type'] === 'text') ? parts.map((part) => asText(part['text'])).join('\n') : parts;
}

function imagePart(block: Json | undefined): Json | undefined {
  if (block === undefined) return undefined;
  if (block['type'] === 'image_url') return { type: 'image_url', image_url: block['image_url'] };
  if (block['type'] === 'input_image' && typeof block['image_url'] === 'string')
    return { type: 'image_url', image_url: { url: block['image_url'] } };
  const source = asObject(block['source']);
  if (block['type'] !== 'image' || source === undefined) return undefined;
  if (source['type'] === 'base64')
    return { type: 'image_url', image_url: { url: `data:${asText(source['media_type'])};base64,${asText(source['data'])}` } };
  return source['type'] === 'url' ? { type: 'image_url', image_url: { url: asText(source['url']) } } : undefined;
}

function toolContent(value: Json, text: string): string {
  return typeof value['content'] === 'string' ? value['content'] : text;
}

function textOf(content: unknown): string {
  return typeof content === 'string' ? content : viewMessage({ role: 'user', content }).text;
}

function parse(line: string): Json | undefined {
  try {
    return asObject(JSON.parse(line));
  } catch {
    return undefined;
  }
}
