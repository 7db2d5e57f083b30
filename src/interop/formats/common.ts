// Small readings that several formats share.
import { jsonText as jsonOf } from '../../abi/records.ts';
import type { Draft, Json } from '../types.ts';

export function asObject(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

export function objects(value: unknown): readonly Json[] {
  return asArray(value)
    .map(asObject)
    .filter((item) => item !== undefined);
}

/** A string as it is, anything else as JSON text, nothing as an empty string. */
export function jsonText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : jsonOf(value);
}

/** INT-4: a record that is no message becomes an event that holds it whole. */
export function recordEvent(record: string): Draft {
  return { file: 'events', body: { type: 'import.record', record }, verbatim: 'value' };
}

/** One call in the chat-completions shape. */
export function chatCall(id: unknown, name: unknown, args: unknown): Json {
  return { id: jsonText(id), type: 'function', function: { name: jsonText(name), arguments: jsonText(args) } };
}

export function toolMessage(id: unknown, content: unknown, name?: unknown): Draft {
  const body: Json = { role: 'tool', tool_call_id: jsonText(id), content: content ?? '' };
  if (typeof name === 'string') body['name'] = name;
  return { file: 'messages', body };
}
