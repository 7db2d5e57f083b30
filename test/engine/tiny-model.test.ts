import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { readModelFacts } from '../../src/engine/gguf.ts';
import { TokenText } from '../../src/engine/llama/token-text.ts';
import { makeTinyModel, openModel, scratch } from './tiny.ts';

const place = scratch();
afterAll(() => rm(place, { recursive: true }));
const SCRIPT = fileURLToPath(new URL('../../scripts/make-tiny-model', import.meta.url));

test('the same arguments give the same bytes, another seed gives others, and a model stays under 2 MB', () => {
  const one = makeTinyModel(join(place, 'one.gguf'));
  expect(readFileSync(makeTinyModel(join(place, 'two.gguf'))).equals(readFileSync(one))).toBe(true);
  expect(readFileSync(makeTinyModel(join(place, 'other.gguf'), '--seed', '2')).equals(readFileSync(one))).toBe(false);
  expect(statSync(one).size).toBeLessThan(2 << 20);
});

test('a model carries a ChatML template, a trained context of 32,768 tokens and heads of a multiple of 32', () => {
  const facts = readModelFacts(makeTinyModel(join(place, 'facts.gguf'), '--layers', '3', '--embed', '128', '--heads', '4'));
  expect(facts).toMatchObject({ architecture: 'llama', layers: 3, heads: 4, kvHeads: 2, keyLength: 32, trainedContext: 32_768 });
  expect(facts.chatTemplate).toContain('<|im_start|>');
  expect(facts.tokens.slice(-5)).toEqual(['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<tool_call>', '</tool_call>']);
});

test('arguments that make no model are refused with a reason, and leave no file', () => {
  for (const options of [['--embed', '50'], ['--seed', 'x'], ['--shape', 'huge'], ['--type', 'q2'], ['--no-such-option']]) {
    const { status, stderr } = spawnSync(process.execPath, [SCRIPT, '--out', join(place, 'refused.gguf'), ...options], {
      encoding: 'utf8',
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/^make-tiny-model: ./);
  }
  expect(execFileSync('ls', [place], { encoding: 'utf8' })).not.toContain('refused');
});

test('any UTF-8 text round-trips through its tokens, whole and token by token', async () => {
  const { model, facts } = await openModel(makeTinyModel(join(place, 'text.gguf')));
  const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((each) => !/[\uD800-\uDFFF]/u.test(each) && !each.includes('\0'));
  fc.assert(
    fc.property(text, (each) => {
      const tokens = model.tokenize(each, false);
      expect(model.detokenize(tokens, false)).toBe(each);
      const stream = new TokenText(model, facts);
      const pieces = tokens.map((token) => stream.push(token));
      expect([...pieces, stream.end()].join('')).toBe(each);
      // Whole characters only: no piece shows a replacement character that the text does not have.
      if (!each.includes('\uFFFD')) expect(pieces.join('')).not.toContain('\uFFFD');
    }),
    { numRuns: 300, seed: 7 },
  );
});
