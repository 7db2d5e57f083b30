// Gemini CLI: session-*.json (one document, rewritten at each change) and session-*.jsonl (records and controls).
// A turn is written again as it grows (text, then each call, then each result): so each of these is a message of its own.
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asObject, asText, chatCall, jsonText, objects, recordEvent, toolMessage } from './common.ts';

export const gemini: Converter = {
  format: 'gemini',

  facts(head): SourceFacts {
    const header = head.find((value) => typeof value['sessionId'] === 'string') ?? {};
    const session = asText(header['sessionId']);
    const startedAt = asText(header['startTime']);
    return { ...(session === '' ? {} : { session }), ...(startedAt === '' ? {} : { startedAt }) };
  },

  key: (value) => (typeof value['id'] === 'string' ? value['id'] : undefined),
  time: (value) => (typeof value['timestamp'] === 'string' ? value['timestamp'] : undefined),

  convert(value): readonly Draft[] {
    if (value['$rewindTo'] !== undefined) {
      return [{ file: 'events', body: { type: 'import.rewind', to: value['$rewindTo'] }, verbatim: 'value' }];
    }
    if (value['$set'] !== undefined) return [recordEvent('$set'), ...snapshot(objects(asObject(value['$set'])?.['messages']))];
    const said = messages(value);
    return said.length > 0 ? said : [recordEvent(isTurn(value) ? 'empty' : asText(value['type']) || 'header')];
  },
};

/** The conversation as it now is, written anew (compressed, masked): what was said before stays, only new messages count. */
function snapshot(all: readonly Json[]): readonly Draft[] {
  const calls = new Set(all.flatMap((value) => objects(value['toolCalls']).map((call) => call['id'])));
  return all.flatMap((value) => {
    const key = gemini.key(value);
    if (key === undefined) return [];
    // Results come once more as a user's turn of their own.
    const fresh = messages(value).filter(
      ({ body }) => body['role'] !== 'tool' || value['type'] !== 'user' || !calls.has(body['tool_call_id']),
    );
    return fresh.map((draft) => ({ ...draft, key }));
  });
}

function isTurn(value: Json): boolean {
  return ['user', 'gemini', 'model'].includes(asText(value['type']));
}

function messages(value: Json): readonly Draft[] {
  if (!isTurn(value)) return [];
  const parts = Array.isArray(value['content']) ? objects(value['content']) : [];
  const results = parts.map((part) => asObject(part['functionResponse'])).filter((response) => response !== undefined);
  const answers = results.map((response) => toolMessage(response['id'], responseText(response['response']), response['name']));
  const content = plain(value['content']);
  if (value['type'] === 'user') return content === '' && answers.length > 0 ? answers : [...answers, message({ role: 'user', content })];
  return [...turn(value, content, parts), ...answers];
}

function message(body: Json): Draft {
  return { file: 'messages', body };
}

/** Text alone as text; parts of the Gemini API otherwise, without the calls and results that are messages of their own. */
function plain(content: unknown): unknown {
  if (!Array.isArray(content)) return jsonText(content);
  const kept = (content as readonly unknown[]).filter((part) => {
    const fields = asObject(part);
    return fields?.['functionCall'] === undefined && fields?.['functionResponse'] === undefined;
  });
  const texts = kept.map((part) => {
    const text = asObject(part)?.['text'];
    return typeof text === 'string' && Object.keys(part as object).length === 1 ? text : undefined;
  });
  if (texts.every((text) => text !== undefined)) return texts.join('');
  return kept.map((part, index) => (texts[index] === undefined ? part : { type: 'text', text: texts[index] }));
}

function turn(value: Json, content: unknown, parts: readonly Json[]): readonly Draft[] {
  const about: Json = {};
  if (typeof value['id'] === 'string') about['id'] = value['id'];
  if (typeof value['model'] === 'string') about['model'] = value['model'];
  const thoughts = objects(value['thoughts']).map((thought) =>
    [asText(thought['subject']), asText(thought['description'])].filter(Boolean).join(': '),
  );
  const recorded = objects(value['toolCalls']);
  const known = new Set(recorded.map((call) => call['id']));
  const asked = parts.map((part) => asObject(part['functionCall'])).filter((call) => call !== undefined && !known.has(call['id']));
  const calls = [...recorded, ...asked.filter((call) => call !== undefined)];
  const drafts: Draft[] = [];
  if (content !== '' || thoughts.length > 0 || calls.length === 0) {
    const reasoning = thoughts.length > 0 ? { reasoning_content: thoughts.join('\n') } : {};
    drafts.push(message({ role: 'assistant', content, ...reasoning, ...about }));
  }
  for (const call of calls) {
    const made = chatCall(call['id'], call['name'], call['args'] ?? {});
    drafts.push(message({ role: 'assistant', content: '', tool_calls: [made], ...about }));
  }
  for (const call of recorded) {
    if (call['result'] === undefined || call['result'] === null) continue;
    drafts.push(toolMessage(call['id'], resultText(call['result']), call['name']));
  }
  return drafts;
}

function resultText(result: unknown): string {
  if (!Array.isArray(result)) return jsonText(result);
  return (result as readonly unknown[])
    .map((part) => {
      const response = asObject(asObject(part)?.['functionResponse'])?.['response'];
      return response === undefined ? asText(asObject(part)?.['text']) || jsonText(part) : responseText(response);
    })
    .join('\n');
}

/** What a function gave back: the one text that it holds, or all of it. */
function responseText(response: unknown): string {
  const fields = Object.values(asObject(response) ?? {});
  return fields.length === 1 && typeof fields[0] === 'string' ? fields[0] : jsonText(response);
}
