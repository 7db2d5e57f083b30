// From prompt.json to the text that the model's own chat template makes of it, in parts.
// Text of messages never becomes a special token: each occurrence of a special token's text in a message is put aside
// under a private mark before rendering; after rendering the text is split at the marks. Template parts are tokenized
// with special tokens, what was put aside without.
import { CtxError } from '../abi/errors.ts';
import type { ChatMessage, Prompt } from './types.ts';

/** A Jinja template. Rendering fails with what the template raises, `stage` says where; it always ends. */
export interface Template {
  render(variables: Record<string, unknown>): Promise<string>;
}

export type OpenTemplate = (source: string) => Template;

export interface RenderedPart {
  readonly text: string;
  /** Came from the template or from ordinary text: special tokens count. Otherwise the literal text of a special token. */
  readonly special: boolean;
}

export interface ChatRenderer {
  render(prompt: Prompt, generationPrompt: boolean): Promise<RenderedPart[]>;
}

export interface SpecialTexts {
  readonly bos: string;
  readonly eos: string;
  /** Texts of all special tokens. */
  readonly all: readonly string[];
}

const [OPEN, CLOSE] = ['\uF8F0', '\uF8F1'];
const MARK = new RegExp(`${OPEN}([0-9]+)${CLOSE}`, 'u');
export function openChatRenderer(where: string, template: string | undefined, specials: SpecialTexts, open: OpenTemplate): ChatRenderer {
  if (template === undefined) throw templateError(where, 'the model carries no chat template', 'use an instruction-tuned model');
  const aside = new RegExp(
    [...new Set([...specials.all, OPEN, CLOSE])]
      .sort((a, b) => b.length - a.length)
      .map(escapePattern)
      .join('|'),
    'gu',
  );
  const opened = open(template);
  return {
    async render(prompt, generationPrompt) {
      const put: string[] = [];
      const mark = (found: string): string => `${OPEN}${put.push(found) - 1}${CLOSE}`;
      const protect = (value: unknown): unknown => mapStrings(value, (each) => each.replace(aside, mark));
      let rendered: string;
      try {
        rendered = await opened.render({
          messages: prompt.messages.map((message) => protect(plainMessage(message))),
          tools: prompt.tools.length === 0 ? null : prompt.tools.map(protect),
          add_generation_prompt: generationPrompt,
          bos_token: specials.bos,
          eos_token: specials.eos,
        });
      } catch (error) {
        if ((error as { readonly stage?: unknown }).stage === 'read')
          throw templateError(where, `the chat template cannot be read: ${text(error)}`, 'use another model', error);
        throw templateError(
          where,
          `the chat template refuses these messages: ${text(error)}`,
          'use another model, or change the messages',
          error,
        );
      }
      return split(rendered, put);
    },
  };
}

function split(rendered: string, put: readonly string[]): RenderedPart[] {
  const parts: RenderedPart[] = [];
  for (const [index, piece] of rendered.split(MARK).entries()) {
    // Odd places are the marks' numbers. A template that cut a mark in two leaves text that names nothing.
    const literal = index % 2 === 1;
    const content = literal ? (put[Number(piece)] ?? '') : piece.replaceAll(OPEN, '').replaceAll(CLOSE, '');
    if (content !== '') parts.push({ text: content, special: !literal });
  }
  return parts;
}

// What templates expect: content is a string, arguments of a tool call are an object.
function plainMessage(message: ChatMessage): Record<string, unknown> {
  const content =
    typeof message.content === 'string' ? message.content : Array.isArray(message.content) ? message.content.map(partText).join('\n') : '';
  return { ...message, content, ...(message.tool_calls === undefined ? {} : { tool_calls: message.tool_calls.map(plainCall) }) };
}

function partText(part: unknown): string {
  if (typeof part === 'string') return part;
  const { type, text: own } = (part ?? {}) as { type?: unknown; text?: unknown };
  return typeof own === 'string' ? own : `[${typeof type === 'string' ? type : 'part'}]`;
}

function plainCall(call: unknown): unknown {
  const inner = (call as { function?: { arguments?: unknown } } | null)?.function;
  if (typeof inner?.arguments !== 'string') return call;
  try {
    return { ...(call as object), function: { ...inner, arguments: JSON.parse(inner.arguments) as unknown } };
  } catch {
    return call;
  }
}

function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((each) => mapStrings(each, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [change(key), mapStrings(each, change)]));
}

function escapePattern(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function text(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 300);
}

function templateError(where: string, what: string, next: string, cause?: unknown): CtxError {
  return new CtxError('engine.template', 'EOPNOTSUPP', what, { where, next, ...(cause === undefined ? {} : { cause }) });
}
