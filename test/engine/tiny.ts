// The tests' model: written by scripts/make-tiny-model, opened by the real engine.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readModelFacts } from '../../src/engine/gguf.ts';
import type { ModelFacts } from '../../src/engine/gguf.ts';
import { choose, shapeOf } from '../../src/engine/llama/describe.ts';
import { LiveState } from '../../src/engine/llama/live-state.ts';
import { engineDirectory, loadEngine } from '../../src/engine/llama/native.ts';
import type { LlamaModel } from '../../src/engine/llama/native.ts';
import { SavedStates } from '../../src/engine/llama/saved-state.ts';
import type { StateShape } from '../../src/engine/state-file.ts';
import type { ChatMessage, ModelConfig, Prompt } from '../../src/engine/types.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/make-tiny-model', import.meta.url));

export function scratch(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'ctxfs-engine-')));
}

export function makeTinyModel(out: string, ...options: string[]): string {
  execFileSync(process.execPath, [SCRIPT, '--out', out, ...options], { stdio: ['ignore', 'ignore', 'inherit'] });
  return out;
}

/** One thread: several that wait for each other in a loop crawl where others want the processors too. */
export function tinyConfig(path: string, more: Partial<ModelConfig> = {}): ModelConfig {
  return { provider: 'local', name: 'tiny', driver: 'llama', path, contextTokens: 4096, threads: 1, ...more };
}

export function prompt(...messages: (string | ChatMessage)[]): Prompt {
  return { messages: messages.map((each) => (typeof each === 'string' ? { role: 'user', content: each } : each)), tools: [] };
}

/** Token ids that no byte pattern repeats soon. */
export function someTokens(count: number, seed = 13): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => (index * 7919 + seed * (index % 17)) % 250);
}

export interface OpenModel {
  readonly facts: ModelFacts;
  readonly model: LlamaModel;
  readonly shape: StateShape;
  readonly saved: SavedStates;
  newLive(): Promise<LiveState>;
}

/** The engine in the test's own process: for what a child would not show (logits, tokens one by one). */
export async function openModel(path: string, more: Partial<ModelConfig> = {}): Promise<OpenModel> {
  const facts = readModelFacts(path);
  const choices = choose(tinyConfig(path, more), facts, 2);
  const native = await loadEngine(engineDirectory());
  const llama = await native.getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 2, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath: path });
  const shape = shapeOf(facts, choices);
  const saved = new SavedStates(shape);
  const newLive = async (): Promise<LiveState> => {
    const { contextTokens, flashAttention, keyType, valueType } = choices;
    const types = { experimentalKvCacheKeyType: keyType, experimentalKvCacheValueType: valueType };
    return new LiveState(
      await model.createContext({ contextSize: contextTokens, sequences: 1, batchSize: 512, threads: 2, flashAttention, ...types }),
      saved,
    );
  };
  return { facts, model, shape, saved, newLive };
}
