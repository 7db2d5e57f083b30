// Gemini CLI: session-*.json (one document, rewritten at each change) and session-*.jsonl (records and controls).
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asArray, asObject, asText, chatCall, jsonText, objects, recordEvent, toolMessage } from './common.ts';

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
    if (value['$set'] !== undefined) return [recordEvent('$set')];
    switch (value['type']) {
      case 'user':
        return [{ file: 'messages', body: { role: 'user', content: parts(value['content']) } }];
      case 'gemini':
      case 'model':
        return turn(value);
      default:
        return [recordEvent(asText(value['type']) || 'header')];
    }
  },
};

/** Parts of the Gemini API ({text}) as text blocks. */
function parts(content: unknown): unknown {
  if (!Array.isArray(content)) return jsonText(content);
  return content.map((part) => {
    const text = asObject(part)?.['text'];
    return typeof text === 'string' && Object.keys(part as object).length === 1 ? { type: 'text', text } : (part as unknown);
  });
}

function turn(value: Json): readonly Draft[] {
  const body: Json = { role: 'assistant', content: parts(value['content']) };
  const thoughts = objects(value['thoughts']).map((thought) =>
    [asText(thought['subject']), asText(thought['description'])].filter(Boolean).join(': '),
  );
  if (thoughts.length > 0) body['reasoning_content'] = thoughts.join('\n');
  if (typeof value['model'] === 'string') body['model'] = value['model'];
  const calls = objects(value['toolCalls']);
  if (calls.length > 0) body['tool_calls'] = calls.map((call) => chatCall(call['id'], call['name'], call['args'] ?? {}));
  const drafts: Draft[] = [{ file: 'messages', body }];
  for (const call of calls) {
    if (call['result'] === undefined || call['result'] === null) continue;
    drafts.push(toolMessage(call['id'], resultText(call['result']), call['name']));
  }
  return drafts;
}

function resultText(result: unknown): string {
  if (!Array.isArray(result)) return jsonText(result);
  return asArray(result)
    .map((part) => {
      const response = asObject(asObject(asObject(part)?.['functionResponse'])?.['response']);
      if (response === undefined) return asText(asObject(part)?.['text']) || jsonText(part);
      const keys = Object.keys(response);
      const only = keys.length === 1 ? response[keys[0] ?? ''] : undefined;
      return typeof only === 'string' ? only : jsonText(response);
    })
    .join('\n');
}
