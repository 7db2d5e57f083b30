// A power cut takes lines that were not on the disk yet and leaves a cache that was made of them: nothing of it may be served.
import fc from 'fast-check';
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import { services, TestSession } from './session-fixture.ts';

afterAll(() => services.close());

const FILES = [
  'pack.json',
  'pack.md',
  'prompt.json',
  'summary.md',
  'facts.jsonl',
  'decisions.jsonl',
  'todo.md',
  'refs.jsonl',
  'swap/index.jsonl',
  'dedup/index.jsonl',
];
const CONTROLS = { 'context/budget': '1200\n' };

function say(session: TestSession, word: string, n: number): void {
  const role = n % 2 === 0 ? 'user' : 'assistant';
  session.append({ role, content: `${word} ${n}: remember that the ${word}${n % 7} belongs on shelf ${n}. TODO: move ${word}${n % 5}?` });
  if (n % 9 === 0) session.event({ type: 'context.decision', decision: `use ${word}${n}`, from: `messages:${n}` });
}

/** Everything that is derived, and what a search for each word finds. */
async function all(session: TestSession): Promise<Record<string, string>> {
  const read: Record<string, string> = {};
  for (const name of FILES) read[name] = await session.read(name);
  for (const word of ['kettle', 'violin', 'harbor3'])
    read[`search ${word}`] = JSON.stringify(await session.deriver.search(word, 400, session.revision));
  return read;
}

async function equalsRebuild(session: TestSession): Promise<Record<string, string>> {
  const lazy = await all(session);
  await session.reopen(true);
  expect(await all(session)).toEqual(lazy);
  return lazy;
}

/** Byte offset of the end of line n. */
function endOf(session: TestSession, file: 'messages.jsonl' | 'events.jsonl', lines: number): number {
  const bytes = readFileSync(join(session.directory, file));
  let end = 0;
  for (let line = 0; line < lines; line += 1) end = bytes.indexOf(10, end) + 1;
  return end;
}

describe('DRV-10', () => {
  test.each([
    ['block records', /^blocks\./],
    ['the search index', /^recall$/],
    ['contributions', /^contributions/],
    ['the checkpoint', /^(?:checkpoint|blocks\.)/],
    ['memos and what they name', /^(?:memos|epochs|out)/],
    ['all of it', /./],
  ])('DRV-10 after history was cut back and went on otherwise, %s of before is not served', async (_, kept) => {
    const session = new TestSession(CONTROLS);
    try {
      for (let n = 1; n <= 200; n += 1) say(session, n <= 100 ? 'harbor' : 'kettle', n);
      await all(session);
      await session.cut({ messages: endOf(session, 'messages.jsonl', 100), events: endOf(session, 'events.jsonl', 11) });
      const cache = join(session.directory, 'context/.cache');
      for (const name of readdirSync(cache)) if (!kept.test(name)) rmSync(join(cache, name), { recursive: true });
      for (let n = 101; n <= 200; n += 1) say(session, 'violin', n);
      // The new lines are recorded, and the daemon ends before it writes a cache: there is as much history as before.
      cpSync(cache, `${cache}-before`, { recursive: true });
      session.deriver = session.open();
      await session.deriver.settle(session.revision);
      await session.deriver.close();
      rmSync(cache, { recursive: true });
      renameSync(`${cache}-before`, cache);
      session.deriver = session.open();
      const read = await equalsRebuild(session);
      expect(JSON.parse(read['search kettle'] as string)).toEqual([]);
      expect((JSON.parse(read['search violin'] as string) as unknown[]).length).toBe(100);
      expect(read['decisions.jsonl']).not.toContain('kettle');
      expect(read['decisions.jsonl']).toContain('violin');
    } finally {
      await session.end();
    }
  });

  test('DRV-10 what was made of the lines that are still there is kept', async () => {
    const session = new TestSession(CONTROLS);
    try {
      for (let n = 1; n <= 300; n += 1) {
        say(session, 'harbor', n);
        // As many order records as this: a cut takes whole ones.
        if (n % 10 === 0) session.notify();
      }
      await all(session);
      const blocks = join(session.directory, 'context/.cache/blocks.at');
      const { size } = statSync(blocks);
      const first = readFileSync(blocks).subarray(0, size / 4);
      await session.cut({ messages: endOf(session, 'messages.jsonl', 150), events: endOf(session, 'events.jsonl', 16) });
      session.deriver = session.open();
      expect(readFileSync(blocks).equals(Buffer.concat([first, readFileSync(blocks).subarray(first.length, size / 2)]))).toBe(true);
      expect(statSync(blocks).size).toBe(size / 2);
      await equalsRebuild(session);
    } finally {
      await session.end();
    }
  });

  test('DRV-10 a copied session shows itself, not the one it was copied from', async () => {
    const session = new TestSession(CONTROLS);
    try {
      for (let n = 1; n <= 20; n += 1) say(session, 'harbor', n);
      await all(session);
      await session.reopen();
      const directory = join(session.directory, '../copied');
      cpSync(session.directory, directory, { recursive: true });
      const copy = openSessionDeriver(directory, services);
      const pack = async (): Promise<{ readonly session: string }> =>
        JSON.parse(readContent(await copy.fetch('pack.json', session.revision)).toString()) as { readonly session: string };
      try {
        expect((await pack()).session).toBe('copied');
      } finally {
        await copy.close();
      }
    } finally {
      await session.end();
    }
  });

  test('DRV-10 law: cut anywhere and go on = rebuild from scratch', async () => {
    const steps = fc.record({
      before: fc.integer({ min: 1, max: 220 }),
      reads: fc.boolean(),
      messages: fc.double({ min: 0, max: 1, noNaN: true }),
      events: fc.double({ min: 0, max: 1, noNaN: true }),
      order: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      after: fc.integer({ min: 0, max: 220 }),
      notified: fc.integer({ min: 1, max: 60 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 2 }), async (rounds) => {
        const session = new TestSession(CONTROLS);
        try {
          for (const [round, { before, reads, messages, events, order, after, notified }] of rounds.entries()) {
            const word = ['harbor', 'kettle', 'violin'][round % 3] as string;
            for (let n = 1; n <= before; n += 1) {
              say(session, word, n);
              if (n % notified === 0) session.notify();
            }
            await (reads ? all(session) : session.read('pack.json'));
            const size = (file: string): number => statSync(join(session.directory, file)).size;
            // Any byte: a torn line is set aside.
            await session.cut({
              messages: Math.floor(messages * size('messages.jsonl')),
              events: Math.floor(events * size('events.jsonl')),
              ...(order === null ? {} : { order: Math.floor(order * size('order.log')) }),
            });
            for (let n = 1; n <= after; n += 1) say(session, `${word}s`, n);
            session.deriver = session.open();
            await equalsRebuild(session);
          }
        } finally {
          await session.end();
        }
      }),
      { numRuns: 8 },
    );
  });
});
