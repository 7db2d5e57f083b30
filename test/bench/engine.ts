// Restore against prefill: what saved state is worth, over a random Llama of the shape of 0.4 billion weights. Prints JSON.
// Usage: node test/bench/run.mjs test/bench/engine.ts [TOKENS…]   (default: 1024 2048 4096)
// BENCH_MODEL: a GGUF file instead of the random one. The engine must be installed (ctx engine install).
// restore: open, structure, digest, native load, proof. known: the same process restores the file again, its digest known.
// read and load: the two parts that nobody can do without, for comparison: a plain read of the file, llama's own load.
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTinyModel, openModel, someTokens } from '../engine/tiny.ts';
import type { ArtifactFile } from '../../src/engine/types.ts';

const ROUNDS = 9;
const given = process.argv.slice(2).map(Number);
const sizes = given.length === 0 ? [1024, 2048, 4096] : given;
const place = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctxfs-bench-'));
const signal = new AbortController().signal;
const rows = [];
try {
  const path = process.env['BENCH_MODEL'] ?? makeTinyModel(join(place, 'model.gguf'), '--shape', '0.4b');
  const opened = await openModel(path, { contextTokens: Math.max(...sizes) + 64 });
  const live = await opened.newLive();
  for (const count of sizes) {
    const tokens = someTokens(count);
    const file = join(place, `${count}.kv`);
    await live.drop();
    const prefill = await once(async () => {
      await live.prepare(tokens, undefined, false, signal);
      await live.evaluate(tokens, 0, 'evaluate', signal, () => undefined);
    });
    let made = { bytes: 0, digest: '' };
    const save = await once(async () => {
      made = await live.save(tokens, file);
    });
    const base: ArtifactFile = { path: file, tokens, ...made };
    const restoreFrom = async (): Promise<void> => {
      const { reusedTokens, refused } = await live.prepare(tokens, base, false, signal);
      if (refused !== undefined || reusedTokens !== count) throw new Error(`not restored: ${refused ?? reusedTokens}`);
    };
    const unknown = await median(() => live.drop(), restoreFrom);
    // A file is remembered as verified when it has not changed for two seconds.
    await sleep(2100);
    await live.drop();
    await restoreFrom();
    const known = await median(() => live.drop(), restoreFrom);
    const read = await median(nothing, async () => void (await readFile(file)));
    const load = await median(
      () => live.drop(),
      async () => live.sequence.loadStateFromFile(file, { acceptRisk: true }),
    );
    await live.drop();
    rows.push({
      tokens: count,
      bytes: made.bytes,
      prefill_ms: prefill,
      save_ms: save,
      restore_ms: unknown,
      restore_known_ms: known,
      read_ms: read,
      load_ms: load,
      prefill_over_restore: round(prefill / unknown),
      prefill_over_known: round(prefill / known),
      restore_over_read_and_load: round(unknown / (read + load)),
    });
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
  }
  console.log(
    JSON.stringify(
      { cpu: cpus()[0]?.model, processors: availableParallelism(), node: process.version, rounds: ROUNDS, rows },
      undefined,
      2,
    ),
  );
} finally {
  rmSync(place, { recursive: true });
}
process.exit(0);

async function once(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return round(performance.now() - start);
}

async function median(before: () => Promise<void>, work: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < ROUNDS; at += 1) {
    await before();
    times.push(await once(work));
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1] as number;
}

function nothing(): Promise<void> {
  return Promise.resolve();
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
