import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { filesBelow } from './artifact-fixture.ts';
import type { LlamaDriver } from '../../src/engine/llama/driver.ts';
import { Bench, message, openDriver, Session, tinyModel } from './compiler-fixture.ts';
import { makeTinyModel, scratch } from './tiny.ts';

let directory: string;
let bench: Bench;
let driver: LlamaDriver;
beforeAll(() => {
  driver = openDriver(tinyModel());
});
afterAll(() => driver.close());
beforeEach(async () => {
  directory = scratch();
  bench = await new Bench(directory, driver).open();
});
afterEach(async () => {
  await bench.close();
  rmSync(directory, { recursive: true, force: true });
});

/** What the template begins every prompt with may be live in the engine. */
const HEAD_TOKENS = 8;

const states = (): readonly string[] => filesBelow(join(directory, '.engine', 'kv')).filter((name) => name.endsWith('.kv'));
const statePath = (): string => join(directory, '.engine', 'kv', states()[0] ?? 'none');

/** Everything anew, the engine too, as after a restart of the machine. */
async function restart(): Promise<void> {
  await bench.close();
  bench = await new Bench(directory, tinyModel()).open();
}

/** A new daemon over the same engine, which holds something else by now. */
async function reopen(): Promise<void> {
  await bench.close();
  const elsewhere = await new Bench(scratch(), driver).open();
  await elsewhere.read(new Session('elsewhere', message(100)));
  await elsewhere.close();
  bench = await new Bench(directory, driver).open();
}

describe('a compile', () => {
  test('ENG-11 a read asks and goes on: nothing is read before it returns, and every state is published', async () => {
    const session = new Session('a', message(700));
    bench.compiler.request(session.request);
    expect(session.reads).toBe(0);
    expect(bench.states).toEqual(['queued']);
    const manifest = await bench.settled(session);
    expect(bench.states).toEqual(['queued', 'compiling', 'ready']);
    expect(manifest).toMatchObject({
      state: 'ready',
      reason: null,
      model: 'local/tiny',
      driver: 'llama',
      reused_tokens: 0,
      pack: session.pack,
    });
    expect(manifest.evaluated_tokens).toBe(manifest.tokens);
    expect(manifest.bytes).toBe(statSync(statePath()).size);
    const progress = bench.seen.flatMap((each) => (each.state === 'compiling' && each.progress !== null ? [each.progress] : []));
    expect(progress[0]).toEqual({ done: manifest.reused_tokens, total: manifest.tokens });
    expect(progress.at(-1)).toEqual({ done: manifest.tokens, total: manifest.tokens });
  });

  test('ENG-11 reads of the same pack are one compile', async () => {
    const session = new Session('a', message(200));
    for (let read = 0; read < 5; read += 1) bench.compiler.request(session.request);
    await bench.settled(session);
    await bench.read(session);
    expect(session.reads).toBe(1);
  });

  test('ENG-4 an append costs the tokens that are new, and takes the place of what it extends', async () => {
    const session = new Session('a', message(1000));
    const first = await bench.read(session);
    session.contents.push(message(300));
    const second = await bench.read(session);
    expect(second.reused_tokens).toBeGreaterThan((first.tokens ?? 0) - 64);
    expect((second.reused_tokens ?? 0) + (second.evaluated_tokens ?? 0)).toBe(second.tokens);
    expect(second.prefix_chain.at(-1)?.tokens).toBe(second.tokens);
    expect(states()).toHaveLength(1);
  });

  test('ENG-9 a fork with the same pack is ready with no token evaluated and no byte copied', async () => {
    const parent = new Session('a', message(900));
    const first = await bench.read(parent);
    const { ino } = statSync(statePath());
    const fork = await bench.read(new Session('fork', ...parent.contents));
    expect(fork).toMatchObject({ state: 'ready', key: first.key, digest: first.digest, evaluated_tokens: 0, reused_tokens: first.tokens });
    expect(statSync(statePath()).ino).toBe(ino);
    expect(states()).toHaveLength(1);
  });

  test('ENG-9 a fork at an earlier message evaluates nothing that the parent has', async () => {
    const parent = new Session('a', message(600), message(600), message(600));
    await bench.read(parent);
    const fork = await bench.read(new Session('fork', ...parent.contents.slice(0, 2)));
    expect(fork).toMatchObject({ state: 'ready', evaluated_tokens: 0 });
    const parted = await bench.read(new Session('parted', ...parent.contents.slice(0, 2), message(200)));
    expect(parted.evaluated_tokens).toBeLessThan(300);
    expect(parted.reused_tokens).toBeGreaterThan(1100);
  });

  test('ENG-9 after a restart of everything no token is evaluated', async () => {
    const session = new Session('a', message(400));
    const before = await bench.read(session);
    const bytes = readFileSync(statePath());
    await restart();
    expect(bench.compiler.manifest(session.request.session, session.pack)).toEqual(before);
    const after = await bench.read(session);
    expect(after).toMatchObject({ state: 'ready', key: before.key, evaluated_tokens: 0, reused_tokens: before.tokens });
    expect(readFileSync(statePath()).equals(bytes)).toBe(true);
    expect(bench.driver.pid).toBeDefined();
  });

  test('ENG-9 after a restart an extension is evaluated from the saved state, to the same bytes as from nothing', async () => {
    const session = new Session('a', message(400));
    await bench.read(session);
    await restart();
    session.contents.push(message(150));
    const extended = await bench.read(session);
    expect(extended.reused_tokens).toBeGreaterThan(300);
    await bench.compiler.evict(session.request.session);
    await restart();
    const fresh = await bench.read(session);
    expect(fresh).toMatchObject({ reused_tokens: 0, key: extended.key, digest: extended.digest });
  });
});

describe('who is compiled', () => {
  test('ENG-11 a session that is not active is not compiled; what it has stays, and is stale when its pack moves on', async () => {
    const idle = new Session('idle', message(100));
    idle.active = false;
    expect(await bench.read(idle)).toMatchObject({ state: 'absent', reason: expect.stringContaining('not active') as string });
    idle.active = true;
    await bench.read(idle);
    idle.active = false;
    expect((await bench.read(idle)).state).toBe('ready');
    idle.contents.push('more');
    expect(await bench.read(idle)).toMatchObject({
      state: 'stale',
      compatibility: { source: { compatible: false, fields: [{ field: 'pack_digest' }] }, binary: { compatible: true } },
    });
    expect(idle.reads).toBe(1);
  });

  test('ENG-11 the newest pack wins: what was superseded while it waited is never read', async () => {
    const busy = new Session('busy', message(300));
    let open: () => void = () => undefined;
    busy.gate = new Promise((resolve) => (open = resolve));
    bench.compiler.request(busy.request);
    const session = new Session('a', 'one');
    bench.compiler.request(session.request);
    for (const word of ['two', 'three', 'four']) {
      session.contents.push(word);
      bench.compiler.request(session.request);
    }
    open();
    expect(await bench.settled(session)).toMatchObject({ state: 'ready', pack: session.pack });
    expect(session.reads).toBe(1);
  });

  test('ENG-11 a pack that moves on while it is compiled is compiled again, to the newest', async () => {
    const session = new Session('a', message(1200));
    bench.atProgress = (): void => {
      session.contents.push(message(200));
      bench.compiler.request(session.request);
      session.contents.push(message(200));
      bench.compiler.request(session.request);
    };
    bench.compiler.request(session.request);
    await bench.until(() => bench.compiler.manifest(session.request.session, session.pack).state === 'ready');
    expect(session.reads).toBe(2);
  });

  test('ENG-11 a session whose pack never rests is compiled all the same', async () => {
    const session = new Session('a', message(1500));
    const ready = (): number => bench.seen.filter(({ state }) => state === 'ready').length;
    bench.compiler.request(session.request);
    for (let append = 0; ready() < 2; append += 1) {
      session.epoch += 1;
      session.contents[1] = `append ${append}`;
      bench.compiler.request(session.request);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect((await bench.settled(session)).state).toBe('ready');
  });

  test('ENG-11 no more sessions wait than the bound; one that had to go says so and is compiled at its next read', async () => {
    await bench.close();
    bench = await new Bench(directory, driver, { maxQueued: 3 }).open();
    const busy = new Session('busy', message(100));
    let open: () => void = () => undefined;
    busy.gate = new Promise((resolve) => (open = resolve));
    bench.compiler.request(busy.request);
    await bench.until(() => busy.reads === 1);
    const sessions = Array.from({ length: 8 }, (_, index) => new Session(`s${index}`, message(20)));
    for (const session of sessions) bench.compiler.request(session.request);
    expect(bench.compiler.status()).toMatchObject({ queued: 3, compiling: busy.request.session });
    const [first = busy] = sessions;
    expect(bench.compiler.manifest(first.request.session)).toMatchObject({
      state: 'absent',
      reason: expect.stringContaining('too many sessions wait') as string,
    });
    open();
    for (const session of sessions.slice(5)) expect((await bench.settled(session)).state).toBe('ready');
    expect(first.reads).toBe(0);
    expect((await bench.read(first)).state).toBe('ready');
  });
});

describe('saved state that is not what it was', () => {
  const damages: readonly (readonly [string, (path: string) => void])[] = [
    ['a flipped bit', (path) => flip(path, statSync(path).size / 2)],
    ['a flipped bit in the header', (path) => flip(path, 3)],
    ['a truncated state', (path) => truncateSync(path, statSync(path).size - 1)],
    ['a state of other tokens', (path) => writeFileSync(path, Buffer.alloc(statSync(path).size))],
    ['a vanished state', (path) => rmSync(path)],
  ];

  test.each(damages)('ENG-6 %s is never used: it is built again from source, and the reason is said', async (_, damage) => {
    const session = new Session('a', message(250));
    const before = await bench.read(session);
    damage(statePath());
    await reopen();
    const after = await bench.read(session);
    expect(after).toMatchObject({ state: 'ready', tokens: before.tokens, digest: before.digest });
    expect(after.reused_tokens).toBeLessThan(HEAD_TOKENS);
    expect(after.reason).toMatch(/dropped.*built again from source/);
  });

  test.each(damages)(
    'ENG-10 %s is no base: the extension is built from source, the file is gone, and the reason is said',
    async (_, damage) => {
      const session = new Session('a', message(250));
      const { key } = await bench.read(session);
      await bench.close();
      damage(statePath());
      bench = await new Bench(directory, tinyModel()).open();
      session.contents.push(message(100));
      const after = await bench.read(session);
      expect(after.state).toBe('ready');
      expect(after.reused_tokens).toBeLessThan(HEAD_TOKENS);
      expect(after.reason).toContain(key?.slice(0, 12));
      expect(after.reason).toContain('built again from source');
      expect(states().some((name) => name.includes(key ?? ''))).toBe(false);
    },
  );

  test('ENG-2 a model of the same shape with other weights never sees the state of this one', async () => {
    const session = new Session('a', message(250));
    const before = await bench.read(session);
    await bench.close();
    const other = makeTinyModel(join(directory, 'other.gguf'), '--seed', '2');
    bench = await new Bench(directory, tinyModel({ path: other })).open();
    const judged = await bench.compiler.inspect(session.request.session, session.pack);
    expect(judged.compatibility).toMatchObject({
      source: { compatible: true },
      rebuild: { compatible: true },
      binary: { compatible: false, fields: [{ field: 'weights_digest', wanted: before.fingerprint?.['weights_digest'] }] },
      runtime: { compatible: true },
    });
    const after = await bench.read(session);
    expect(after).toMatchObject({ state: 'ready', reused_tokens: 0, evaluated_tokens: before.tokens });
    expect(after.key).not.toBe(before.key);
    expect(states()).toHaveLength(2);
  });

  test('ENG-2 another K/V type is another fingerprint', async () => {
    const session = new Session('a', message(300));
    await bench.read(session);
    await bench.close();
    bench = await new Bench(directory, tinyModel({ kvKeyType: 'Q8_0' })).open();
    expect((await bench.read(session)).reused_tokens).toBe(0);
    expect(states()).toHaveLength(2);
  });
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  const index = Math.floor(at);
  bytes[index] = (bytes[index] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}
