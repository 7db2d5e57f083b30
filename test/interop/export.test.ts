import { describe, expect, test } from 'vitest';
import { exportMarkdown, exportOpenAi, exportOpenAiLines, NO_RESULT } from '../../src/interop/index.ts';
import { CASES, fixture, imported } from './session-lines.ts';

interface Chat {
  readonly role: string;
  readonly content: unknown;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }[];
  readonly tool_call_id?: string;
}

async function text(pieces: AsyncIterable<string>): Promise<string> {
  let all = '';
  for await (const piece of pieces) all += piece;
  return all;
}

async function chat(lines: readonly string[]): Promise<readonly Chat[]> {
  return JSON.parse(await text(exportOpenAi(lines))) as Chat[];
}

/** What the API demands: each call answered, once, right after its message; every tool message answers. */
function faults(messages: readonly Chat[]): string[] {
  const found: string[] = [];
  let open: string[] = [];
  for (const message of messages) {
    if (message.role === 'tool') {
      if (!open.includes(message.tool_call_id ?? '')) found.push(`stray result ${message.tool_call_id ?? ''}`);
      open = open.filter((id) => id !== message.tool_call_id);
      continue;
    }
    if (open.length > 0) found.push(`unanswered ${open.join()}`);
    open = (message.tool_calls ?? []).map((call) => call.id);
    for (const call of message.tool_calls ?? []) JSON.parse(call.function.arguments);
    if (message.role === 'assistant' && message.content === null && open.length === 0) found.push('empty assistant message');
  }
  return open.length > 0 ? [...found, `unanswered ${open.join()}`] : found;
}

describe('OpenAI chat', () => {
  test('names, ids and arguments of other grammars become ones that the API takes', async () => {
    const call = (id: string, name: string, args: string): unknown => ({ id, type: 'function', function: { name, arguments: args } });
    const messages = await chat([
      JSON.stringify({ role: 'user', content: 'half \ud800' }),
      JSON.stringify({ role: 'assistant', tool_calls: [call('', 'a.b', 'text'), call('x'.repeat(50), '', '')] }),
      JSON.stringify({ role: 'tool', tool_call_id: '', content: 'one' }),
      JSON.stringify({ role: 'tool', tool_call_id: 'x'.repeat(50), content: 'two' }),
      JSON.stringify({ role: 'assistant', tool_calls: [call('', 'c', '{}')] }),
      JSON.stringify({ role: 'assistant', tool_calls: [{ id: 'k', type: 'custom', custom: { name: 'patch', input: 'i' } }] }),
    ]);
    expect(faults(messages)).toEqual([]);
    const calls = messages.flatMap((message) => message.tool_calls ?? []);
    expect(calls.map((each) => [each.function.name, each.function.arguments])).toEqual([
      ['a_b', '{"input":"text"}'],
      ['tool', '{}'],
      ['c', '{}'],
      ['patch', '{"input":"i"}'],
    ]);
    expect(calls.map(({ id }) => id)).toEqual(['call_1', expect.stringMatching(/^call_[0-9a-f]{32}$/), 'call_2', 'k']);
    expect(messages.filter((message) => message.role === 'tool').map((message) => message.content)).toEqual([
      'one',
      'two',
      NO_RESULT,
      NO_RESULT,
    ]);
    expect(messages[0]?.content).toBe('half \ufffd');
  });

  test.each(CASES)('%s exports to a sequence that the API takes', async (name, path) => {
    const session = await imported(name, path);
    const messages = await chat(session.messages);
    expect(faults(messages)).toEqual([]);
    expect(messages.length).toBeGreaterThan(0);
  });

  test('chat in is chat out', async () => {
    const session = await imported('openai-array.json', '/x.json');
    const strip = (messages: readonly Chat[]): unknown =>
      messages.map(({ role, content, tool_calls, tool_call_id }) => ({ role, content, tool_calls, tool_call_id }));
    expect(strip(await chat(session.messages))).toEqual(strip(JSON.parse(fixture('openai-array.json').toString()) as Chat[]));
  });

  test('records of one model call become one message with all its calls', async () => {
    const session = await imported('claude-code.jsonl', '/x.jsonl');
    const messages = await chat(session.messages);
    expect(messages.map((message) => message.role)).toEqual([
      'user',
      'assistant',
      'tool',
      'tool',
      'assistant',
      'tool',
      'user',
      'assistant',
    ]);
    expect(messages[1]?.tool_calls?.map((call) => call.function.name)).toEqual(['Read', 'Grep']);
    expect(messages[6]?.content).toMatchObject([{ type: 'text' }, { type: 'image_url' }]);
  });

  test('a call without a result gets one that says so; a result without its call is kept as text', async () => {
    const messages = await chat([
      '{"role":"assistant","content":"","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}',
      '{"role":"user","content":"stop"}',
      '{"role":"tool","tool_call_id":"zz","content":"late"}',
    ]);
    expect(faults(messages)).toEqual([]);
    expect(messages[1]).toEqual({ role: 'tool', tool_call_id: 'a', content: NO_RESULT });
    expect(messages[3]).toEqual({ role: 'user', content: '[result of zz]\nlate' });
  });

  test('an empty history is an empty array', async () => {
    expect(await chat([])).toEqual([]);
  });

  test('JSONL has the same messages', async () => {
    const session = await imported('rollout-codex.jsonl', '/x.jsonl');
    const lines = (await text(exportOpenAiLines(session.messages))).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as Chat)).toEqual(await chat(session.messages));
  });
});

test('Markdown: turns, calls and results, fences longer than any inside', async () => {
  const markdown = await text(
    exportMarkdown([
      '{"role":"user","content":"show it"}',
      '{"role":"assistant","content":[{"type":"text","text":"Here."},{"type":"tool_use","id":"t1","name":"Read","input":{"path":"a.md"}}]}',
      '{"role":"tool","tool_call_id":"t1","content":"````\\ncode\\n````"}',
    ]),
  );
  expect(markdown).toBe(
    '## User\n\nshow it\n\n## Assistant\n\nHere.\n\n**Read** `t1`\n\n```json\n{\n  "path": "a.md"\n}\n```\n\n## Tool\n\nResult of `t1`\n\n`````\n````\ncode\n````\n`````\n\n',
  );
});
