// TOK-7: the tokenizer of the model that compiles, counted with from a thread that waits.
import { copyFile, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { EngineTokenizer } from '../../src/engine/engine-tokenizer.ts';
import { openLlamaServerDriver } from '../../src/engine/llama-server/driver.ts';
import { CountPending } from '../../src/tokens/pending.ts';
import { openLlamaDriver } from '../../src/engine/llama/driver.ts';
import type { ChatMessage, ModelConfig } from '../../src/engine/types.ts';
import { HAS_LLAMA_SERVER, startLlamaServer } from './llama-server-process.ts';
import { makeTinyModel, prompt, scratch, tinyConfig } from './tiny.ts';

const place = scratch();
let config: ModelConfig;
let chosen: ModelConfig | undefined;
const tokenizer = new EngineTokenizer(() => chosen);

beforeAll(() => {
  chosen = config = tinyConfig(makeTinyModel(join(place, 'model.gguf')));
});
afterAll(async () => {
  await tokenizer.close();
  await rm(place, { recursive: true });
});

describe('TOK-7: the engine counts', () => {
  it('as many tokens as it compiles, asked by a thread that waits for nothing else', async () => {
    const counter = tokenizer.counter(tokenizer.digest(false), false);
    await counter.ready?.();
    const driver = openLlamaDriver(config, { vocabularyOnly: true });
    try {
      const said = prompt({ role: 'system', content: 'Be brief.' }, 'Which port? <|im_end|>', { role: 'assistant', content: '8443' });
      const messages = said.messages.map((each) => JSON.stringify(each));
      for (let length = 1; length <= messages.length; length += 1) {
        const tokens = await driver.tokenize({ ...said, messages: said.messages.slice(0, length) }, true);
        expect(await settled(() => counter.prompt?.(messages.slice(0, length), '[]'))).toBe(tokens.length);
      }
      const tools = [
        { type: 'function', function: { name: 'read', description: 'Reads', parameters: { type: 'object', properties: {} } } },
      ];
      const counted = await settled(() => counter.prompt?.(messages, JSON.stringify(tools)));
      expect(counted).toBe((await driver.tokenize({ ...said, tools }, true)).length);
    } finally {
      await driver.close();
    }
    expect([counter.count(''), counter.prompt?.([], undefined)]).toEqual([0, 0]);
    expect(await settled(() => counter.count('one two three'))).toBeGreaterThan(0);
    expect(counter.name).toBe(`engine:${tokenizer.digest(false)}`);
    expect(tokenizer.fault).toBeUndefined();
  });

  it('its digest is of tokenizer and template, not of the file and its weights', async () => {
    const before = tokenizer.digest(false);
    const other = join(place, 'other.gguf');
    await copyFile(config.path ?? '', other);
    await utimes(other, 1, 1);
    chosen = { ...config, path: other, name: 'other' };
    expect(tokenizer.digest(false)).toBe(before);
    chosen = config;
  });

  it.each([
    ['no model is chosen', undefined, /no model is chosen/],
    ['a server', { provider: 'lab', name: 'big', driver: 'openai', url: 'http://127.0.0.1:9/v1' } as const, /lab\/big is a server/],
    ['a file that is gone', tinyConfig('/nonexistent/model.gguf'), /engine|cannot be read/],
  ])('%s: an error that says so, never another count', (_name, model, what) => {
    const digest = tokenizer.digest(false);
    chosen = model;
    try {
      expect(() => tokenizer.counter(digest, false)).toThrow(what);
      expect(tokenizer.fault).toMatch(what);
    } finally {
      chosen = config;
    }
    expect(tokenizer.digest(false)).toBe(digest);
    expect(tokenizer.fault).toBeUndefined();
  });

  it('a pack that another model counted is not counted by this one', () => {
    expect(() => tokenizer.counter(`sha256-${'0'.repeat(64)}`, false)).toThrow(
      expect.objectContaining({ code: 'tokens.engine', message: 'this pack was counted by the tokenizer of another model' }),
    );
  });
});

describe('TOK-10: a llama-server counts', () => {
  const served = (url: string): ModelConfig => ({ provider: 'lab', name: 'served', driver: 'llama-server', url });
  const nowhere = served('http://127.0.0.1:9');
  afterEach(() => {
    chosen = config;
  });

  it('only for a session that may ask one; that another may not is no fault', () => {
    chosen = nowhere;
    for (const ask of [() => tokenizer.digest(false), () => tokenizer.counter('sha256-0', false)])
      expect(ask).toThrow(
        expect.objectContaining({ code: 'tokens.engine', message: expect.stringContaining('does not allow one') as string }),
      );
    expect(tokenizer.fault).toBeUndefined();
    expect(tokenizer.faultFor(false)).toMatch(/lab\/served is a server, and policy.yaml of this session does not allow one.*remote/);
  });

  it('one that fails is an error that says so, and is not asked again for a while', async () => {
    const server = await serverThread(`reply.writeHead(500).end('{"error":{"message":"out of order"}}')`);
    const patient = new EngineTokenizer(
      () => served(server.url),
      () => undefined,
      { answerMs: 60_000, restMs: 600_000 },
    );
    for (let times = 0; times < 3; times += 1)
      await expect(settled(() => patient.digest(true))).rejects.toEqual(
        expect.objectContaining({ code: 'tokens.engine', errno: 'ENODEV', message: 'answered 500: out of order' }),
      );
    expect(server.asked[0]).toBe(1);
    expect(patient.fault).toContain('answered 500: out of order');
    await Promise.all([patient.close(), server.end()]);
  });

  it('one that says nothing is waited for no longer than its limit', async () => {
    const server = await serverThread('');
    const impatient = new EngineTokenizer(
      () => served(server.url),
      () => undefined,
      { answerMs: 300, restMs: 0 },
    );
    for (let times = 0; times < 2; times += 1)
      await expect(settled(() => impatient.digest(true))).rejects.toEqual(
        expect.objectContaining({ code: 'tokens.engine', message: "the engine's tokenizer does not answer within 0.3 s" }),
      );
    expect(impatient.fault).toContain('does not answer within');
    await Promise.all([impatient.close(), server.end()]);
  });

  it('TOK-11: one that takes its time holds the thread for a moment, and its answer is not asked for twice', async () => {
    const server = await serverThread(`setTimeout(() => reply.end(JSON.stringify(ANSWERS[request.url] ?? {})), 150);`);
    const slow = new EngineTokenizer(() => served(server.url));
    const digest = await settled(() => slow.digest(true));
    const counter = slow.counter(digest, true);
    const before = Atomics.load(server.asked, 0);
    let turns = 0;
    const others = setInterval(() => (turns += 1), 1);
    // Asked for by several at once, it is one question.
    const counts = await Promise.all([1, 2, 3].map(() => settled(() => counter.count('how many?'))));
    clearInterval(others);
    expect(counts).toEqual([4, 4, 4]);
    expect(turns).toBeGreaterThan(0);
    expect(counter.count('how many?')).toBe(4);
    expect(Atomics.load(server.asked, 0) - before).toBeLessThanOrEqual(3);
    expect(slow.fault).toBeUndefined();
    await Promise.all([slow.close(), server.end()]);
  });

  if (HAS_LLAMA_SERVER)
    it('as many tokens as it compiles and answers from, however the prompt grew', async () => {
      const server = await startLlamaServer(place, 4096, false);
      try {
        chosen = served(`${server.url}/v1`);
        const digest = await settled(() => tokenizer.digest(true));
        const counter = tokenizer.counter(digest, true);
        await counter.ready?.();
        const driver = openLlamaServerDriver(chosen);
        const tools = [{ type: 'function', function: { name: 'read', description: 'Reads <|im_end|>', parameters: { type: 'object' } } }];
        const call = { id: 'c1', type: 'function', function: { name: 'read', arguments: '{"path":"<|im_start|>"}' } };
        const said: readonly ChatMessage[] = [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Which port? <|im_end|>\n<|im_start|>assistant' },
          { role: 'assistant', content: '8443 — 東京 🦊' },
          { role: 'user', content: '  and why?\n\n' },
          { role: 'assistant', content: '', tool_calls: [call] },
          { role: 'tool', tool_call_id: 'c1', content: 'EACCES' },
        ];
        for (let length = 1; length <= said.length; length += 1) {
          const messages = said.slice(0, length);
          const texts = messages.map((each) => JSON.stringify(each));
          const counted = await settled(() => counter.prompt?.(texts, JSON.stringify(tools)));
          // What follows an answer, or a system message alone, is a question.
          const asked = ['user', 'tool'].includes(messages.at(-1)?.role ?? '') ? messages : [...messages, { role: 'user', content: '-' }];
          expect(counted).toBe((await driver.tokenize({ messages: asked, tools }, true))?.length);
          expect(counted).toBeGreaterThanOrEqual((await driver.tokenize({ messages, tools }, false))?.length ?? Infinity);
        }
        expect(await settled(() => counter.count('one two <|im_end|> three'))).toBeGreaterThan(3);
        expect(await settled(() => counter.count('<|im_end|>'))).toBeGreaterThan(1);
        expect(counter.name).toBe(`engine:${digest}`);
        expect(tokenizer.fault).toBeUndefined();
        // The same model at another address counts the same.
        await server.restart();
        chosen = { ...chosen, name: 'again' };
        expect(await settled(() => tokenizer.digest(true))).toBe(digest);
      } finally {
        await server.end();
      }
    });
});

/** As a deriver asks: what is not there yet is awaited, and asked for again. */
async function settled<T>(ask: () => T): Promise<T> {
  for (;;) {
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof CountPending)) throw error;
      await error.answered;
    }
  }
}

/** A server on a thread of its own: this one may stand still for a moment. */
async function serverThread(answer: string): Promise<{ readonly url: string; readonly asked: Int32Array; end(): Promise<unknown> }> {
  const asked = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const ANSWERS = {
       '/props': { model_path: '/m.gguf', default_generation_settings: { n_ctx: 512 } },
       '/v1/models': { data: [{ meta: { n_vocab: 9 } }] },
       '/tokenize': { tokens: [1, 2, 3, 4] },
       '/apply-template': { prompt: 'a' },
     };
     const server = require('node:http').createServer((request, reply) => {
       Atomics.add(workerData, 0, 1);
       ${answer}
     });
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: asked },
  );
  const port = await new Promise<number>((resolve) => thread.once('message', resolve));
  return { url: `http://127.0.0.1:${port}`, asked, end: () => thread.terminate() };
}
