// ShareGPT: conversations[{from, value}].
import type { Converter, Draft, SourceFacts } from '../types.ts';
import { asObject, asText, chatCall, jsonText, recordEvent, toolMessage } from './common.ts';

const ROLE: Readonly<Record<string, string>> = {
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  chatgpt: 'assistant',
  system: 'system',
};

export const sharegpt: Converter = {
  format: 'sharegpt',
  facts: (): SourceFacts => ({}),
  key: () => undefined,
  time: () => undefined,

  convert(value): readonly Draft[] {
    const from = asText(value['from']);
    const role = ROLE[from];
    if (role !== undefined) return [{ file: 'messages', body: { role, content: jsonText(value['value']) } }];
    if (from === 'observation' || from === 'tool') return [toolMessage('', jsonText(value['value']))];
    if (from !== 'function_call') return [recordEvent(from === '' ? 'object' : `from.${from}`)];
    const call = parsed(value['value']);
    return [
      { file: 'messages', body: { role: 'assistant', content: '', tool_calls: [chatCall('', call['name'], call['arguments'] ?? {})] } },
    ];
  },
};

function parsed(value: unknown): Record<string, unknown> {
  try {
    return asObject(typeof value === 'string' ? JSON.parse(value) : value) ?? { name: 'function', arguments: jsonText(value) };
  } catch {
    return { name: 'function', arguments: jsonText(value) };
  }
}
