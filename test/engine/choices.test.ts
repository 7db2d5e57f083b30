import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { readModelFacts } from '../../src/engine/gguf.ts';
import { choose } from '../../src/engine/llama/describe.ts';
import { makeTinyModel, tinyConfig } from './tiny.ts';

test('a small model is evaluated by one thread, a large one by all, and what is configured decides', () => {
  const place = mkdtempSync(join(tmpdir(), 'choices-'));
  try {
    const path = makeTinyModel(join(place, 'tiny.gguf'));
    const { threads: _, ...config } = tinyConfig(path);
    const small = readModelFacts(path);
    const threads = (bytes: number, configured?: number): number =>
      choose({ ...config, ...(configured === undefined ? {} : { threads: configured }) }, { ...small, bytes }, 8).threads;
    expect([threads(small.bytes), threads(5e9), threads(small.bytes, 3), threads(5e9, 2)]).toEqual([1, 8, 3, 2]);
  } finally {
    rmSync(place, { recursive: true });
  }
});
