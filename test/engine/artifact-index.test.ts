import { afterEach, beforeEach, expect, test } from 'vitest';
import { ArtifactIndex } from '../../src/engine/artifact-index.ts';
import type { ArtifactStore } from '../../src/engine/artifact-store.ts';
import { modelDirectory } from '../../src/engine/artifact-files.ts';
import { commonPrefix } from '../../src/engine/prefix.ts';
import { makeDirectory, model, openStore, put } from './artifact-fixture.ts';

let directory: ReturnType<typeof makeDirectory>;
let store: ArtifactStore;
beforeEach(async () => {
  directory = makeDirectory();
  store = await openStore(directory.path);
});
afterEach(() => directory.remove());

let state = 11;
const random = (most: number): number => (state = (state * 48_271) % 2_147_483_647) % most;

/** Prompts that share beginnings of every length: each parts from an earlier one somewhere. */
function family(count: number): readonly Uint32Array[] {
  const all: Uint32Array[] = [Uint32Array.from({ length: 2500 }, () => random(1000))];
  while (all.length < count) {
    const from = all[random(all.length)] as Uint32Array;
    const at = [1, 1023, 1024, 1025, 2047, 2048, from.length, random(from.length) + 1][random(8)] as number;
    const more = random(2) === 0 ? 0 : random(1500);
    const tokens = Uint32Array.from([...from.subarray(0, at), ...Array.from({ length: more }, () => random(1000))]);
    all.push(tokens);
  }
  return all;
}

test('ENG-4 the best base is one that no other shares more with, whatever the prompts share', async () => {
  const kept = new Map<string, Uint32Array>();
  for (const [index, tokens] of family(40).entries()) {
    const artifact = await put(store, tokens, `session ${index}`, 100);
    kept.set(artifact.meta.key, tokens);
  }
  const wanted = family(60);
  for (const tokens of [...wanted, ...kept.values(), ...[...kept.values()].map((each) => Uint32Array.of(...each, 1, 2, 3))]) {
    const most = Math.max(...[...kept.values()].map((each) => commonPrefix(each, tokens)));
    const best = await store.shelf.bestBase(model, tokens);
    expect(best?.shared ?? 0).toBe(most);
    if (best !== undefined) expect(commonPrefix(best.artifact.file.tokens, tokens)).toBe(most);
  }
});

test('ENG-5 what begins another is found, and nothing else, also by who just started', async () => {
  const all = family(40);
  const keys = new Map<string, Uint32Array>();
  for (const [index, tokens] of all.entries()) {
    const artifact = await put(store, tokens, `session ${index}`, 100);
    keys.set(artifact.meta.key, tokens);
  }
  const index = new ArtifactIndex(`${directory.path}/.engine/kv/${modelDirectory(model)}`, modelDirectory(model));
  await index.readChains(() => Promise.reject(new Error('damaged')));
  for (const tokens of all) {
    const begins = [...keys].filter(([, each]) => each.length < tokens.length && commonPrefix(each, tokens) === each.length);
    expect([...index.prefixesOf(tokens)].sort()).toEqual(begins.map(([key]) => key).sort());
  }
});
