import { afterEach, describe, expect, test } from 'vitest';
import { parseBlocks } from '../../src/context/render.ts';
import { services, TestSession } from './session-fixture.ts';

const open: TestSession[] = [];
function session(controls: Readonly<Record<string, string>> = {}): TestSession {
  const made = new TestSession(controls);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.end();
});

interface PackJson {
  session: string;
  agent: string;
  budget_tokens: number;
  tokens: number;
  prompt_tokens: number;
  items: { kind: string; source: string; range?: string; tokens: number; digest: string; form?: string }[];
  epoch: { cut: number; id: string };
}

describe('the pack of a small session', () => {
  test('pinned files come first and messages follow in order', async () => {
    const s = session({ 'context/pinned/system.md': 'You are terse.\n' });
    s.append({ role: 'user', content: 'hello' });
    s.append({ role: 'assistant', content: 'hi' });
    const pack = JSON.parse(await s.read('pack.json')) as PackJson;
    expect(pack).toMatchObject({ session: 'default', agent: 'coder', budget_tokens: 32000 });
    expect(pack.items.map((item) => [item.kind, item.source, item.range])).toEqual([
      ['system', 'context/pinned/system.md', undefined],
      ['recent_messages', 'messages.jsonl', '1'],
      ['recent_messages', 'messages.jsonl', '2'],
    ]);
    const md = await s.read('pack.md');
    expect(parseBlocks(md).map((item) => item.body)).toEqual(['You are terse.', 'hello', 'hi']);
    expect(pack.tokens).toBe(services.counter('o200k_base').count(md));
    expect(JSON.parse(await s.read('prompt.json'))).toEqual([
      { role: 'system', content: '<system context/pinned/system.md>\nYou are terse.\n</system>\n' },
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'hi' },
    ]);
  });

  test('an empty session has an empty pack', async () => {
    const s = session();
    expect((JSON.parse(await s.read('pack.json')) as PackJson).items).toEqual([]);
    expect(await s.read('pack.md')).toBe('');
    expect(await s.read('prompt.json')).toBe('[]\n');
  });

  test('a small budget cuts, keeps the newest and stays within itself', async () => {
    const s = session({ 'context/budget': '600\n' });
    for (let n = 1; n <= 200; n++) {
      s.append({
        role: n % 2 === 1 ? 'user' : 'assistant',
        content: `message number ${n}: ${'the quick brown fox jumps over the lazy dog '.repeat(n % 5)}`,
      });
      if (n % 17 === 0) {
        const pack = JSON.parse(await s.read('pack.json')) as PackJson;
        expect(pack.tokens).toBeLessThanOrEqual(600);
        expect(pack.prompt_tokens).toBeLessThanOrEqual(600);
        expect(pack.items.at(-1)?.range).toBe(`${n}`);
      }
    }
    const lazy = [
      await s.read('pack.json'),
      await s.read('pack.md'),
      await s.read('prompt.json'),
      await s.read('summary.md'),
      await s.read('swap/index.jsonl'),
    ];
    await s.reopen(true);
    const scratch = [
      await s.read('pack.json'),
      await s.read('pack.md'),
      await s.read('prompt.json'),
      await s.read('summary.md'),
      await s.read('swap/index.jsonl'),
    ];
    expect(scratch).toEqual(lazy);
    await s.reopen(false);
    expect([await s.read('pack.json'), await s.read('pack.md'), await s.read('prompt.json')]).toEqual(lazy.slice(0, 3));
  });
});
