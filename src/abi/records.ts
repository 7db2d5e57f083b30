// Journal records as they are understood (never as they are stored: lines are stored verbatim).
import { isUtf8 } from 'node:buffer';
import { isPlain } from './plain-line.ts';

export const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;
export type Role = (typeof ROLES)[number];

export type LineFault = 'utf8' | 'json' | 'object' | 'role' | 'type' | 'nul' | 'too_long';

const ROLE_SET: ReadonlySet<unknown> = new Set(ROLES);

/** First bytes a JSON text may have: white space, `{ [ "`, numbers, true, false, null. */
const MAY_START_JSON: readonly boolean[] = Array.from({ length: 256 }, (_, byte) =>
  ' \t\r\n{["-0123456789tfn'.includes(String.fromCharCode(byte)),
);

/** JRN: why one line (without its newline) may not be stored in `messages.jsonl` or `events.jsonl`; undefined when it may. */
export function lineFault(journal: 'messages' | 'events', line: Buffer): LineFault | undefined {
  if (isPlain(journal, line)) return undefined;
  // Refusing is as cheap as it can be: a WRITE may hold a million bad lines.
  if (!MAY_START_JSON[line[0] ?? 0]) return unreadable(line);
  let value: unknown;
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    const text = line.toString('utf8');
    // Decoding puts U+FFFD for what is not UTF-8: only a text that has one needs the second look.
    if (text.includes('\ufffd') && !isUtf8(line)) return 'utf8';
    value = JSON.parse(text);
  } catch {
    return unreadable(line);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'object';
  if (journal === 'messages') return ROLE_SET.has((value as { role?: unknown }).role) ? undefined : 'role';
  const type = (value as { type?: unknown }).type;
  return typeof type === 'string' && type.length > 0 ? undefined : 'type';
}

function unreadable(line: Buffer): LineFault {
  if (!isUtf8(line)) return 'utf8';
  return line.includes(0) ? 'nul' : 'json';
}

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text of the arguments. */
  readonly arguments: string;
}

export interface ToolResult {
  readonly id: string;
  readonly text: string;
}

/** One message in the union of the OpenAI and Anthropic shapes, as the pack reads it. */
export interface MessageView {
  readonly role: Role;
  /** Plain text of the content: strings, `text` blocks; images and unknown blocks as a bracketed note. */
  readonly text: string;
  /** Readable reasoning (`thinking` blocks, `reasoning_content`); opaque reasoning is not included. */
  readonly thinking: string;
  readonly toolCalls: readonly ToolCall[];
  readonly toolResults: readonly ToolResult[];
  readonly name: string | undefined;
}

type Json = Record<string, unknown>;

function asObject(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function asString(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined || value === null) return '';
  return jsonText(value);
}

/** Levels of nesting that are understood. A line may have millions; what recurses over them must end before any stack does. */
const MOST_LEVELS = 128;

/** JSON of a parsed value; what lies deeper than is understood is `"[part]"`. */
export function jsonText(value: unknown): string {
  return JSON.stringify(understood(value));
}

/** The value itself, or, where it is deeper than is understood, as much of it as is. */
export function understood(value: unknown): unknown {
  return isDeeper(value, MOST_LEVELS) ? shallow(value, MOST_LEVELS) : value;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  const below = Array.isArray(value) ? (value as readonly unknown[]) : Object.values(value);
  return below.some((each) => isDeeper(each, levels - 1));
}

function shallow(value: unknown, levels: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (levels === 0) return '[part]';
  if (Array.isArray(value)) return value.map((each) => shallow(each, levels - 1));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shallow(each, levels - 1)]));
}

/** Text of a content value: a string, a block, or an array of blocks. */
export function contentText(content: unknown, levels: number = MOST_LEVELS): string {
  if (typeof content === 'string') return content;
  if (Array.isArray(content) && levels === 0) return '[part]';
  if (Array.isArray(content))
    return content
      .map((block) => contentText(block, levels - 1))
      .filter((text) => text !== '')
      .join('\n');
  const block = asObject(content);
  if (block === undefined) return '';
  switch (block['type']) {
    case 'text':
    case 'input_text':
    case 'output_text':
      return asString(block['text']);
    case 'image':
    case 'image_url':
    case 'input_image':
      return `[image${typeof block['path'] === 'string' ? ` ${block['path']}` : ''}]`;
    case 'tool_use':
    case 'tool_result':
    case 'thinking':
    case 'redacted_thinking':
    case 'reasoning':
      return '';
    default:
      return typeof block['text'] === 'string' ? block['text'] : `[${asString(block['type']) || 'part'}]`;
  }
}

function blockCall(block: Json): ToolCall | undefined {
  if (block['type'] !== 'tool_use') return undefined;
  return { id: asString(block['id']), name: asString(block['name']), arguments: jsonText(block['input'] ?? {}) };
}

function openAiCall(value: unknown): ToolCall | undefined {
  const call = asObject(value);
  if (call === undefined) return undefined;
  const custom = asObject(call['custom']);
  if (custom !== undefined)
    return { id: asString(call['id']), name: asString(custom['name']), arguments: jsonText({ input: custom['input'] ?? '' }) };
  const fn = asObject(call['function']) ?? call;
  return { id: asString(call['id']), name: asString(fn['name']), arguments: asString(fn['arguments']) };
}

/** Reads one parsed `messages.jsonl` object. Unknown shapes give an empty text, never an error. */
export function viewMessage(value: Json): MessageView {
  const role = (ROLE_SET.has(value['role']) ? value['role'] : 'user') as Role;
  const content = value['content'];
  const blocks = (Array.isArray(content) ? content : [content]).map(asObject).filter((block) => block !== undefined);
  const calls = blocks.map(blockCall).filter((call) => call !== undefined);
  if (Array.isArray(value['tool_calls'])) calls.push(...value['tool_calls'].map(openAiCall).filter((call) => call !== undefined));
  // The form before tool_calls: one call, answered by name.
  const single = asObject(value['function_call']);
  if (single !== undefined && calls.length === 0)
    calls.push({ id: asString(single['name']), name: asString(single['name']), arguments: asString(single['arguments']) });
  const results: ToolResult[] = [];
  for (const block of blocks) {
    if (block['type'] !== 'tool_result') continue;
    results.push({ id: asString(block['tool_use_id'] ?? block['tool_call_id']), text: contentText(block['content']) });
  }
  const text = contentText(content);
  if (role === 'tool' && results.length === 0) results.push({ id: asString(value['tool_call_id']), text });
  const thinking = blocks.filter((block) => block['type'] === 'thinking').map((block) => asString(block['thinking']));
  if (typeof value['reasoning_content'] === 'string') thinking.push(value['reasoning_content']);
  return {
    role,
    text: role === 'tool' ? '' : text,
    thinking: thinking.join('\n'),
    toolCalls: calls,
    toolResults: results,
    name: typeof value['name'] === 'string' ? value['name'] : undefined,
  };
}
