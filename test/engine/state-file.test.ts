// The table of bad state files (what the native loader does with them is why): each is refused before a loader is called.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import { SavedStates } from '../../src/engine/llama/saved-state.ts';
import { stateBytes } from '../../src/engine/state-file.ts';
import type { StateShape } from '../../src/engine/state-file.ts';
import { lookOf } from '../../src/engine/state-seal.ts';
import { makeTinyModel, openModel, scratch, someTokens } from './tiny.ts';

const place = scratch();
afterAll(() => rm(place, { recursive: true }));
const COUNT = 100;
const tokens = someTokens(COUNT);
const signal = new AbortController().signal;
let good: Buffer;
let shape: StateShape;
/** Offsets of everything that is structure: all but the keys' and values' own bytes. */
let structure: number[];

beforeAll(async () => {
  // Values by column have more structure than values by row.
  ({ shape, good } = await saveGood(false));
  structure = structuralBytes(shape, good.length);
});

async function saveGood(flashAttention: boolean): Promise<{ readonly shape: StateShape; readonly good: Buffer }> {
  const path = join(place, `${flashAttention}.gguf`);
  const model = await openModel(makeTinyModel(path), { contextTokens: 512, flashAttention });
  const live = await model.newLive();
  await live.prepare(tokens, undefined, false, signal);
  await live.evaluate(tokens, 0, 'evaluate', signal, () => undefined);
  await live.save(tokens, join(place, 'good.kv'));
  return { shape: model.shape, good: readFileSync(join(place, 'good.kv')) };
}

test('a state with its values by row is loaded, and refused with any structural byte changed', async () => {
  const rows = await saveGood(true);
  expect(rows.shape.transposed).toBe(false);
  expect(await attemptFile(write(rows.good), rows.good.length, digest(rows.good), rows.shape)).toBe('loaded');
  for (const at of structuralBytes(rows.shape, rows.good.length)) {
    const bytes = Buffer.from(rows.good);
    bytes[at] = (bytes[at] as number) ^ 0x41;
    expect(await attemptFile(write(bytes), bytes.length, digest(bytes), rows.shape), `byte ${at}`).toBe('engine.state');
  }
});

test('a saved state has the size and structure that the model says, and is loaded', async () => {
  expect(good.length).toBe(stateBytes(shape, COUNT));
  expect(await attempt(good)).toBe('loaded');
});

test('a state with any structural byte changed is refused although its digest is right', async () => {
  for (const at of structure) {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] as number) ^ 0x41;
    expect(await attempt(bytes), `byte ${at}`).toBe('engine.state');
  }
});

test('fields set to what aborts or misleads a loader are refused although the digest is right', async () => {
  const cells = 12 + COUNT * 4;
  const layers = cells + 8 + COUNT * 12;
  for (const [at, value] of [
    [0, 0x67677373],
    [4, 2],
    [8, 0],
    [8, COUNT + 1],
    [8, 0xffffffff],
    [12, 1 << 30],
    [12 + 50 * 4, shape.vocabularySize],
    [12 + 50 * 4, (tokens[50] as number) ^ 1],
    [cells, 2],
    [cells + 4, 0],
    [cells + 4, 1 << 28],
    [cells + 4, COUNT - 1],
    [cells + 8, 7],
    [cells + 12, 0],
    [cells + 12, 1 << 20],
    [layers, 0],
    [layers + 4, 3],
    [layers + 8, 8],
    [layers + 12, 0],
  ] as const) {
    const bytes = Buffer.from(good);
    bytes.writeUInt32LE(value, at);
    expect(await attempt(bytes), `${value} at ${at}`).toBe('engine.state');
  }
});

test('a state cut at any byte of its head, at every boundary and inside keys and values is refused', async () => {
  const cuts = new Set([...Array(600).keys(), ...structure, ...structure.map((at) => at + 1)]);
  for (let at = 600; at < good.length; at += 331) cuts.add(at);
  cuts.add(good.length - 1);
  cuts.delete(good.length);
  const path = join(place, 'cut.kv');
  writeFileSync(path, good);
  for (const bytes of [...cuts].sort((a, b) => b - a)) {
    truncateSync(path, bytes);
    expect(await attemptFile(path, bytes, digest(good)), `${bytes} bytes, as many as promised`).toBe('engine.state');
    expect(await attemptFile(path, good.length, digest(good)), `${bytes} bytes`).toBe('engine.state');
  }
});

test('a state with bytes after its end is refused', async () => {
  for (const more of [1, 4, 4096]) expect(await attempt(Buffer.concat([good, Buffer.alloc(more)]))).toBe('engine.state');
});

test('2,000 random changes anywhere are refused by the digest that was taken when the state was saved', async () => {
  const path = join(place, 'flipped.kv');
  const random = xorshift(11);
  const bytes = Buffer.from(good);
  for (let round = 0; round < 2000; round += 1) {
    const at = random() % bytes.length;
    const before = bytes[at] as number;
    bytes[at] = before ^ (1 << (random() % 8));
    writeFileSync(path, bytes);
    bytes[at] = before;
    expect(await attemptFile(path, good.length, digest(good)), `byte ${at}`).toBe('engine.state');
  }
});

test('ENG-14 a file that nobody wrote since its digest was taken is loaded first, and its digest is owed; another look counts for nothing', async () => {
  const path = write(good);
  const look = lookNow(path);
  const wrong = `sha256-${'0'.repeat(64)}`;
  expect(await attemptFile(path, good.length, wrong)).toBe('engine.state');
  expect(await attemptFile(path, good.length, digest(good), shape, tokens, look)).toBe('loaded, owed: nothing');
  expect(await attemptFile(path, good.length, wrong, shape, tokens, look)).toBe('loaded, owed: engine.state');
  // As after another start of the machine.
  expect(await attemptFile(path, good.length, wrong, shape, tokens, look.replace(/^[^:]+/, 'another-boot'))).toBe('engine.state');
  expect(await attemptFile(path, good.length, digest(good), shape, tokens, look.replace(/^[^:]+/, ''))).toBe('loaded');
  const { atime, mtime } = statSync(path);
  writeFileSync(path, good);
  utimesSync(path, atime, mtime);
  expect(await attemptFile(path, good.length, wrong, shape, tokens, look), 'written again, its times set back').toBe('engine.state');
  expect(await attemptFile(path, good.length, digest(good), shape, tokens, look), 'the same bytes in a new file').toBe('loaded');
});

test('ENG-14 500 random changes that left no trace but the bytes are refused by the structure or by the digest that is owed', async () => {
  const path = join(place, 'rotten.kv');
  const random = xorshift(29);
  const bytes = Buffer.from(good);
  const seen = new Set<string>();
  for (let round = 0; round < 500; round += 1) {
    const at = random() % bytes.length;
    const before = bytes[at] as number;
    bytes[at] = before ^ (1 << (random() % 8));
    writeFileSync(path, bytes);
    bytes[at] = before;
    const outcome = await attemptFile(path, good.length, digest(good), shape, tokens, lookNow(path));
    expect(['engine.state', 'loaded, owed: engine.state'], `byte ${at}`).toContain(outcome);
    if (structure.includes(at)) expect(outcome, `byte ${at}`).toBe('engine.state');
    seen.add(outcome);
  }
  expect(seen.size).toBe(2);
});

test('numbers that are none in keys or values are refused by the digest', async () => {
  const bytes = Buffer.from(good);
  bytes.writeUInt16LE(0x7e00, good.length - 2);
  expect(await attemptFile(write(bytes), bytes.length, digest(good))).toBe('engine.state');
});

test('a state of other tokens, another K/V type, another layout or another model shape is refused', async () => {
  const path = write(good);
  const other = Uint32Array.from(tokens, (token, index) => (index === COUNT - 1 ? token ^ 1 : token));
  expect(await attemptFile(path, good.length, digest(good), shape, other)).toBe('engine.state');
  expect(await attemptFile(path, good.length, digest(good), shape, tokens.slice(0, -1))).toBe('engine.state');
  for (const change of [
    { layers: shape.layers + 1 },
    { layers: shape.layers - 1 },
    { keyType: 8 },
    { valueType: 30 },
    { keyRowBytes: shape.keyRowBytes * 2 },
    { valueRowItems: shape.valueRowItems / 2 },
    { transposed: !shape.transposed },
    { vocabularySize: 100 },
  ]) {
    expect(await attemptFile(path, good.length, digest(good), { ...shape, ...change }), JSON.stringify(change)).toBe('engine.state');
  }
});

test('a state that is replaced or changed after it was verified once is verified again', async () => {
  const path = write(good);
  const saved = new SavedStates(shape);
  const base = { path, bytes: good.length, digest: digest(good), tokens };
  let loads = 0;
  const load = (): Promise<void> => {
    loads += 1;
    return Promise.resolve();
  };
  // Only a file that has not changed for two seconds is remembered as verified.
  await sleep(2100);
  await saved.withVerified(base, signal, load);
  const bytes = Buffer.from(good);
  bytes[good.length - 1] = (bytes[good.length - 1] as number) ^ 1;
  writeFileSync(path, bytes);
  await expect(saved.withVerified(base, signal, load)).rejects.toMatchObject({ code: 'engine.state' });
  rmSync(path);
  await expect(saved.withVerified(base, signal, load)).rejects.toMatchObject({ code: 'engine.state' });
  expect(loads).toBe(1);
});

test('the loader is handed the very file that was verified, even when another takes its name meanwhile', async () => {
  const path = write(good);
  const seen: Buffer[] = [];
  await new SavedStates(shape).withVerified({ path, bytes: good.length, digest: digest(good), tokens }, signal, (verified) => {
    rmSync(path);
    writeFileSync(path, 'something else');
    seen.push(readFileSync(verified));
    return Promise.resolve();
  });
  expect(seen[0]?.equals(good)).toBe(true);
});

function attempt(bytes: Buffer): Promise<string> {
  return attemptFile(write(bytes), bytes.length, digest(bytes));
}

function write(bytes: Buffer): string {
  const path = join(place, 'attempt.kv');
  writeFileSync(path, bytes);
  return path;
}

/** `loaded` where a loader would have been called, and what the digest says that is taken after it; else the code of the refusal. */
async function attemptFile(
  path: string,
  bytes: number,
  sum: string,
  as: StateShape = shape,
  wanted: Uint32Array = tokens,
  look?: string,
): Promise<string> {
  let outcome = 'nothing happened';
  try {
    const base = { path, bytes, digest: sum, tokens: wanted, ...(look === undefined ? {} : { look }) };
    const owed = await new SavedStates(as).withVerified(base, signal, () => {
      outcome = 'loaded';
      return Promise.resolve();
    });
    if (owed !== undefined) {
      outcome = 'loaded, owed: nothing';
      await owed(signal);
    }
  } catch (error) {
    if (!(error instanceof CtxError)) throw error;
    expect(error.describe()).toContain(path);
    return outcome.startsWith('loaded') ? `loaded, owed: ${error.code}` : error.code;
  }
  return outcome;
}

function lookNow(path: string): string {
  return lookOf(statSync(path, { bigint: true }));
}

function digest(bytes: Buffer): string {
  return `sha256-${createHash('sha256').update(bytes).digest('hex')}`;
}

function structuralBytes(of: StateShape, size: number): number[] {
  const offsets = Array.from({ length: 12 + COUNT * 4 + 8 + COUNT * 12 + 8 }, (_, index) => index);
  let at = offsets.length;
  for (const row of [of.keyRowBytes, of.valueRowBytes]) {
    for (let layer = 0; layer < of.layers; layer += 1) {
      offsets.push(...Array.from({ length: 12 }, (_, index) => at + index));
      at += 12 + COUNT * row;
    }
  }
  expect(at).toBe(size);
  return offsets;
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
