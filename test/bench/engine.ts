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
// restore: open, structure, native load, proof of reuse, by who never saw the file that nobody wrote since (known: the same
// process again; proven: until the digest that is taken beside what follows holds too; digest: a file that looks otherwise).
// read and load: the two parts that nobody can do without, a plain read of the file and llama's own load.
// save: until the file is whole and has its name, and the sequence may go on; sealed: until its sha256 is known too.
// llama-server's rounds are interleaved with ours, each saves a new file.
// The memory of the process is in large pages, as that of the engine's process.
// cpu_ms is processor time of all threads: what others leave of the machine does not show in it. One thread evaluates unless
// --threads says otherwise: two spin at their barriers where they do not run at once. prefill_over_* takes prefill as spread
// over all processors.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { largePages } from '../../src/engine/llama/engine-child.ts';
import { LiveState } from '../../src/engine/llama/live-state.ts';
import { ENGINE_PACKAGE, ENGINE_VERSION } from '../../src/engine/llama/native.ts';
import { SavedStates } from '../../src/engine/llama/saved-state.ts';
import type { Owed } from '../../src/engine/llama/saved-state.ts';
import type { StateShape } from '../../src/engine/state-file.ts';
import { lookOfWritten } from '../../src/engine/state-seal.ts';
import type { ArtifactFile } from '../../src/engine/types.ts';
import { makeTinyModel, openModel, someTokens } from '../engine/tiny.ts';
import { HAS_PEER, startPeer } from './slot-server.ts';
import type { Peer } from './slot-server.ts';

const pages = largePages(undefined).GLIBC_TUNABLES;
if (process.env['GLIBC_TUNABLES'] !== pages) {
  const run = new URL('run.mjs', import.meta.url).pathname;
  const again = [run, ...process.argv.slice(1)];
  process.exit(spawnSync(process.execPath, again, { stdio: 'inherit', env: { ...process.env, GLIBC_TUNABLES: pages } }).status ?? 1);
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { long: { type: 'boolean' }, threads: { type: 'string', default: '1' }, json: { type: 'string' } },
});
const ROUNDS = 9;
const SAVES = 5;
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

  override withVerified(base: ArtifactFile, stop: AbortSignal, load: (path: string) => Promise<void>): Promise<Owed | undefined> {
    return new SavedStates(this.#shape).withVerified(base, stop, load);
  }
}

/** The same tokens in llama-server: its own words for prompt and restore, what a client waits, its processor time. */
class PeerSlot {
  readonly #peer: Peer;
  readonly #count: number;
  readonly #own: number[] = [];

  constructor(peer: Peer, count: number) {
    this.#peer = peer;
    this.#count = count;
  }

  /** What its slot holds of the size before is not evaluated again. */
  async prefill(before: Cost): Promise<Cost> {
    return sum(before, await this.#peer.prefill(someTokens(this.#count)));
  }

  async erase(): Promise<void> {
    await this.#peer.slot('erase');
  }

  removeFile(): void {
    rmSync(join(this.#peer.slots, 'bench.kv'), { force: true });
  }

  async save(): Promise<Cost> {
    const { ms, cpu_ms, reply } = await this.#peer.slot('save', 'bench.kv');
    if (reply['n_saved'] !== this.#count) throw new Error(`the server saved ${String(reply['n_saved'])} tokens`);
    return { ms, cpu_ms };
  }

  async restore(): Promise<Cost> {
    const { ms, cpu_ms, reply } = await this.#peer.slot('restore', 'bench.kv');
    if (reply['n_restored'] !== this.#count) throw new Error(`the server restored ${String(reply['n_restored'])} tokens`);
    this.#own.push(Number((reply['timings'] as Record<string, unknown>)['restore_ms']));
    return { ms, cpu_ms };
  }

  told(prefill: Cost): Record<string, unknown> {
    return { server_prefill: prefill, server_restore_own_ms: round(this.#own.sort((a, b) => a - b)[this.#own.length >> 1] as number) };
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
      const theirs = server !== undefined && peerSizes.includes(count) ? new PeerSlot(server, count) : undefined;
      if (theirs !== undefined) serverBefore = await theirs.prefill(serverBefore);
      rows.push({ ...(await measure(count, theirs)), ...theirs?.told(serverBefore) });
      if (options.json !== undefined) writeFileSync(options.json, report());
      process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
    }
  } finally {
    await server?.end();
  }
  console.log(report().trimEnd());

  async function measure(count: number, theirs: PeerSlot | undefined): Promise<Record<string, unknown>> {
    const tokens = someTokens(count);
    const file = join(place, `${count}.kv`);
    await live.drop();
    const { reusedTokens: from } = await live.prepare(tokens, before?.base, false, signal);
    if (from !== (before?.base.tokens.length ?? 0)) throw new Error(`goes on from ${from} tokens`);
    const evaluated = await cost(async () => {
      await live.evaluate(tokens, from, 'evaluate', signal, () => undefined);
    });
    const prefill = sum(before?.prefill, evaluated);
    let last: Promise<unknown> | undefined;
    const saves = await interleaved(
      SAVES,
      async () => {
        await last;
        rmSync(file, { force: true });
        theirs?.removeFile();
      },
      {
        save: async () => void (last = (await live.save(tokens, file)).digest),
        sealed: async () => void (await (await live.save(tokens, file)).digest),
      },
      theirs === undefined ? {} : { server_save: () => theirs.save() },
    );
    const { bytes, written, ...saved } = await live.save(tokens, file);
    const digest = await saved.digest;
    const look = lookOfWritten(written, statSync(file, { bigint: true }));
    if (look === undefined) throw new Error('something was done to the saved state');
    const unsealed: ArtifactFile = { path: file, tokens, bytes, digest };
    const sealed: ArtifactFile = { ...unsealed, look };
    const drop = async (): Promise<void> => {
      await fresh.drop();
      await live.drop();
    };
    before = { base: sealed, prefill };
    const restored = (state: LiveState, base: ArtifactFile) => async (): Promise<void> => {
      const { reusedTokens, refused } = await state.prepare(tokens, base, false, signal);
      if (refused !== undefined || reusedTokens !== count) throw new Error(`not restored: ${refused ?? reusedTokens}`);
    };
    const proven = (state: LiveState, base: ArtifactFile) => async (): Promise<void> => {
      await restored(state, base)();
      await state.proven();
    };
    // A file is remembered as verified when it has not changed for two seconds.
    await drop();
    for (const since = performance.now(); performance.now() - since < 2100;) await restored(fresh, sealed)();
    await drop();
    await proven(live, sealed)();
    const cleared = async (): Promise<void> => {
      await drop();
      await theirs?.erase();
    };
    const load = async (): Promise<void> => live.sequence.loadStateFromFile(file, { acceptRisk: true });
    const restores = await interleaved(
      ROUNDS,
      cleared,
      { restore: restored(fresh, sealed), known: restored(live, sealed), load },
      theirs === undefined ? {} : { server_restore: () => theirs.restore() },
    );
    // Apart: these fill the processor's cache, and leave buffers to be collected.
    const reads = await interleaved(
      ROUNDS,
      cleared,
      { proven: proven(fresh, sealed), digest: restored(fresh, unsealed), read: async () => void (await readFile(file)) },
      {},
    );
    type Kind = 'restore' | 'known' | 'digest' | 'read' | 'load';
    const costs = { ...restores, ...reads };
    const { restore, known, digest: digested, read, load: loaded } = costs as Record<Kind, Cost>;
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
      restore_over_read_and_load: round(restore.cpu_ms / (read.cpu_ms + loaded.cpu_ms)),
      known_over_read_and_load: round(known.cpu_ms / (read.cpu_ms + loaded.cpu_ms)),
      digest_over_read_and_load: round(digested.cpu_ms / (read.cpu_ms + loaded.cpu_ms)),
    };
    return { tokens: count, bytes, prefill, ...saves, ...costs, next_token: next, ...ratios };
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

/** One of each in turn, so that all see the same machine; `told` say their costs themselves. */
async function interleaved(
  rounds: number,
  before: () => Promise<void>,
  kinds: Readonly<Record<string, () => Promise<void>>>,
  told: Readonly<Record<string, () => Promise<Cost>>>,
): Promise<Record<string, Cost>> {
  const costs: Record<string, Cost[]> = {};
  const work = { ...Object.fromEntries(Object.entries(kinds).map(([name, each]) => [name, () => cost(each)])), ...told };
  for (let at = 0; at < rounds; at += 1)
    for (const [name, each] of Object.entries(work)) {
      await before();
      (costs[name] ??= []).push(await each());
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
