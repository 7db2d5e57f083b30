// Prompt to token ids by the server's own chat template and tokenizer. Text of messages never becomes a special token: what
// the server would take for one is put aside under a private mark before the template runs, and tokenized as plain text after.
import { CtxError } from '../../abi/errors.ts';
import { listOf, objectOf, tokenIds } from '../json-fields.ts';
import type { RemoteServer } from '../remote-server.ts';
import { openAiTool } from '../tool-schemas.ts';
import type { ChatMessage, Prompt } from '../types.ts';

const [OPEN, CLOSE] = ['\uF8F0', '\uF8F1'];
/** As characters, or as a template's JSON filter may write them. */
const MARK = /(?:\uF8F0|\\u[fF]8[fF]0)([0-9]+)(?:\uF8F1|\\u[fF]8[fF]1)/u;
/** A template that asks for today's date would render another prefix tomorrow. */
const TEMPLATE_ARGUMENTS = { date_string: '26 Jul 2024' };

/** A piece of a rendered prompt, tokenized by itself. */
export interface PromptPiece {
  readonly text: string;
  /** Special tokens in it are only text. */
  readonly literal: boolean;
  /** What the vocabulary puts before a prompt stands before it. */
  readonly first: boolean;
}

/** Cost: two tokenizations of the text of messages, one of the template, one request for each piece put aside. */
export async function serverTokens(
  server: RemoteServer,
  prompt: Prompt,
  generationPrompt: boolean,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  const messages = generationPrompt ? answerable(prompt.messages) : settled(prompt.messages);
  const { tools } = prompt;
  const specials = await specialTexts(server, [messages, tools], signal);
  const ids: number[] = [];
  for (const piece of await promptPieces(server, { messages, tools }, generationPrompt, specials, signal))
    for (const id of await tokenizePiece(server, piece, signal)) ids.push(id);
  return Uint32Array.from(ids);
}

/** One request: the prompt as the server's template renders it, with these texts put aside. */
export async function promptPieces(
  server: RemoteServer,
  { messages, tools }: Prompt,
  generationPrompt: boolean,
  specials: readonly string[],
  signal?: AbortSignal,
): Promise<readonly PromptPiece[]> {
  const aside = asidePattern(specials);
  const put: string[] = [];
  const protect = (value: unknown): unknown =>
    mapStrings(value, (text) => text.replace(aside, (found) => `${OPEN}${put.push(found) - 1}${CLOSE}`));
  const body = {
    messages: messages.map(protect),
    ...(tools.length === 0 ? {} : { tools: tools.map((tool) => protect(openAiTool(tool))) }),
    add_generation_prompt: generationPrompt,
    chat_template_kwargs: TEMPLATE_ARGUMENTS,
  };
  const rendered = objectOf(await server.json('POST', '/apply-template', body, signal))['prompt'];
  if (typeof rendered !== 'string') throw strange(server, '/apply-template', 'gave no prompt');
  return rendered.split(MARK).flatMap((piece, index) => {
    // Odd places are the marks' numbers.
    const literal = index % 2 === 1;
    const text = literal ? (put[Number(piece)] ?? '') : piece;
    return text === '' ? [] : [{ text, literal, first: index === 0 }];
  });
}

export async function tokenizePiece(
  server: RemoteServer,
  { text: content, literal, first }: PromptPiece,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  const reply = await server.json('POST', '/tokenize', { content, parse_special: !literal, add_special: first }, signal);
  const ids = tokenIds(objectOf(reply)['tokens']);
  if (ids === undefined) throw strange(server, '/tokenize', 'gave no token ids');
  return ids;
}

/** Texts of the special tokens that the server would see in these strings: those that parsing special tokens adds. */
export async function specialTexts(server: RemoteServer, value: unknown, signal?: AbortSignal): Promise<readonly string[]> {
  const texts: string[] = [];
  mapStrings(value, (text) => {
    texts.push(text);
    return text;
  });
  const content = texts.join('\n');
  const ask = (parse: boolean): Promise<unknown> =>
    server.json('POST', '/tokenize', { content, parse_special: parse, with_pieces: true }, signal);
  const pieces = (reply: unknown): readonly Readonly<Record<string, unknown>>[] => listOf(objectOf(reply)['tokens']).map(objectOf);
  const plain = new Set(pieces(await ask(false)).map(({ id }) => id));
  const found = pieces(await ask(true)).filter(({ id }) => !plain.has(id));
  const special = found.flatMap(({ piece }) => (typeof piece === 'string' && piece !== '' && content.includes(piece) ? [piece] : []));
  return [...new Set(special)];
}

/** Longer ones first; what is ours is put aside too. */
function asidePattern(specials: readonly string[]): RegExp {
  return patternOf(
    [...specials, OPEN, CLOSE].sort((a, b) => b.length - a.length),
    'gu',
  );
}

export function patternOf(texts: readonly string[], flags: string, before = '', after = ''): RegExp {
  const escaped = texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(`${before}${escaped.join('|')}${after}`, flags);
}

/** A prompt that is to be answered ends in something to answer: the server would go on with an assistant's message. */
function answerable(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  if (messages.at(-1)?.role !== 'assistant') return messages;
  throw new CtxError('engine.prompt', 'EINVAL', "the prompt ends in the assistant's message: there is nothing to answer", {
    next: 'append a user message first',
  });
}

/**
 * The server renders an assistant's last message without its end, and refuses some: a prefix of what comes next is compiled
 * in any case, so what it refuses waits for the next message.
 */
function settled(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  let end = messages.length;
  const assistant = (index: number): boolean => messages[index]?.role === 'assistant';
  while (end > 1 && assistant(end - 1) && (assistant(end - 2) || messages[end - 1]?.tool_calls !== undefined)) end -= 1;
  return messages.slice(0, end);
}

function mapStrings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((each) => mapStrings(each, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [change(key), mapStrings(each, change)]));
}

function strange(server: RemoteServer, path: string, what: string): CtxError {
  return new CtxError('engine.http', 'EIO', what, { where: `${server.base}${path}`, next: 'check that this is a llama-server' });
}
