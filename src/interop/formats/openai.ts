// OpenAI chat: arrays, JSONL and objects with messages (requests, fine-tuning rows, tau-bench results).
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { objects, recordEvent, toolMessage } from './common.ts';

const ROLES: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant', 'tool']);

export const openai: Converter = {
  format: 'openai',
  facts: (): SourceFacts => ({}),
  key: () => undefined,
  time: () => undefined,

  convert(value): readonly Draft[] {
    if (ROLES.has(value['role'])) return [{ file: 'messages', body: value, verbatim: 'self' }];
    // The old function role answers by name; its calls have no id either.
    if (value['role'] === 'function') return [toolMessage(value['name'], value['content'], value['name'])];
    const inner = chatMessages(value);
    if (inner.length === 0) return [recordEvent(typeof value['role'] === 'string' ? `role.${value['role']}` : 'object')];
    return inner.flatMap((message): readonly Draft[] => (ROLES.has(message['role']) ? [{ file: 'messages', body: message }] : []));
  },
};

/** Messages inside one record: a request and its response in a log line. */
function chatMessages(value: Json): readonly Json[] {
  const list = objects(value['messages'] ?? value['traj']);
  const answers = objects(value['choices']).map((choice) => choice['message']);
  return [...list, ...objects(answers)];
}
