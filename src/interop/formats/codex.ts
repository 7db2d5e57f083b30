// Codex: rollout-*.jsonl. New form {timestamp, type, payload}; the old flat form has the payloads as lines.
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asObject, asText, chatCall, jsonText, recordEvent, toolMessage } from './common.ts';

export const codex: Converter = {
  format: 'codex',

  facts(head): SourceFacts {
    const first = head[0] ?? {};
    const meta = first['type'] === 'session_meta' ? (asObject(first['payload']) ?? {}) : first;
    const id = asText(meta['id']);
    const cwd = asText(meta['cwd']);
    const startedAt = asText(meta['timestamp']) || asText(first['timestamp']);
    return { ...(id === '' ? {} : { session: id }), ...(cwd === '' ? {} : { cwd }), ...(startedAt === '' ? {} : { startedAt }) };
  },

  key: () => undefined,
  time: (value) => (typeof value['timestamp'] === 'string' ? value['timestamp'] : undefined),

  convert(value): readonly Draft[] {
    const type = asText(value['type']);
    const payload = asObject(value['payload']);
    if (payload === undefined) return [item(value, '') ?? recordEvent(type || asText(value['record_type']) || 'meta')];
    if (type === 'response_item') return [item(payload, 'response_item.') ?? recordEvent(`response_item.${asText(payload['type'])}`)];
    if (type === 'compacted') {
      return [{ file: 'events', body: { type: 'import.compaction', record: 'compacted', summary: asText(payload['message']) } }];
    }
    const kind = asText(payload['type']);
    return [recordEvent(kind === '' ? type : `${type}.${kind}`)];
  },
};

const ROLES: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant']);

function item(payload: Json, prefix: string): Draft | undefined {
  switch (payload['type']) {
    case 'message': {
      if (!ROLES.has(payload['role'])) return undefined;
      return { file: 'messages', body: { role: payload['role'], content: payload['content'] ?? '' } };
    }
    case 'reasoning':
      // Opaque: encrypted_content must reach the provider again unchanged.
      return { file: 'messages', body: { role: 'assistant', content: [payload] } };
    case 'function_call':
      return call(payload, payload['name'], payload['arguments']);
    case 'custom_tool_call':
      return call(payload, payload['name'], jsonText({ input: payload['input'] ?? '' }));
    case 'local_shell_call':
      return call(payload, 'local_shell', payload['action']);
    case 'function_call_output':
    case 'custom_tool_call_output':
    case 'local_shell_call_output': {
      const output = payload['output'];
      const content = asObject(output)?.['content'];
      return toolMessage(payload['call_id'], typeof content === 'string' ? content : (output ?? ''));
    }
    case undefined:
      return undefined;
    default:
      return recordEvent(`${prefix}${asText(payload['type'])}`);
  }
}

function call(payload: Json, name: unknown, args: unknown): Draft {
  const id = payload['call_id'] ?? payload['id'];
  return { file: 'messages', body: { role: 'assistant', content: '', tool_calls: [chatCall(id, name, args)] } };
}
