// KILL_ROUNDS=100 ends each verb alone that often (half an hour); without it, a hundred ends over all verbs, several at once.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KillRounds } from './kill-rounds.ts';

const ROUNDS = Number(process.env['KILL_ROUNDS'] ?? 0);
const ONLY = process.env['KILL_VERB'];
const SEED = Number(process.env['CTX_SEED'] ?? 0) || Date.now() % 2 ** 31;
const AT_ONCE = 5;
/** What takes longer waits for an engine. */
const MOST_MS = ROUNDS > 0 ? 10_000 : 600;

let rounds: KillRounds;
beforeAll(async () => {
  rounds = await KillRounds.start(ROUNDS > 0);
});
afterAll(() => rounds.end());

/** mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('IMG-111 a hundred verbs that are killed at random points lose nothing, and what they leave is collectable', async () => {
  const random = randomFrom(SEED);
  const names = Object.keys(rounds.verbs).filter((name) => ONLY === undefined || name === ONLY);
  const lasts = await rounds.measure(names);
  let killed = 0;
  const round = async (some: readonly string[], daemonToo = false): Promise<void> => {
    const chosen = some[Math.floor(random() * some.length)] as string;
    const afterMs = random() * Math.min(MOST_MS, lasts.get(chosen) ?? 0) * (1 + some.length / 2);
    killed += some.length;
    await rounds.kill(String(killed), some, afterMs, daemonToo).catch((error: unknown) => {
      throw new Error(`CTX_SEED=${SEED}: ${some.join(', ')} after ${afterMs} ms${daemonToo ? ', the daemon too' : ''}`, { cause: error });
    });
  };
  if (ROUNDS > 0) {
    for (const name of names) {
      const began = performance.now();
      for (let n = 0; n < ROUNDS; n++) await round([name], n % 10 === 9);
      await rounds.collect();
      console.log(`${name}: ${ROUNDS} rounds, ${Math.round(performance.now() - began)} ms; alone ${Math.round(lasts.get(name) ?? 0)} ms`);
    }
    return;
  }
  while (killed < 100) {
    const left = names.toSorted(() => random() - 0.5);
    while (left.length > 0) await round(left.splice(0, AT_ONCE), killed === 45);
  }
  expect(killed).toBeGreaterThanOrEqual(100);
  await rounds.collect();
}, 3_600_000);

test('IMG-110 an instance has its name only once it is whole, and what a killed maker leaves goes with gc', async () => {
  const { mounted } = rounds;
  const home = `home/${process.getuid?.() ?? 0}`;
  const { session, end } = await rounds.beginInstance();
  expect(session).toMatch(new RegExp(`^${home}/agent/\\.start/session/[0-9]+-`));
  expect(
    `${await mounted.must(`ls -A ${home}/agent`)} ${(await rounds.must(['ls'])).said} ${(await rounds.must(['ps'])).said}`,
  ).not.toMatch(/begun|\.start/);
  expect(await mounted.must(`cat ${session}/context/budget`)).not.toBe('');
  // What a daemon that was killed leaves.
  const coder = `${home}/agent/coder/session`;
  await mounted.must(`mkdir -p ${mounted.store}/${coder}/.new-1-x/context ${mounted.store}/${coder}/.removed-1-2/segments`);
  type Removed = readonly { readonly path: string; readonly reason: string }[];
  const gc = async (...options: readonly string[]): Promise<Removed> =>
    JSON.parse((await rounds.must(['gc', '--json', ...options])).said) as Removed;
  const daemons = [`${coder}/.new-1-x`, `${coder}/.removed-1-2`];
  expect((await gc('--dry-run')).map(({ path }) => path)).toEqual(expect.arrayContaining(daemons));
  expect((await gc()).map(({ path }) => path).filter((path) => path.startsWith(`${home}/agent/`))).toEqual(daemons);
  // Its maker lives, so it may still be finished.
  expect(await mounted.must(`cat ${session}/state`)).toBe('active\n');
  await end();
  expect((await gc()).filter(({ path }) => path === session)).toMatchObject([
    { reason: expect.stringContaining('left it behind') as string },
  ]);
  expect((await mounted.sh(`ls ${session}`)).code).not.toBe(0);
  expect(await gc()).toEqual([]);
});
