// Exports for people and other programs: OpenAI chat (array or JSONL) and Markdown. All stream.
import { wellFormed } from '../abi/chat-call.ts';
import { viewMessage } from '../abi/records.ts';
import { chatMessages } from './chat-messages.ts';
import type { ChatOptions } from './chat-messages.ts';
import type { Json } from './types.ts';

type Lines = AsyncIterable<string> | Iterable<string>;

/** A JSON array of chat-completions messages, one message a line. */
export async function* exportOpenAi(lines: Lines, options: ChatOptions = {}): AsyncGenerator<string> {
  let separator = '[\n';
  for await (const message of chatMessages(lines, options)) {
    yield separator + chatJson(message);
    separator = ',\n';
  }
  yield separator === '[\n' ? '[]\n' : '\n]\n';
}

/** One chat-completions message a line. */
export async function* exportOpenAiLines(lines: Lines, options: ChatOptions = {}): AsyncGenerator<string> {
  for await (const message of chatMessages(lines, options)) yield `${chatJson(message)}\n`;
}

function chatJson(message: Json): string {
  return JSON.stringify(message, (_key, value: unknown) => (typeof value === 'string' ? wellFormed(value) : value));
}

const HEADING: Readonly<Record<string, string>> = {
  system: 'System',
  developer: 'Developer',
  user: 'User',
  assistant: 'Assistant',
  tool: 'Tool',
};

/** Readable Markdown: a heading a turn, calls and results fenced with more backticks than they hold. */
export async function* exportMarkdown(lines: Lines): AsyncGenerator<string> {
  let heading = '';
  for await (const line of lines) {
    let value: Json;
    try {
      value = JSON.parse(line) as Json;
    } catch {
      continue;
    }
    const view = viewMessage(value);
    const blocks: string[] = [];
    if (view.thinking !== '')
      blocks.push(
        view.thinking
          .split('\n')
          .map((text) => `> ${text}`)
          .join('\n'),
      );
    if (view.text !== '') blocks.push(view.text.trim());
    for (const call of view.toolCalls) blocks.push(`**${call.name}** \`${call.id}\`\n\n${fence(pretty(call.arguments), 'json')}`);
    for (const result of view.toolResults) blocks.push(`Result of \`${result.id}\`\n\n${fence(result.text, '')}`);
    if (blocks.length === 0) continue;
    const onlyResults = view.toolResults.length > 0 && view.text === '';
    const title = onlyResults ? 'Tool' : (HEADING[view.role] ?? view.role);
    if (title !== heading) blocks.unshift(`## ${title}`);
    heading = title;
    yield `${blocks.join('\n\n')}\n\n`;
  }
}

function fence(text: string, language: string): string {
  let longest = 2;
  for (const run of text.matchAll(/`{3,}/g)) longest = Math.max(longest, run[0].length);
  const mark = '`'.repeat(longest + 1);
  return `${mark}${language}\n${text}${text.endsWith('\n') || text === '' ? '' : '\n'}${mark}`;
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
