// SWE-agent .traj: one document; `history` is the conversation, `trajectory` the same as steps.
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asArray, asText, objects, recordEvent } from './common.ts';

const ROLES: ReadonlySet<unknown> = new Set(['system', 'developer', 'user', 'assistant', 'tool']);

export const sweAgent: Converter = {
  format: 'swe-agent',
  facts: (): SourceFacts => ({}),
  key: () => undefined,
  time: () => undefined,

  convert(value): readonly Draft[] {
    if (!ROLES.has(value['role'])) return 'action' in value && 'observation' in value ? step(value) : [recordEvent('object')];
    const body: Json = { role: value['role'], content: value['content'] ?? '' };
    if (objects(value['tool_calls']).length > 0) body['tool_calls'] = value['tool_calls'];
    const answered = asArray(value['tool_call_ids'])[0];
    if (value['role'] === 'tool') body['tool_call_id'] = asText(answered ?? value['tool_call_id']);
    return [{ file: 'messages', body }];
  },
};

/** Older files have steps only: the response holds thought and action, the observation answers. */
function step(value: Json): readonly Draft[] {
  return [
    { file: 'messages', body: { role: 'assistant', content: asText(value['response']) || asText(value['action']) } },
    { file: 'messages', body: { role: 'user', content: asText(value['observation']) } },
  ];
}
