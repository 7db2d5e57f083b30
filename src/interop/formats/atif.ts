// ATIF (agent trajectory interchange): one document with steps.
import type { Converter, Draft, Json, SourceFacts } from '../types.ts';
import { asObject, asText, chatCall, objects, recordEvent, toolMessage } from './common.ts';

const ROLE: Readonly<Record<string, string>> = { user: 'user', agent: 'assistant', system: 'system' };

export const atif: Converter = {
  format: 'atif',

  facts(head): SourceFacts {
    const session = asText(head[0]?.['session_id']);
    return session === '' ? {} : { session };
  },

  key: () => undefined,
  time: (value) => (typeof value['timestamp'] === 'string' ? value['timestamp'] : undefined),

  convert(value): readonly Draft[] {
    const role = ROLE[asText(value['source'])];
    if (role === undefined) return [recordEvent('object')];
    const body: Json = { role, content: value['message'] ?? '' };
    if (typeof value['reasoning_content'] === 'string') body['reasoning_content'] = value['reasoning_content'];
    if (typeof value['model_name'] === 'string') body['model'] = value['model_name'];
    const calls = objects(value['tool_calls']);
    if (calls.length > 0)
      body['tool_calls'] = calls.map((call) => chatCall(call['tool_call_id'], call['function_name'], call['arguments'] ?? {}));
    const results = objects(asObject(value['observation'])?.['results']);
    return [
      { file: 'messages', body },
      ...results.map((result): Draft =>
        result['source_call_id'] === undefined || result['source_call_id'] === null
          ? { file: 'messages', body: { role: 'user', content: result['content'] ?? '' } }
          : toolMessage(result['source_call_id'], result['content']),
      ),
    ];
  },
};
