// TOK-7: the tokenizer of the model that compiles, counted with from a thread that waits.
import { copyFile, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { EngineTokenizer } from '../../src/engine/engine-tokenizer.ts';
import { openLlamaDriver } from '../../src/engine/llama/driver.ts';
import type { ModelConfig } from '../../src/engine/types.ts';
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
    const counter = tokenizer.counter(tokenizer.digest());
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
    expect(counter.name).toBe(`engine:${tokenizer.digest()}`);
    expect(tokenizer.fault).toBeUndefined();
  });

  it('its digest is of tokenizer and template, not of the file and its weights', async () => {
    const before = tokenizer.digest();
    const other = join(place, 'other.gguf');
    await copyFile(config.path ?? '', other);
    await utimes(other, 1, 1);
    chosen = { ...config, path: other, name: 'other' };
    expect(tokenizer.digest()).toBe(before);
    chosen = config;
  });

  it.each([
    ['no model is chosen', undefined, /no model is chosen/],
    ['a server', { provider: 'lab', name: 'big', driver: 'openai', url: 'http://127.0.0.1:9/v1' } as const, /lab\/big is a server/],
    ['a file that is gone', tinyConfig('/nonexistent/model.gguf'), /engine|cannot be read/],
  ])('%s: an error that says so, never another count', (_name, model, what) => {
    const digest = tokenizer.digest();
    chosen = model;
    try {
      expect(() => tokenizer.counter(digest)).toThrow(what);
      expect(tokenizer.fault).toMatch(what);
    } finally {
      chosen = config;
    }
    expect(tokenizer.digest()).toBe(digest);
    expect(tokenizer.fault).toBeUndefined();
  });

  it('a pack that another model counted is not counted by this one', () => {
    expect(() => tokenizer.counter(`sha256-${'0'.repeat(64)}`)).toThrow(
      expect.objectContaining({ code: 'tokens.engine', message: 'this pack was counted by the tokenizer of another model' }),
    );
  });
});
