// Laws of the pack over transcripts that people and agents really wrote, at budgets from tiny to none.
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { viewMessage } from '../../src/abi/records.ts';
import type { MessageView } from '../../src/abi/records.ts';
import { bytesSource, JournalImportState, planImport } from '../../src/interop/index.ts';
import { services, TestSession } from './session-fixture.ts';

const root = new URL('../../', import.meta.url);
const FILES = [
  'samples/dockd.jsonl',
  ...readdirSync(new URL('test/fixtures/transcripts', root))
    .filter((name) => name !== 'latin1.txt')
    .map((name) => `test/fixtures/transcripts/${name}`),
];
const counter = services.counter('o200k_base');
const open: TestSession[] = [];
afterEach(async () => {
  for (const made of open.splice(0)) await made.end();
});
afterAll(() => services.close());

interface Pack {
  budget_tokens: number;
  tokens: number;
  prompt_tokens: number;
  items: { kind: string; source: string; range?: string; role?: string; form?: string; for?: string }[];
  left_out: { source: string; range?: string; reason: string }[];
}
interface Prompt {
  role: string;
  content: string | null;
  tool_call_id?: string;
  tool_calls?: { id: string; function: { name: string; arguments: string } }[];
}

async function imported(file: string): Promise<{ s: TestSession; views: MessageView[] }> {
  const s = new TestSession();
  open.push(s);
  const views: MessageView[] = [];
  for await (const line of planImport(bytesSource(file, readFileSync(new URL(file, root))), new JournalImportState())) {
    const record = JSON.parse(line.line) as Record<string, unknown>;
    if (line.file === 'events') s.event(record);
    else {
      s.append(record);
      views.push(viewMessage(record));
    }
  }
  return { s, views };
}

function linesOf(range: string | undefined): number[] {
  const [first = 0, last = first] = (range ?? '').split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}

describe.each(FILES)('%s', (file) => {
  test('at every budget: valid prompt, nothing blank, newest request word for word, each line packed or left out', async () => {
    const { s, views } = await imported(file);
    const asked = views.findLastIndex((view) => view.role === 'user' && view.text.trim() !== '');
    for (const budget of [500, 900, 2000, 8000, 32_000, 200_000, 0]) {
      s.put('context/budget', `${budget}\n`);
      const pack = JSON.parse(await s.read('pack.json')) as Pack;
      const md = await s.read('pack.md');
      const prompt = JSON.parse(await s.read('prompt.json')) as Prompt[];
      expect(pack.tokens).toBe(counter.count(md));
      if (budget > 0) expect(Math.max(pack.tokens, pack.prompt_tokens)).toBeLessThanOrEqual(budget);
      for (let at = 0; at < prompt.length; at += 1) {
        const message = prompt[at] as Prompt;
        expect(['system', 'developer', 'user', 'assistant']).toContain(message.role);
        if (message.tool_calls === undefined) {
          expect((message.content ?? '').trim()).not.toBe('');
          continue;
        }
        const ids = message.tool_calls.map((call) => call.id);
        for (const call of message.tool_calls) expect(() => JSON.parse(call.function.arguments) as unknown).not.toThrow();
        expect(prompt.slice(at + 1, at + 1 + ids.length).map((result) => result.tool_call_id)).toEqual(ids);
        at += ids.length;
      }
      // Where it came from is no content.
      expect(md).not.toContain('import_id');
      const said = views[asked]?.text ?? '';
      if (budget === 0 || counter.count(said) + 64 < budget) expect(prompt.some((message) => message.content === said)).toBe(said !== '');
      const seen = new Set(
        [...pack.items, ...pack.left_out].filter((entry) => entry.source === 'messages.jsonl').flatMap((entry) => linesOf(entry.range)),
      );
      expect([budget, views.map((_, n) => n + 1).filter((line) => !seen.has(line))]).toEqual([budget, []]);
      const shown = new Set(pack.items.filter((item) => item.source === 'messages.jsonl').flatMap((item) => linesOf(item.range)));
      expect(pack.left_out.filter((entry) => linesOf(entry.range).some((line) => shown.has(line)))).toEqual([]);
    }
  });
});

test('a line of white space or of thinking only is not packed', async () => {
  const s = new TestSession();
  open.push(s);
  s.append({ role: 'user', content: 'Fix the test.' });
  s.append({ role: 'assistant', content: [{ type: 'text', text: '\n\n' }] });
  s.append({
    role: 'assistant',
    content: [
      { type: 'text', text: '\n' },
      { type: 'tool_use', id: 'c1', name: 'ls', input: {} },
    ],
  });
  s.append({ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', content: 'a.ts' }] });
  const prompt = JSON.parse(await s.read('prompt.json')) as Prompt[];
  expect(prompt.map(({ role, content }) => [role, content])).toEqual([
    ['user', 'Fix the test.'],
    ['assistant', null],
    ['tool', 'a.ts'],
  ]);
  const pack = JSON.parse(await s.read('pack.json')) as Pack;
  expect(pack.left_out).toEqual([{ source: 'messages.jsonl', range: '2', reason: 'only reasoning or no text' }]);
});

test('a tool result in a user message is recalled as a tool, and one that repeats once', async () => {
  const s = new TestSession({ 'context/budget': '900\n' });
  open.push(s);
  s.append({ role: 'user', content: 'Please keep a list of the migration steps.' });
  for (let n = 0; n < 4; n += 1) {
    s.append({ role: 'assistant', content: [{ type: 'tool_use', id: `t${n}`, name: 'TodoWrite', input: { todos: [] } }] });
    s.append({ role: 'user', content: [{ type: 'tool_result', tool_use_id: `t${n}`, content: 'The migration list was updated.' }] });
    for (let m = 0; m < 12; m += 1)
      s.append({ role: 'assistant', content: `Gardens, rivers and bicycles, number ${n}.${m}, and more of it.` });
  }
  s.append({ role: 'user', content: 'Was the migration list updated?' });
  const md = await s.read('pack.md');
  expect(md).toContain('\ntool: The migration list was updated.');
  expect(md.split('\ntool: The migration list was updated.').length).toBe(2);
});

test('thanks alone recall nothing; thanks with a question do', async () => {
  const s = new TestSession({ 'context/budget': '900\n' });
  open.push(s);
  s.append({ role: 'user', content: 'Thank you for the help with the harbour gate, its code is 4711.' });
  for (let n = 0; n < 60; n += 1) s.append({ role: 'assistant', content: `Gardens, rivers and bicycles, number ${n}, and more of it.` });
  s.append({ role: 'user', content: 'Thank you for your help! ###STOP###' });
  expect((JSON.parse(await s.read('pack.json')) as Pack).items.filter((item) => item.for === 'messages:62')).toEqual([]);
  s.append({ role: 'user', content: 'Thanks, now tell me the code of the harbour gate.' });
  expect(await s.read('pack.md')).toContain('its code is 4711');
});
