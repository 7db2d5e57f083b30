// The bitwise law: what a model would say after a restore is bit for bit what it would say after a fresh prefill.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { chunkSizes, reusableTokens } from '../../src/engine/llama/evaluation.ts';
import type { LiveState } from '../../src/engine/llama/live-state.ts';
import type { ArtifactFile, ModelConfig } from '../../src/engine/types.ts';
import { makeTinyModel, openModel, scratch, someTokens } from './tiny.ts';

const place = scratch();
afterAll(() => rm(place, { recursive: true }));
const signal = new AbortController().signal;
const LENGTHS = [64, 65, 100, 511, 513, 1000];

test('chunks have 64 to 512 tokens but where the whole prompt is shorter, and cover every token once', () => {
  for (let tokens = 0; tokens < 2000; tokens += 1) {
    const sizes = chunkSizes(tokens);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(tokens);
    expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(512);
    if (tokens >= 64) expect(Math.min(...sizes)).toBeGreaterThanOrEqual(64);
  }
});

test('a reuse leaves nothing or at least 64 tokens to evaluate, and a short prompt is reused whole or not at all', () => {
  expect(reusableTokens(1000, 1000, 1000, false)).toBe(1000);
  expect(reusableTokens(1000, 1000, 2000, true)).toBe(936);
  expect(reusableTokens(1000, 999, 999, false)).toBe(936);
  expect(reusableTokens(1000, 937, 2000, false)).toBe(936);
  expect(reusableTokens(1000, 936, 936, false)).toBe(936);
  expect(reusableTokens(1000, 10, 2000, false)).toBe(10);
  expect(reusableTokens(1000, 63, 63, false)).toBe(0);
  expect(reusableTokens(40, 40, 40, false)).toBe(40);
  expect(reusableTokens(40, 40, 100, false)).toBe(0);
  expect(reusableTokens(40, 40, 40, true)).toBe(0);
  expect(reusableTokens(64, 64, 64, true)).toBe(0);
});

describe.each([
  ['F32 weights, values by column', ['--type', 'f32'], { flashAttention: false }],
  ['F16 weights', ['--type', 'f16'], {}],
  ['Q8_0 weights, flash attention, Q8_0 keys and values', ['--type', 'q8_0'], { kvKeyType: 'Q8_0', flashAttention: true }],
] as const satisfies readonly (readonly [string, readonly string[], Partial<ModelConfig>])[])('%s', (name, options, config) => {
  test('probabilities over the whole vocabulary are the same after prefill, restore, cut and extension', async () => {
    const slug = name.replace(/\W+/g, '-');
    const opened = await openModel(makeTinyModel(join(place, `${slug}.gguf`), ...options), { contextTokens: 1200, ...config });
    const [live, other] = [await opened.newLive(), await opened.newLive()];
    const vocabulary = opened.facts.vocabularySize;
    const artifacts: ArtifactFile[] = [];
    for (const length of LENGTHS) {
      const tokens = someTokens(length);
      const path = join(place, `${slug}-${length}.kv`);
      await live.drop();
      await live.prepare(tokens, undefined, false, signal);
      await live.evaluate(tokens, 0, 'evaluate', signal, () => undefined);
      const { bytes, digest } = await live.save(tokens, path);
      artifacts.push({ path, tokens, bytes, digest: await digest });
    }
    for (const length of LENGTHS) {
      const tokens = someTokens(length);
      await live.drop();
      const fresh = await lastProbabilities(live, tokens, undefined);
      expect(fresh.reused).toBe(0);
      expect(new Set(fresh.probabilities.map(([token]) => token)).size).toBe(vocabulary);
      for (const base of artifacts) {
        await other.drop();
        const restored = await lastProbabilities(other, tokens, base);
        expect(restored.reused).toBe(reusableTokens(length, Math.min(length, base.tokens.length), base.tokens.length, true));
        expect(restored.probabilities, `${length} tokens from a state of ${base.tokens.length}`).toEqual(fresh.probabilities);
      }
    }
    // The state itself too: extended from the shortest, cut from the longest, or made anew, its file is the same.
    const [shortest, longest] = [artifacts[0] as ArtifactFile, artifacts.at(-1) as ArtifactFile];
    for (const [base, wanted] of [
      [shortest, longest],
      [longest, artifacts[3] as ArtifactFile],
    ] as const) {
      await other.drop();
      const { reusedTokens } = await other.prepare(wanted.tokens, base, false, signal);
      expect(reusedTokens).toBe(Math.min(base.tokens.length, wanted.tokens.length));
      await other.evaluate(wanted.tokens, reusedTokens, 'evaluate', signal, () => undefined);
      expect(await (await other.save(wanted.tokens, join(place, 'again.kv'))).digest).toBe(wanted.digest);
    }
  });
});

async function lastProbabilities(
  live: LiveState,
  tokens: Uint32Array,
  base: ArtifactFile | undefined,
): Promise<{ reused: number; probabilities: [number, number][] }> {
  const { reusedTokens, refused } = await live.prepare(tokens, base, true, signal);
  expect(refused).toBeUndefined();
  const chunk = await live.evaluate(tokens, reusedTokens, 'leave', signal, () => undefined);
  const asked = chunk.map((token, index) => (index === chunk.length - 1 ? [token, { generateNext: { probabilities: true } }] : token));
  const results = await live.sequence.controlledEvaluate(asked);
  return { reused: reusedTokens, probabilities: [...(results.at(-1)?.next?.probabilities ?? [])] };
}
