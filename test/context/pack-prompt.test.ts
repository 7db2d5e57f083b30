import { describe, expect, test } from 'vitest';
import { viewMessage } from '../../src/abi/records.ts';
import { renderLine } from '../../src/context/pack-line.ts';
import { MISSING_RESULT, PromptFold } from '../../src/context/pack-prompt.ts';
import { openCounter } from '../../src/tokens/counter.ts';

const counter = openCounter('o200k_base');
const limits = { messageTokens: Infinity, outputTokens: Infinity };

/** prompt.json after these lines; a string is a note. */
function promptOf(lines: readonly (Record<string, unknown> | string)[]): unknown[] {
  const fold = new PromptFold(counter);
  lines.forEach((line, n) => {
    if (typeof line === 'string') fold.note('system', line);
    else
      fold.line(renderLine({ line: n + 1, bytes: Buffer.from(JSON.stringify(line)), view: viewMessage(line) }, limits, counter, undefined));
  });
  return fold.take().messages.map((text) => JSON.parse(text) as unknown);
}
const call = (id: string): Record<string, unknown> => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id, type: 'function', function: { name: 'ls', arguments: '{}' } }],
});
const result = (id: string, content = 'ok'): Record<string, unknown> => ({ role: 'tool', tool_call_id: id, content });

describe('prompt.json', () => {
  test('a call waits for its result, and both come together', () => {
    expect(promptOf([{ role: 'user', content: 'go' }, call('a')])).toEqual([{ role: 'user', content: 'go' }]);
    expect(promptOf([call('a'), result('a')])).toMatchObject([
      { role: 'assistant', tool_calls: [{ id: 'a' }] },
      { role: 'tool', tool_call_id: 'a', content: 'ok' },
    ]);
  });

  test('calls on several lines become one message, with results in the order of the calls', () => {
    expect(promptOf([{ role: 'assistant', content: 'both' }, call('a'), call('b'), result('b', 'B'), result('a', 'A')])).toMatchObject([
      { role: 'assistant', content: 'both' },
      { role: 'assistant', tool_calls: [{ id: 'a' }, { id: 'b' }] },
      { role: 'tool', content: 'A' },
      { role: 'tool', content: 'B' },
    ]);
  });

  test('a call without result says so when something else comes', () => {
    expect(promptOf([call('a'), { role: 'user', content: 'stop' }])).toMatchObject([
      { role: 'assistant' },
      { role: 'tool', content: MISSING_RESULT },
      { role: 'user', content: 'stop' },
    ]);
  });

  test('a note never comes between a call and its result', () => {
    expect(promptOf([call('a'), 'child finished', result('a')])).toMatchObject([
      { role: 'assistant' },
      { role: 'tool' },
      { role: 'system', content: 'child finished' },
    ]);
  });

  test('a result whose call is not in the pack is no tool message', () => {
    expect(promptOf([result('gone', 'late')])).toEqual([{ role: 'user', content: '[result of an earlier call gone]\nlate' }]);
  });

  test('Anthropic blocks: results first, then what the user wrote beside them', () => {
    expect(
      promptOf([
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm' },
            { type: 'text', text: 'reading' },
            { type: 'tool_use', id: 't1', name: 'read', input: { f: 'x' } },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'data' }] },
            { type: 'text', text: 'thanks' },
          ],
        },
      ]),
    ).toEqual([
      {
        role: 'assistant',
        content: 'reading',
        tool_calls: [{ id: 't1', type: 'function', function: { name: 'read', arguments: '{"f":"x"}' } }],
      },
      { role: 'tool', tool_call_id: 't1', content: 'data' },
      { role: 'user', content: 'thanks' },
    ]);
  });
});
