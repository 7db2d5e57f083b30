// pi: ~/.pi/agent/sessions/--<path>--/<ts>_<uuid>.jsonl, a header and entries in a tree.
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asArray, asObject, asText, chatCall, recordEvent, toolMessage } from './common.ts';

export const pi: Converter = {
  format: 'pi',

  facts(head): SourceFacts {
    const header = head[0] ?? {};
    const id = asText(header['id']);
    const cwd = asText(header['cwd']);
    const startedAt = asText(header['timestamp']);
    return { ...(id === '' ? {} : { session: id }), ...(cwd === '' ? {} : { cwd }), ...(startedAt === '' ? {} : { startedAt }) };
  },

  // Entry ids are short and files only grow: the position identifies an entry.
  key: () => undefined,
  time: (value) => (typeof value['timestamp'] === 'string' ? value['timestamp'] : undefined),

  convert(value): readonly Draft[] {
    const type = asText(value['type']);
    if (type === 'compaction' || type === 'branch_summary') {
      return [{ file: 'events', body: { type: 'import.compaction', record: type, summary: asText(value['summary']) } }];
    }
    const message = asObject(value['message']);
    if (type !== 'message' || message === undefined) return [recordEvent(type)];
    if (message['role'] === 'user') return [{ file: 'messages', body: { role: 'user', content: message['content'] ?? '' } }];
    if (message['role'] === 'toolResult') return [toolMessage(message['toolCallId'], message['content'], message['toolName'])];
    return message['role'] === 'assistant' ? [assistant(message)] : [recordEvent(`message.${asText(message['role'])}`)];
  },
};

function assistant(message: Json): Draft {
  const blocks = asArray(message['content']);
  const isCall = (block: unknown): boolean => asObject(block)?.['type'] === 'toolCall';
  const calls = blocks.filter(isCall).map((block) => {
    const call = block as Json;
    return chatCall(call['id'], call['name'], call['arguments'] ?? {});
  });
  const body: Json = {
    role: 'assistant',
    content: Array.isArray(message['content']) ? blocks.filter((block) => !isCall(block)) : (message['content'] ?? ''),
  };
  if (typeof message['model'] === 'string') body['model'] = message['model'];
  if (calls.length > 0) body['tool_calls'] = calls;
  return { file: 'messages', body };
}
