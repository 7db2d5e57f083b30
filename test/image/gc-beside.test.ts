// IMG-5, IMG-22: gc in one process, builds, tags and removals in another, on one store. CTX_GC_ROUNDS=200 is the long form.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { checkStore } from '../../src/image/fsck.ts';
import { readImage } from '../../src/image/image.ts';
import { ImageStore, REF_NAME } from '../../src/image/layout-store.ts';
import { ROOT } from '../cli/program.ts';
import { scratch } from './scratch.ts';

const ROUNDS = Number(process.env['CTX_GC_ROUNDS'] ?? 3);

/** Collects over and over, until its stdin ends; prints how often. */
const COLLECTOR = `
  import { ImageStore } from '${ROOT}dist/src/image/layout-store.js';
  import { sweepStore } from '${ROOT}dist/src/image/gc.js';
  const store = await ImageStore.open(process.argv[1]);
  let [going, sweeps, removed] = [true, 0, 0];
  process.stdin.on('end', () => (going = false)).resume();
  process.stdout.write('begins\\n');
  while (going) {
    removed += (await sweepStore(store, { inUse: () => Promise.resolve([]), dryRun: false })).length;
    sweeps++;
    await new Promise((done) => setTimeout(done, 1));
  }
  console.log(JSON.stringify({ sweeps, removed }));`;

/** What the other process is told to do, one after the other; whatever is built shares blobs with what was built before. */
const BUILDER = `
  import * as fs from 'node:fs/promises';
  import { ImageStore, REF_NAME } from '${ROOT}dist/src/image/layout-store.js';
  import { buildDirectory } from '${ROOT}dist/src/image/build-directory.js';
  import { tagImage } from '${ROOT}dist/src/image/image.js';
  const [place, directory, steps] = process.argv.slice(1);
  const store = await ImageStore.open(place);
  const named = {};
  for (const { kind, name, text } of JSON.parse(steps)) {
    if (kind === 'remove') {
      await store.change((entries) => entries.filter(({ annotations }) => annotations?.[REF_NAME] !== name));
      delete named[name];
      continue;
    }
    await fs.writeFile(directory + '/context.yaml', 'name: ' + name + '\\nsource: {documents: [shared.md, own.md]}\\n');
    await fs.writeFile(directory + '/own.md', text);
    const hold = await store.hold();
    try {
      const built = await buildDirectory(store, { directory, as: undefined, epochSeconds: undefined });
      await tagImage(store, built.image, built.key);
      named[built.key] = built.image.descriptor.digest;
    } finally {
      await hold.release();
    }
  }
  console.log(JSON.stringify(named));`;

interface Program {
  readonly begun: Promise<unknown>;
  readonly said: Promise<string>;
  stop(): void;
}

function start(program: string, ...args: readonly string[]): Program {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
  const said = once(child, 'close').then(([code]) => {
    expect(code).toBe(0);
    return text.trim().split('\n').at(-1) ?? '';
  });
  return { begun: once(child.stdout, 'data'), said, stop: () => child.stdin.end() };
}

const name = fc.constantFrom('a:latest', 'b:latest', 'c/d:latest');
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('build'), name, text: fc.constantFrom('one', 'two', 'three', 'four') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove'), name }) },
);

test('IMG-5 gc beside builds in another process loses nothing that has a name, and leaves nothing that has none', async () => {
  const place = join(await scratch(), 'layout');
  const directory = await scratch();
  await fs.writeFile(join(directory, 'shared.md'), 'shared\n');
  const store = await ImageStore.open(place);
  await store.change(() => []);
  const collector = start(COLLECTOR, place);
  await collector.begun;
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 30 }), async (steps) => {
        await store.change(() => []);
        const named = JSON.parse(await start(BUILDER, place, directory, JSON.stringify(steps)).said) as Record<string, string>;
        const entries = await store.entries();
        expect(Object.fromEntries(entries.map(({ annotations, digest }) => [annotations?.[REF_NAME], digest]))).toEqual(named);
        for (const entry of entries) {
          const { manifest } = await readImage(store, entry);
          for (const layer of manifest.layers) for await (const piece of store.stream(layer)) void piece;
        }
      }),
      { numRuns: ROUNDS, endOnFailure: true },
    );
    // Nothing has a name any more: the other process takes all of it.
    await store.change(() => []);
    await vi.waitUntil(async () => (await fs.readdir(join(place, 'blobs/sha256'))).length === 0, { timeout: 120_000, interval: 20 });
  } finally {
    collector.stop();
  }
  const { sweeps, removed } = JSON.parse(await collector.said) as { sweeps: number; removed: number };
  expect(sweeps).toBeGreaterThan(0);
  expect(removed).toBeGreaterThan(0);
  expect(await checkStore(store)).toEqual([]);
  expect(await fs.readdir(join(place, 'tmp'))).toEqual([]);
}, 3_600_000);
