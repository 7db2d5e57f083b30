// The pack on a real mount: cold build, restart, re-read after one append, stat of other files meanwhile, daemon memory.
// node test/bench/run.mjs test/bench/mounted-pack.ts [messages…]   (default 1000 10000 100000 1000000; prints one JSON line each)
import { execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { initialControls } from '../../src/session/controls.ts';
import { messageText } from './pack-corpus.ts';

const run = promisify(execFile);
const CTX = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
const CLIENT = fileURLToPath(new URL('./pack-client.mjs', import.meta.url));
const APPENDS = Number(process.env['BENCH_APPENDS'] ?? 640);
/** Before every other question: a person reads the answer and types. The rest come at once. */
const PERSON_MS = Number(process.env['BENCH_PERSON_MS'] ?? 100);
/** Between the first pack after a restart and the first append. */
const MODEL_MS = Number(process.env['BENCH_MODEL_MS'] ?? 2000);
const uid = process.getuid?.() ?? 0;

interface Sample {
  readonly role: string;
  readonly ms: number;
  /** Somebody paused before it. */
  readonly waited: boolean;
  /** An epoch began with it. */
  readonly epoch: boolean;
}

const sizes = process.argv.slice(2).map(Number);
if (sizes.length === 0) sizes.push(1000, 10_000, 100_000, 1_000_000);
for (const size of sizes) console.log(JSON.stringify(await measure(size)));

async function measure(messages: number): Promise<Record<string, unknown>> {
  const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-bench-'));
  const [mountpoint, store] = [join(root, 'mnt'), join(root, 'store')];
  mkdirSync(mountpoint);
  const env = { ...process.env, CTX_ROOT: mountpoint, CTX_STORE: store };
  const ctx = (...args: string[]): Promise<unknown> => run(process.execPath, [CTX, ...args], { env });
  const client = async (...args: string[]): Promise<unknown> =>
    JSON.parse((await run(process.execPath, [CLIENT, ...args], { maxBuffer: 1 << 26 })).stdout);
  const place = `home/${uid}/agent/coder/session/bench`;
  const session = join(mountpoint, place);
  try {
    const historyBytes = makeSession(join(store, place), messages);
    await ctx('mount');
    await ctx('new', 'coder/other');
    const others = [
      'status',
      `home/${uid}/agent/coder/session/other/messages.jsonl`,
      `home/${uid}/agent/coder/session/other/context/budget`,
      `home/${uid}/agent/coder/session/other/context/pack.json`,
    ].map((name) => join(mountpoint, name));
    const watch = spawn(process.execPath, [CLIENT, 'stat', JSON.stringify(others), '600'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let watched = '';
    watch.stdout.on('data', (piece: Buffer) => (watched += piece.toString()));
    const cold = (await client('read', join(session, 'context/pack.json'))) as { ms: number; bytes: number };
    watch.kill('SIGTERM');
    await new Promise((resolve) => watch.once('close', resolve));
    const pid = await daemonPid();
    const coldMemory = memory(pid);
    const coldCpuSeconds = cpuSeconds(pid);
    await ctx('umount');
    await ctx('mount');
    const restart = (await client('read', join(session, 'context/pack.json'))) as { ms: number };
    const lines = join(root, 'lines');
    // A model answers now: what the daemon has to get ready, it does meanwhile. The first question is reported apart.
    await new Promise((resolve) => setTimeout(resolve, MODEL_MS));
    writeFileSync(lines, Array.from({ length: APPENDS }, (_, n) => `${messageText(messages + n + 1)}\n`).join(''));
    const samples = (await client('append', session, lines, String(PERSON_MS))) as Sample[];
    const users = samples.filter(({ role }) => role === 'user');
    const after = memory(await daemonPid());
    return {
      messages,
      history_mb: round(historyBytes / 1e6),
      cpus: cpus().length,
      cold_ms: round(cold.ms),
      cold_mb_s: round(historyBytes / 1e3 / cold.ms),
      stat_of_others_while_cold_ms: JSON.parse(watched),
      cold_daemon_peak_mb: coldMemory.peak,
      // All of the daemon since its start: what others leave of the machine does not show in it.
      cold_daemon_cpu_s: round(coldCpuSeconds),
      first_pack_after_restart_ms: round(restart.ms),
      reread_after_append_ms: {
        other: summary(samples.filter(({ role }) => role !== 'user')),
        user: summary(users.filter(({ waited }) => waited)),
        user_at_once: summary(users.filter(({ waited }) => !waited)),
        first_user: round(users[0]?.ms ?? 0),
        epoch_turns: summary(samples.filter(({ epoch }) => epoch)),
        epoch_turns_of_users: summary(users.filter(({ epoch }) => epoch)),
      },
      daemon_mb: after.now,
      daemon_peak_mb: after.peak,
    };
  } finally {
    await ctx('umount', '--lazy').catch(() => undefined);
    rmSync(root, { recursive: true, force: true });
  }

  async function daemonPid(): Promise<number> {
    return Number(/^pid=(\d+)$/m.exec((await run('cat', [join(mountpoint, 'status')])).stdout)?.[1]);
  }
}

function makeSession(directory: string, messages: number): number {
  for (const name of ['context/pinned', 'context/child']) mkdirSync(join(directory, name), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp')) writeFileSync(join(directory, path), text);
  writeFileSync(join(directory, 'events.jsonl'), '');
  writeFileSync(join(directory, 'context/pinned/system.md'), 'You are a careful engineer.\n');
  const fd = openSync(join(directory, 'messages.jsonl'), 'w');
  for (let n = 1; n <= messages; n += 2000) {
    writeSync(fd, Array.from({ length: Math.min(2000, messages - n + 1) }, (_, k) => `${messageText(n + k)}\n`).join(''));
  }
  closeSync(fd);
  return statSync(join(directory, 'messages.jsonl')).size;
}

/** Resident memory of the daemon in MB: now, and its highest. */
function memory(pid: number): { readonly now: number; readonly peak: number } {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number => round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]) / 1024);
  return { now: of('VmRSS'), peak: of('VmHWM') };
}

/** Processor time of all threads of a process, in user mode and in the kernel. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function summary(samples: readonly { readonly ms: number }[]): Record<string, number> {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { n: sorted.length, p50: at(0.5), p95: at(0.95), max: at(1) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
