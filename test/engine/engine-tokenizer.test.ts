// TOK-7: the tokenizer of the model that compiles, counted with from a thread that waits.
import { copyFile, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { EngineTokenizer } from '../../src/engine/engine-tokenizer.ts';
import { openLlamaServerDriver } from '../../src/engine/llama-server/driver.ts';
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
        expect(counter.prompt?.(messages.slice(0, length), '[]')).toBe(tokens.length);
      }
      const tools = [
        { type: 'function', function: { name: 'read', description: 'Reads', parameters: { type: 'object', properties: {} } } },
      ];
      expect(counter.prompt?.(messages, JSON.stringify(tools))).toBe((await driver.tokenize({ ...said, tools }, true)).length);
    } finally {
      await driver.close();
    }
    expect([counter.count(''), counter.prompt?.([], undefined)]).toEqual([0, 0]);
    expect(counter.count('one two three')).toBeGreaterThan(0);
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
      expect(() => patient.digest(true)).toThrow(
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
      expect(() => impatient.digest(true)).toThrow(
        expect.objectContaining({ code: 'tokens.engine', message: "the engine's tokenizer does not answer within 0.3 s" }),
      );
    await Promise.all([impatient.close(), server.end()]);
  });

  if (HAS_LLAMA_SERVER)
    it('as many tokens as it compiles and answers from, however the prompt grew', async () => {
      const server = await startLlamaServer(place, 4096, false);
      try {
        chosen = served(`${server.url}/v1`);
        const digest = tokenizer.digest(true);
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
          const counted = counter.prompt?.(
            messages.map((each) => JSON.stringify(each)),
            JSON.stringify(tools),
          );
          // What follows an answer, or a system message alone, is a question.
          const asked = ['user', 'tool'].includes(messages.at(-1)?.role ?? '') ? messages : [...messages, { role: 'user', content: '-' }];
          expect(counted).toBe((await driver.tokenize({ messages: asked, tools }, true))?.length);
          expect(counted).toBeGreaterThanOrEqual((await driver.tokenize({ messages, tools }, false))?.length ?? Infinity);
        }
        expect(counter.count('one two <|im_end|> three')).toBeGreaterThan(3);
        expect(counter.count('<|im_end|>')).toBeGreaterThan(1);
        expect(counter.name).toBe(`engine:${digest}`);
        expect(tokenizer.fault).toBeUndefined();
        // The same model at another address counts the same.
        await server.restart();
        chosen = { ...chosen, name: 'again' };
        expect(tokenizer.digest(true)).toBe(digest);
      } finally {
        await server.end();
      }
    });
});

/** A server on a thread of its own: this one stands still until the answer is there. */
async function serverThread(answer: string): Promise<{ readonly url: string; readonly asked: Int32Array; end(): Promise<unknown> }> {
  const asked = new Int32Array(new SharedArrayBuffer(4));
  const thread = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const server = require('node:http').createServer((_, reply) => {
       Atomics.add(workerData, 0, 1);
       ${answer}
     });
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: asked },
  );
  const port = await new Promise<number>((resolve) => thread.once('message', resolve));
  return { url: `http://127.0.0.1:${port}`, asked, end: () => thread.terminate() };
}
