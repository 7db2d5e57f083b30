// Compiled state on a real mount, over a random Llama of the shape of 0.4 billion weights: what a fork of a compiled session
// costs, and how long others wait for a stat and an append while a compile takes both processors. Prints JSON.
// Usage: node test/bench/run.mjs test/bench/mounted-kv.ts   BENCH_MODEL: a GGUF file instead of the random one. Build first.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeTinyModel } from '../engine/tiny.ts';
import { messageText } from './pack-corpus.ts';

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 10);
const run = promisify(execFile);
const CTX = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
const CLIENT = fileURLToPath(new URL('./kv-client.mjs', import.meta.url));
const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctxfs-bench-'));
const [mountpoint, store] = [join(root, 'mnt'), join(root, 'store')];
mkdirSync(mountpoint);
const env = { ...process.env, CTX_ROOT: mountpoint, CTX_STORE: store };
const ctx = async (...args: string[]): Promise<string> => (await run(process.execPath, [CTX, ...args], { env })).stdout;
const sessions = join(mountpoint, `home/${process.getuid?.() ?? 0}/agent/coder/session`);

interface Manifest {
  readonly state: string;
  readonly reason: string | null;
  readonly tokens: number;
  readonly evaluated_tokens: number;
  readonly reused_tokens: number;
  readonly bytes: number;
  readonly elapsed_ms: number;
  readonly progress: { readonly done: number } | null;
}

try {
  const model = process.env['BENCH_MODEL'] ?? makeTinyModel(join(root, 'model.gguf'), '--shape', '0.4b');
  await ctx('mount');
  await ctx('model', 'add', model, '--name', 'bench', '--context', '16384', '--threads', String(availableParallelism()), '--default');
  const fork = await measureFork();
  const wait = await measureWait();
  console.log(
    JSON.stringify({ cpu: cpus()[0]?.model, processors: availableParallelism(), node: process.version, fork, wait }, undefined, 2),
  );
} finally {
  await ctx('umount', '--lazy').catch(() => undefined);
  rmSync(root, { recursive: true, force: true });
}

async function measureFork(): Promise<Record<string, unknown>> {
  await newSession('parent', 3);
  const parent = await compiled('parent');
  const before = states();
  const started = performance.now();
  await ctx('fork', 'coder/parent', 'coder/child');
  const forked = performance.now();
  const child = await compiled('child');
  return {
    tokens: parent.tokens,
    parent_evaluated_tokens: parent.evaluated_tokens,
    child_evaluated_tokens: child.evaluated_tokens,
    child_reused_tokens: child.reused_tokens,
    state_bytes: parent.bytes,
    state_bytes_written: sum(states(), before),
    compile_ms: parent.elapsed_ms,
    child_compile_ms: child.elapsed_ms,
    ctx_fork_ms: Math.round(forked - started),
  };
}

/** Bytes of state files that were not there before, by inode and time of change. */
function sum(after: ReadonlyMap<string, number>, before: ReadonlyMap<string, number>): number {
  return [...after].reduce((bytes, [identity, size]) => bytes + (before.has(identity) ? 0 : size), 0);
}

function states(): ReadonlyMap<string, number> {
  const kv = join(store, '.engine', 'kv');
  const names = readdirSync(kv, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.kv'));
  const found = names.map((name) => statSync(join(kv, name)));
  return new Map(found.map(({ ino, size, ctimeMs }) => [`${ino} ${ctimeMs}`, size]));
}

async function measureWait(): Promise<Record<string, unknown>> {
  await newSession('other', 5);
  await newSession('busy', 400);
  const files = ['messages.jsonl', 'context/budget', 'context/pack.json', 'context/kv/manifest.json'].map((name) =>
    join(sessions, 'other', name),
  );
  const journal = join(sessions, 'other', 'messages.jsonl');
  const client = async (): Promise<unknown> =>
    JSON.parse(
      (await run(process.execPath, [CLIENT, JSON.stringify([join(mountpoint, 'status'), ...files]), journal, String(SECONDS)])).stdout,
    );
  await client();
  const alone = await client();
  readFileSync(join(sessions, 'busy', 'context/prompt.json'));
  await until('busy', ({ state, progress }) => state === 'compiling' && (progress?.done ?? 0) > 0);
  const compiling = await client();
  const { state } = manifest('busy');
  if (state !== 'compiling') throw new Error(`the compile ended before the measurement did: ${state}`);
  return { seconds: SECONDS, alone, compiling };
}

async function newSession(name: string, messages: number): Promise<void> {
  await ctx('new', `coder/${name}`);
  // The random model has few words: a token of the budget is two or three of its own.
  writeFileSync(join(sessions, name, 'context/budget'), '4000\n');
  const lines = Array.from({ length: messages }, (_, n) => `${messageText(n + 1)}\n`).join('');
  const child = run(process.execPath, [CTX, 'append', `coder/${name}`, '--lines'], { env });
  child.child.stdin?.end(lines);
  await child;
}

function manifest(session: string): Manifest {
  return JSON.parse(readFileSync(join(sessions, session, 'context/kv/manifest.json'), 'utf8')) as Manifest;
}

async function compiled(session: string): Promise<Manifest> {
  readFileSync(join(sessions, session, 'context/prompt.json'));
  return until(session, ({ state }) => state === 'ready');
}

async function until(session: string, holds: (manifest: Manifest) => boolean): Promise<Manifest> {
  for (;;) {
    const now = manifest(session);
    if (holds(now)) return now;
    if (now.state === 'failed') throw new Error(now.reason ?? 'failed');
    await sleep(20);
  }
}
