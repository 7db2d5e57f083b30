import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import { readModelFacts } from '../../src/engine/gguf.ts';
import { makeTinyModel, scratch } from './tiny.ts';

const place = scratch();
afterAll(() => rm(place, { recursive: true }));
const whole = readFileSync(makeTinyModel(join(place, 'model.gguf')));
const headerBytes = headerLength(whole);

test('facts of a model do not depend on its name, and its weights do not change the header digests', () => {
  const facts = readModelFacts(join(place, 'model.gguf'));
  const other = readModelFacts(makeTinyModel(join(place, 'other.gguf'), '--seed', '2'));
  expect(other.tokenizerDigest).toBe(facts.tokenizerDigest);
  expect(other.vocabularyDigest).toBe(facts.vocabularyDigest);
  expect(facts.tokens).toHaveLength(facts.vocabularySize);
  expect(facts.rope).toEqual({ dimension_count: 32, freq_base: 10_000 });
});

test('a file cut at any byte of the header, or inside the tensors, is refused with what, where and next', () => {
  const path = join(place, 'cut.gguf');
  writeFileSync(path, whole);
  const cuts = [
    ...Array(200).keys(),
    ...every(200, headerBytes, 37),
    headerBytes,
    ...every(headerBytes, whole.length, 50_021),
    whole.length - 1,
  ];
  for (const bytes of [...new Set(cuts)].sort((a, b) => b - a)) {
    truncateSync(path, bytes);
    const error = refusal(path);
    expect(error.code).toBe('engine.model');
    expect(error.where).toContain(path);
    expect(error.next).toBeTruthy();
  }
});

test('2,000 random changes of the header give facts or a refusal, and nothing else', () => {
  const path = join(place, 'flipped.gguf');
  const random = xorshift(5);
  let refused = 0;
  for (let round = 0; round < 2000; round += 1) {
    const bytes = Buffer.from(whole.subarray(0, headerBytes));
    const at = random() % headerBytes;
    bytes[at] = (bytes[at] as number) ^ (1 + (random() % 255));
    writeFileSync(path, bytes);
    truncateSync(path, whole.length);
    try {
      readModelFacts(path);
    } catch (error) {
      expect(error).toBeInstanceOf(CtxError);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(50);
});

test('hostile counts and sizes are refused before memory is taken for them', () => {
  const path = join(place, 'hostile.gguf');
  for (const [at, value] of [
    [8, 2n ** 63n],
    [8, 70_000n],
    [16, 2n ** 40n],
    [24, 2n ** 62n],
    [24, 2n ** 23n],
  ] as const) {
    const bytes = Buffer.from(whole);
    bytes.writeBigUInt64LE(value, at);
    writeFileSync(path, bytes);
    expect(refusal(path).code).toBe('engine.model');
  }
  const tokens = whole.indexOf('tokenizer.ggml.tokens') + 'tokenizer.ggml.tokens'.length + 8;
  const bytes = Buffer.from(whole);
  bytes.writeBigUInt64LE(2n ** 23n, tokens);
  writeFileSync(path, bytes);
  expect(refusal(path).message).toContain('more than the file holds');
});

test('what is no GGUF is refused: other files, a directory, a pipe, nothing', () => {
  const path = join(place, 'foreign');
  for (const bytes of [Buffer.alloc(0), Buffer.from('GGUF'), Buffer.alloc(4096), Buffer.from('PK\x03\x04'.padEnd(99)), whole.subarray(4)]) {
    writeFileSync(path, bytes);
    expect(refusal(path).code).toBe('engine.model');
  }
  mkdirSync(join(place, 'directory'));
  expect(refusal(join(place, 'directory')).code).toBe('engine.model');
  execFileSync('sh', ['-c', `mkfifo '${join(place, 'pipe')}'`]);
  expect(refusal(join(place, 'pipe')).message).toBe('is not a file');
  expect(refusal(join(place, 'absent')).errno).toBe('ENOENT');
});

test('models whose state cannot be promised are refused: sliding windows, recurrent layers, split files, unknown architectures', () => {
  for (const [key, replacement, reason] of [
    ['llama.vocab_size', 'llama.attention.sliding_window', /sliding window/],
    ['llama.vocab_size', 'llama.ssm.state_size', /recurrent/],
    ['llama.vocab_size', 'split.count', /split/],
  ] as const) {
    const path = join(place, 'unsupported.gguf');
    writeFileSync(path, renameKey(whole, key, replacement));
    const error = refusal(path);
    expect(error.code).toBe('engine.unsupported');
    expect(error.message).toMatch(reason);
  }
  const mamba = Buffer.from(whole.toString('latin1').replaceAll('llama', 'mamba'), 'latin1');
  const path = join(place, 'mamba.gguf');
  writeFileSync(path, mamba);
  expect(refusal(path).code).toBe('engine.unsupported');
});

function refusal(path: string): CtxError {
  try {
    readModelFacts(path);
  } catch (error) {
    if (error instanceof CtxError) return error;
    throw error;
  }
  throw new Error(`${path} was accepted`);
}

function renameKey(bytes: Buffer, key: string, replacement: string): Buffer {
  const at = bytes.indexOf(key) - 8;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(replacement.length));
  const parts = [bytes.subarray(0, at), length, Buffer.from(replacement), bytes.subarray(at + 8 + key.length), Buffer.alloc(64)];
  return Buffer.concat(parts);
}

// The last tensor's name stands in the header only.
function headerLength(bytes: Buffer): number {
  const last = 'blk.1.ffn_down.weight';
  return bytes.indexOf(last) + last.length + 4 + 16 + 4 + 8;
}

function every(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
}

function xorshift(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
