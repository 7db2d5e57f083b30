import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { TestSession } from './session-fixture.ts';

let session: TestSession;
afterEach(async () => session.end());

/** Turns of the event loop that others got while this was read. */
async function turnsDuring(read: Promise<unknown>): Promise<number> {
  let turns = 0;
  let over = false;
  const done = read.finally(() => (over = true));
  while (!over) {
    await nextTurn();
    turns += 1;
  }
  await done;
  return turns;
}

test('DRV-8: one message gives way to others many times when it asks history or begins an epoch, and an ordinary one hardly ever', async () => {
  session = new TestSession({ 'context/budget': '12000\n' });
  const say = (n: number): void => {
    session.append({ role: 'user', content: `What did we say about the parser of module ${n % 7} and its ${n} tests?` });
    session.append({ role: 'assistant', content: `The parser of module ${n % 7} reads ${n} lines. `.repeat(8) });
  };
  for (let n = 0; n < 300; n++) say(n);
  await session.deriver.fetch('pack.json', session.revision);
  let [asked, began, ordinary] = [0, 0, 0];
  for (let n = 300; n < 340; n++) {
    const epoch = async (): Promise<string> => JSON.stringify((JSON.parse(await session.read('pack.json')) as { epoch: object }).epoch);
    const before = await epoch();
    session.append({ role: 'user', content: `What did we say about the parser of module ${n % 7} and its ${n} tests?` });
    session.notify();
    // Time runs fast: every place where others may have their turn is one where they get it.
    session.hurry = 1000;
    const turns = await turnsDuring(session.deriver.fetch('pack.json', session.revision));
    if ((await epoch()) === before) asked = Math.max(asked, turns);
    else began = Math.max(began, turns);
    session.hurry = 0;
    session.append({ role: 'assistant', content: 'Noted.' });
    session.notify();
    session.hurry = 1000;
    const short = await turnsDuring(session.deriver.fetch('pack.json', session.revision));
    session.hurry = 0;
    if (ordinary === 0 || short < ordinary) ordinary = short;
  }
  expect(asked).toBeGreaterThan(ordinary + 4);
  expect(began).toBeGreaterThan(asked + 4);
});

test('DRV-9: a message that is committed while the pack is being built is in the next one', async () => {
  session = new TestSession({ 'context/budget': '12000\n' });
  const say = (count: number): void => {
    for (let n = 0; n < count; n++) session.append({ role: n % 2 === 0 ? 'user' : 'assistant', content: `Line ${n} of the talk.` });
    session.notify();
  };
  say(4);
  await session.read('pack.json');
  await new Promise((resolve) => setTimeout(resolve, 100));
  say(40);
  session.hurry = 1000;
  const building = session.deriver.fetch('pack.json', session.revision);
  for (let turn = 0; turn < 8; turn++) await nextTurn();
  expect(session.deriver.status().building).toBe(true);
  say(1);
  await building;
  expect(JSON.parse(await session.read('pack.json'))).toMatchObject({ messages: 45 });
});
