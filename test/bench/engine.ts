// Restore against prefill: what saved state is worth, over a random Llama of the shape of 0.4 billion weights, beside
// llama-server's slot save and restore in the same run. Prints JSON, and writes it with --json after each size: a run that is
// ended keeps what it has.
// Usage: node test/bench/run.mjs test/bench/engine.ts [--long] [--threads N] [--json FILE] [TOKENS…]
//        (default: 1024 2048 4096; --long: 8192 16384 too)
// BENCH_MODEL: a GGUF file instead of the random one. BENCH_PEER_TOKENS: llama-server is asked up to so many (default: all).
// The engine must be installed (ctx engine install); llama-server is left out where it is not built (scripts/build-llama-server).
//
// Each size goes on from the state of the one before, and its prefill is the sum: the same chunks are evaluated as in one go, so
// that all sizes cost what the largest costs (by one thread some 5 minutes of processor time for 16,384 tokens, as much again
// for llama-server).
// restore: open, structure, sum, native load, proof, by who never saw the file (digest: a file without a seal; known: the
// same process again). read and load: the two parts that nobody can do without, a plain read of the file and llama's own load.
// cpu_ms is processor time of all threads: what others leave of the machine does not show in it. One thread evaluates unless
// --threads says otherwise: two spin at their barriers where they do not run at once. prefill_over_* takes prefill as spread
// over all processors.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sealWritten } from '../../src/engine/state-seal.ts';
import { LiveState } from '../../src/engine/llama/live-state.ts';
import { ENGINE_PACKAGE, ENGINE_VERSION } from '../../src/engine/llama/native.ts';
import { SavedStates } from '../../src/engine/llama/saved-state.ts';
import type { StateShape } from '../../src/engine/state-file.ts';
import type { ArtifactFile } from '../../src/engine/types.ts';
import { makeTinyModel, openModel, someTokens } from '../engine/tiny.ts';
import { HAS_PEER, startPeer } from './slot-server.ts';
import type { Peer } from './slot-server.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { long: { type: 'boolean' }, threads: { type: 'string', default: '1' }, json: { type: 'string' } },
});
const ROUNDS = 9;
const THREADS = Number(options.threads);
const PROCESSORS = availableParallelism();
const PEER_TOKENS = Number(process.env['BENCH_PEER_TOKENS'] ?? Infinity);
const signal = new AbortController().signal;

interface Cost {
  readonly ms: number;
  readonly cpu_ms: number;
}

/** Remembers no file from one call to the next, as a process that just started. */
class Forgetful extends SavedStates {
  readonly #shape: StateShape;

  constructor(shape: StateShape) {
    super(shape);
    this.#shape = shape;
  }

  override withVerified(base: ArtifactFile, stop: AbortSignal, load: (path: string) => Promise<void>): Promise<void> {
    return new SavedStates(this.#shape).withVerified(base, stop, load);
  }
}

/** What the next size goes on from. */
interface Before {
  readonly base: ArtifactFile;
  readonly prefill: Cost;
}

const sizes = positionals.map(Number);
if (sizes.length === 0) sizes.push(1024, 2048, 4096);
if (options.long === true) sizes.push(8192, 16_384);
sizes.sort((a, b) => a - b);
if (sizes.some((size) => !(size >= 64))) throw new Error('sizes are numbers of tokens, at least 64');
const place = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctxfs-bench-'));
const about = {
  benchmark: 'engine',
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  kernel: release(),
  cpu: cpus()[0]?.model,
  processors: PROCESSORS,
  threads: THREADS,
  node: process.version,
  engine: `${ENGINE_PACKAGE}@${ENGINE_VERSION}`,
  model: process.env['BENCH_MODEL'] === undefined ? 'random, of the shape of 0.4 billion weights' : 'given',
  rounds: ROUNDS,
};
const rows: unknown[] = [];
try {
  const path = process.env['BENCH_MODEL'] ?? makeTinyModel(join(place, 'model.gguf'), '--shape', '0.4b');
  const contextTokens = Math.max(...sizes) + 64;
  const { model, shape } = await openModel(path, { contextTokens });
  const context = await model.createContext({
    contextSize: contextTokens,
    sequences: 1,
    batchSize: 512,
    threads: THREADS,
    flashAttention: true,
  });
  const live = new LiveState(context, new SavedStates(shape));
  const fresh = new LiveState({ contextSize: contextTokens, getSequence: () => live.sequence }, new Forgetful(shape));
  const peerSizes = HAS_PEER ? sizes.filter((size) => size <= PEER_TOKENS) : [];
  const server =
    peerSizes.length === 0
      ? undefined
      : await startPeer({ model: path, contextTokens: Math.max(...peerSizes) + 64, directory: place, threads: THREADS });
  let before: Before | undefined;
  let serverBefore: Cost = { ms: 0, cpu_ms: 0 };
  try {
    for (const count of sizes) {
      const ours = await measure(count);
      const theirs = server !== undefined && peerSizes.includes(count) ? await measurePeer(server, count) : undefined;
      const faster = theirs === undefined ? {} : { server_restore_over_ours: round(theirs.server_restore.cpu_ms / ours.restore.cpu_ms) };
      rows.push({ ...ours, ...theirs, ...faster });
      if (options.json !== undefined) writeFileSync(options.json, report());
      process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
    }
  } finally {
    await server?.end();
  }
  console.log(report().trimEnd());

  async function measure(count: number): Promise<{ readonly restore: Cost } & Record<string, unknown>> {
    const tokens = someTokens(count);
    const file = join(place, `${count}.kv`);
    await live.drop();
    const { reusedTokens: from } = await live.prepare(tokens, before?.base, false, signal);
    if (from !== (before?.base.tokens.length ?? 0)) throw new Error(`goes on from ${from} tokens`);
    const evaluated = await cost(async () => {
      await live.evaluate(tokens, from, 'evaluate', signal, () => undefined);
    });
    const prefill = sum(before?.prefill, evaluated);
    let made: Awaited<ReturnType<LiveState['save']>> | undefined;
    const save = await cost(async () => {
      made = await live.save(tokens, file);
    });
    if (made === undefined) throw new Error('nothing was saved');
    const { bytes, digest } = made;
    const seal = sealWritten(made.written, statSync(file, { bigint: true }));
    if (seal === undefined) throw new Error('the saved state has no seal');
    const unsealed: ArtifactFile = { path: file, tokens, bytes, digest };
    const sealed: ArtifactFile = { ...unsealed, seal };
    const drop = async (): Promise<void> => {
      await fresh.drop();
      await live.drop();
    };
    before = { base: sealed, prefill };
    const restored = (state: LiveState, base: ArtifactFile) => async (): Promise<void> => {
      const { reusedTokens, refused } = await state.prepare(tokens, base, false, signal);
      if (refused !== undefined || reusedTokens !== count) throw new Error(`not restored: ${refused ?? reusedTokens}`);
    };
    // A file is remembered as verified when it has not changed for two seconds.
    await drop();
    for (const since = performance.now(); performance.now() - since < 2100;) await restored(fresh, sealed)();
    await drop();
    await restored(live, sealed)();
    const kinds: Record<string, () => Promise<void>> = {
      restore: restored(fresh, sealed),
      known: restored(live, sealed),
      digest: restored(fresh, unsealed),
      read: async () => void (await readFile(file)),
      load: async () => live.sequence.loadStateFromFile(file, { acceptRisk: true }),
    };
    const costs = await interleaved(drop, kinds);
    const { restore, known, digest: digested, read, load } = costs as Record<'restore' | 'known' | 'digest' | 'read' | 'load', Cost>;
    // A saved state holds no logits: the floor of any answer is one more token.
    await drop();
    await restored(live, sealed)();
    const next = await cost(async () => live.sequence.evaluateWithoutGeneratingNewTokens([5]));
    await drop();
    const best = prefill.cpu_ms / PROCESSORS;
    const ratios = {
      prefill_over_restore: round(best / restore.cpu_ms),
      prefill_over_known: round(best / known.cpu_ms),
      prefill_over_digest: round(best / digested.cpu_ms),
      restore_over_read_and_load: round(restore.cpu_ms / (read.cpu_ms + load.cpu_ms)),
      known_over_read_and_load: round(known.cpu_ms / (read.cpu_ms + load.cpu_ms)),
      digest_over_read_and_load: round(digested.cpu_ms / (read.cpu_ms + load.cpu_ms)),
    };
    return { tokens: count, bytes, prefill, save, ...costs, restore, next_token: next, ...ratios };
  }

  /** The same tokens in llama-server: its own words for prompt and restore, what a client waits, its processor time. */
  async function measurePeer(peer: Peer, count: number): Promise<{ readonly server_restore: Cost } & Record<string, unknown>> {
    // What its slot holds of the size before is not evaluated again.
    serverBefore = sum(serverBefore, await peer.prefill(someTokens(count)));
    const save = await peer.slot('save', 'bench.kv');
    const times: Cost[] = [];
    const own: number[] = [];
    for (let at = 0; at < ROUNDS; at += 1) {
      await peer.slot('erase');
      const { ms, cpu_ms, reply } = await peer.slot('restore', 'bench.kv');
      if (reply['n_restored'] !== count) throw new Error(`the server restored ${String(reply['n_restored'])} tokens`);
      times.push({ ms, cpu_ms });
      own.push(Number((reply['timings'] as Record<string, unknown>)['restore_ms']));
    }
    return {
      server_prefill: serverBefore,
      server_save: { ms: save.ms, cpu_ms: save.cpu_ms },
      server_restore: medianCost(times),
      server_restore_own_ms: round(own.sort((a, b) => a - b)[ROUNDS >> 1] as number),
    };
  }
} finally {
  rmSync(place, { recursive: true });
}
process.exit(0);

function report(): string {
  return `${JSON.stringify({ ...about, rows }, undefined, 2)}\n`;
}

function sum(one: Cost | undefined, other: Cost): Cost {
  return { ms: round((one?.ms ?? 0) + other.ms), cpu_ms: round((one?.cpu_ms ?? 0) + other.cpu_ms) };
}

async function cost(work: () => Promise<void>): Promise<Cost> {
  const before = process.cpuUsage();
  const start = performance.now();
  await work();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return { ms: round(ms), cpu_ms: round((user + system) / 1000) };
}

/** One of each in turn, so that all see the same machine. */
async function interleaved(
  before: () => Promise<void>,
  kinds: Readonly<Record<string, () => Promise<void>>>,
): Promise<Record<string, Cost>> {
  const costs: Record<string, Cost[]> = {};
  for (let at = 0; at < ROUNDS; at += 1)
    for (const [name, work] of Object.entries(kinds)) {
      await before();
      (costs[name] ??= []).push(await cost(work));
    }
  return Object.fromEntries(Object.entries(costs).map(([name, all]) => [name, medianCost(all)]));
}

function medianCost(all: readonly Cost[]): Cost {
  const middle = (of: keyof Cost): number => all.map((each) => each[of]).sort((a, b) => a - b)[all.length >> 1] as number;
  return { ms: middle('ms'), cpu_ms: middle('cpu_ms') };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
