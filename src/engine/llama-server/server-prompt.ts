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

/** Cost: two tokenizations of the text of messages, one of the template, one request for each piece put aside. */
export async function serverTokens(
  server: RemoteServer,
  prompt: Prompt,
  generationPrompt: boolean,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  const messages = generationPrompt ? answerable(prompt.messages) : settled(prompt.messages);
  const specials = await specialTexts(server, [messages, prompt.tools], signal);
  const put: string[] = [];
  const protect = (value: unknown): unknown => mapStrings(value, (text) => putAside(text, specials, put));
  const body = {
    messages: messages.map(protect),
    ...(prompt.tools.length === 0 ? {} : { tools: prompt.tools.map((tool) => protect(openAiTool(tool))) }),
    add_generation_prompt: generationPrompt,
    chat_template_kwargs: TEMPLATE_ARGUMENTS,
  };
  const rendered = objectOf(await server.json('POST', '/apply-template', body, signal))['prompt'];
  if (typeof rendered !== 'string') throw strange(server, '/apply-template', 'gave no prompt');
  const ids: number[] = [];
  for (const [index, piece] of rendered.split(MARK).entries()) {
    // Odd places are the marks' numbers.
    const literal = index % 2 === 1;
    const text = literal ? (put[Number(piece)] ?? '') : piece;
    if (text === '') continue;
    for (const id of await tokenize(server, text, { parse_special: !literal, add_special: index === 0 }, signal)) ids.push(id);
  }
  return Uint32Array.from(ids);
}

async function tokenize(server: RemoteServer, content: string, options: object, signal: AbortSignal | undefined): Promise<Uint32Array> {
  const reply = await server.json('POST', '/tokenize', { content, ...options }, signal);
  const ids = tokenIds(objectOf(reply)['tokens']);
  if (ids === undefined) throw strange(server, '/tokenize', 'gave no token ids');
  return ids;
}

/** Texts of the special tokens that the server would see in these strings: those that parsing special tokens adds. */
async function specialTexts(server: RemoteServer, value: unknown, signal: AbortSignal | undefined): Promise<readonly string[]> {
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
  return [...new Set([...special, OPEN, CLOSE])].sort((a, b) => b.length - a.length);
}

function putAside(text: string, specials: readonly string[], put: string[]): string {
  const pattern = new RegExp(specials.map((special) => special.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'), 'gu');
  return text.replace(pattern, (found) => `${OPEN}${put.push(found) - 1}${CLOSE}`);
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
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, mapStrings(each, change)]));
}

function strange(server: RemoteServer, path: string, what: string): CtxError {
  return new CtxError('engine.http', 'EIO', what, { where: `${server.base}${path}`, next: 'check that this is a llama-server' });
}
