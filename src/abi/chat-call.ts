// What chat-completions endpoints take of a call: prompt.json and the OpenAI export write calls that way (PCK-8, INT-9).
// History holds what an agent wrote: names of other grammars, ids of any length, arguments that are no JSON.
import { createHash } from 'node:crypto';

const MOST_NAME = 64;
const MOST_ID = 40;

/** The name as `[a-zA-Z0-9_-]{1,64}`. */
export function chatName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_-]/gu, '_').slice(0, MOST_NAME) || 'tool';
}

/** The same id for a call and its result, at most 40 characters. */
export function chatId(id: string): string {
  if (id.length <= MOST_ID) return wellFormed(id);
  return `call_${createHash('sha256').update(id).digest('hex').slice(0, 32)}`;
}

/** The arguments as text of a JSON object; other text is its one field `input`. */
export function chatArguments(text: string): string {
  if (text.trim() === '') return '{}';
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return wellFormed(text);
  } catch {
    // Not JSON.
  }
  return JSON.stringify({ input: wellFormed(text) });
}

/** Half of a surrogate pair is no character: no UTF-8 says it, and JSON that escapes it is refused by many readers. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? text.replace(/\p{Surrogate}/gu, '\ufffd') : text;
}
