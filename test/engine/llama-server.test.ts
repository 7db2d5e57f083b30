// What llama-server's slots do beyond the suite: saved states, restarts, other clients, files that are not ours.
import { copyFile, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { SavedSlots } from '../../src/engine/llama-server/saved-slots.ts';
import { openDriver } from '../../src/engine/open-driver.ts';
import type { CompileOutcome, EngineDriver, Prompt } from '../../src/engine/types.ts';
import { CONTEXT_TOKENS, extended, failureOf, promptOf, words } from './driver-suite.ts';
import { json, startFailingServer } from './failing-server.ts';
import { HAS_LLAMA_SERVER, startLlamaServer, temporary, type LlamaServer } from './llama-server-process.ts';

const ids = (...list: readonly number[]): Uint32Array => Uint32Array.from(list);
const limits = { attempts: 2, backoffMs: 5 };

const compile = (driver: EngineDriver, prompt: Prompt): Promise<CompileOutcome> =>
  driver.compile({ prompt, tokens: undefined, saveTo: '/dev/null', signal: new AbortController().signal, onProgress: () => undefined });

describe('names of saved states', () => {
  it('a name is written over by what extends it, survives a restart, and is bounded in number', async () => {
    const directory = await temporary('slots');
    const slots = new SavedSlots(directory);
    const first = slots.take(ids(1, 2, 3));
    slots.record(first, ids(1, 2, 3));
    expect(slots.take(ids(1, 2, 3, 4))).toBe(first);
    expect(slots.best(ids(1, 2, 3))).toBeUndefined();
    slots.record(first, ids(1, 2, 3, 4));
    for (let other = 10; other < 60; other += 1) slots.record(slots.take(ids(other, 2)), ids(other, 2));
    expect((await readdir(directory)).length).toBe(16);
    const again = new SavedSlots(directory);
    expect(again.best(ids(59, 2, 3))).toMatchObject({ tokens: ids(59, 2), shared: 2 });
    expect(again.best(ids(10, 2, 3))).toBeUndefined();
    expect(again.take(ids(99))).toMatch(/^ctxfs-[0-9a-f]{12}-[0-9]{1,2}\.kv$/);
    await rm(directory, { recursive: true });
  });

  it('RMT-5: the state that shares most tokens is chosen, and a damaged record is none', async () => {
    const directory = await temporary('slots');
    const slots = new SavedSlots(directory);
    for (const tokens of [ids(1, 2, 9), ids(1, 2, 3, 9), ids(7)]) slots.record(slots.take(tokens), tokens);
    expect(slots.best(ids(1, 2, 3, 4))).toMatchObject({ tokens: ids(1, 2, 3, 9), shared: 3 });
    for (const name of await readdir(directory)) await truncate(join(directory, name), 3);
    expect(new SavedSlots(directory).best(ids(1, 2, 3, 4))).toBeUndefined();
    await rm(directory, { recursive: true });
  });
});

describe('a server that is no llama-server', () => {
  it('is said to be none', async () => {
    const server = await startFailingServer(json(200, { data: [] }));
    const driver = openDriver({ provider: 'test', name: 'x', driver: 'llama-server', url: server.url }, { limits });
    const failure = await failureOf(driver.describe());
    expect([failure.code, failure.message]).toEqual(['engine.http', 'does not describe a model']);
    await server.end();
  });
});

if (HAS_LLAMA_SERVER) {
  describe('a real llama-server', () => {
    let directory: string;
    let server: LlamaServer;
    beforeAll(async () => {
      directory = await temporary('llama-server');
      server = await startLlamaServer(directory, CONTEXT_TOKENS);
    });
    afterAll(async () => {
      await server.end();
      await rm(directory, { recursive: true });
    });
    const open = (cache = directory): EngineDriver =>
      openDriver({ provider: 'test', name: 'tiny', driver: 'llama-server', url: `${server.url}/v1` }, { cacheDirectory: cache, limits });

    it('state outlives the driver and the server: a restart of both evaluates only what is new', async () => {
      const prompt = promptOf(words(60));
      const first = await compile(open(), prompt);
      expect(first.evaluatedTokens).toBeGreaterThan(first.tokens - 40);
      await server.restart();
      const again = await compile(open(), prompt);
      expect(again).toEqual({ tokens: first.tokens, reusedTokens: first.tokens, evaluatedTokens: 0 });
      await server.restart();
      const longer = await compile(open(), extended(prompt, words(5), 'Go on.'));
      expect(longer.reusedTokens).toBeGreaterThanOrEqual(first.tokens - 8);
    });

    it('a driver that lives notices that the server was restarted, or that another client used the slot', async () => {
      const driver = open();
      const prompt = promptOf(words(60));
      const { tokens } = await compile(driver, prompt);
      await server.restart();
      expect(await compile(driver, prompt)).toMatchObject({ evaluatedTokens: 0 });
      await compile(open(await temporary('other')), promptOf(words(20)));
      expect(await compile(driver, prompt)).toEqual({ tokens, reusedTokens: tokens, evaluatedTokens: 0 });
    });

    it('RMT-5: a saved state that is another one, or gone, is never used: the prompt is evaluated, and the reason is given', async () => {
      const [one, two] = [promptOf(words(50)), promptOf(words(70))];
      const cache = await temporary('names');
      const before = new Set(await readdir(server.slots));
      const driver = open(cache);
      const [first, second] = [await compile(driver, one), await compile(driver, two)];
      const [a, b] = (await readdir(server.slots)).filter((name) => !before.has(name)).sort();
      await copyFile(join(server.slots, b ?? ''), join(server.slots, a ?? ''));
      await server.restart();
      const foreign = await compile(open(cache), one);
      expect(foreign.baseRefused).toBe(`the saved state holds ${second.tokens} tokens, not ${first.tokens}`);
      expect([foreign.tokens, foreign.evaluatedTokens]).toEqual([first.tokens, first.tokens]);
      await rm(join(server.slots, b ?? ''));
      await server.restart();
      const gone = await compile(open(cache), two);
      expect(gone.baseRefused).toMatch(/invalid slot save file|Unable to restore/);
      expect(gone.evaluatedTokens).toBeGreaterThan(gone.tokens - 40);
      await rm(cache, { recursive: true });
    });

    it('RMT-5: a saved state that kills the server costs one failure: its name is not trusted again', async () => {
      const prompt = promptOf(words(50));
      const cache = await temporary('killer');
      const before = new Set(await readdir(server.slots));
      await compile(open(cache), prompt);
      const [name] = (await readdir(server.slots)).filter((each) => !before.has(each));
      const path = join(server.slots, name ?? '');
      // The tail of the state is missing: llama-server aborts while it reads it.
      await truncate(path, 30_000);
      await server.restart();
      const failed = await failureOf(compile(open(cache), prompt));
      expect([failed.code, failed.message]).toEqual(['engine.unreachable', 'closed the connection without a reply']);
      await server.restart();
      const { tokens, evaluatedTokens } = await compile(open(cache), prompt);
      expect(evaluatedTokens).toBeGreaterThan(tokens - 40);
      await rm(cache, { recursive: true });
    });

    it('a server that saves no slots still reuses what its slot holds', async () => {
      const place = await temporary('unsaved');
      const plain = await startLlamaServer(place, CONTEXT_TOKENS, false);
      const driver = openDriver({ provider: 'test', name: 'tiny', driver: 'llama-server', url: plain.url }, { limits });
      const prompt = promptOf(words(40));
      const first = await compile(driver, prompt);
      expect(first.baseRefused).toBeUndefined();
      const longer = await compile(driver, extended(prompt, 'Yes.', words(20)));
      expect(longer.reusedTokens).toBeGreaterThanOrEqual(first.tokens - 8);
      await plain.end();
      await rm(place, { recursive: true });
    });
  });
}
