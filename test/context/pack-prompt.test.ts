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

  test('PCK-22 a call of any spelling is one that an endpoint takes', () => {
    const long = 'run_shell_command-1769999999999-0a1b2c3d4e5f6';
    const odd = (id: string, name: string, args: unknown): unknown => ({ id, type: 'function', function: { name, arguments: args } });
    const lines = [
      {
        role: 'assistant',
        content: null,
        tool_calls: [odd('a', 'functions.exec', 'no json'), odd(long, 'x'.repeat(100), '[1]'), odd('', 'über', '{"a":1}')],
      },
      result('a', 'one'),
      result(long, 'two'),
      result('', 'three'),
      { role: 'assistant', tool_calls: [{ id: 'c', type: 'custom', custom: { name: 'apply_patch', input: '*** Begin' } }] },
      result('c', 'patched'),
      { role: 'assistant', content: null, function_call: { name: 'old', arguments: '{}' } },
      result('old', 'as before'),
    ];
    const prompt = promptOf(lines) as { tool_calls?: { id: string; function: { name: string; arguments: string } }[]; content: string }[];
    const calls = prompt.flatMap((message) => message.tool_calls ?? []);
    expect(calls.map((each) => [each.function.name, each.function.arguments])).toEqual([
      ['functions_exec', '{"input":"no json"}'],
      ['x'.repeat(64), '{"input":"[1]"}'],
      ['_ber', '{"a":1}'],
      ['apply_patch', '{"input":"*** Begin"}'],
      ['old', '{}'],
    ]);
    expect(calls.every(({ id }) => id.length > 0 && id.length <= 40)).toBe(true);
    expect(prompt.filter((message) => message.tool_calls === undefined).map((message) => message.content)).toEqual([
      'one',
      'two',
      'three',
      'patched',
      'as before',
    ]);
  });

  test('PCK-22 half of a surrogate pair never reaches an endpoint', () => {
    const half = '\ud800';
    const prompt = promptOf([
      { role: 'user', content: `a${half}` },
      `b${half}`,
      { role: 'assistant', tool_calls: [{ id: half, type: 'function', function: { name: half, arguments: half } }] },
      result(half, half),
    ]);
    expect(JSON.stringify(prompt)).not.toMatch(/\\u[dD][89a-fA-F]/);
    expect(prompt).toHaveLength(4);
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
