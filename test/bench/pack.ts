// Append -> pack at growing sizes, restart, and cold build with everything deleted. Prints JSON.
// Usage: node <built>/test/bench/pack.js [messages…]   (default 1000 10000 100000; 1000000 makes about 1 GB)
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync, openSync, writeSync, closeSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSessionJournals } from '../../src/journal/index.ts';
import type { CommitNote } from '../../src/journal/types.ts';
import { initialControls } from '../../src/session/controls.ts';
import { defaultServices, openSessionDeriver } from '../../src/session/session-deriver.ts';
import { messageText } from './pack-corpus.ts';

const sizes = process.argv.slice(2).map(Number);
if (sizes.length === 0) sizes.push(1000, 10_000, 100_000);
const appends = Number(process.env['BENCH_APPENDS'] ?? 400);

for (const size of sizes) {
  const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-bench-'));
  try {
    console.log(JSON.stringify(await measure(join(root, 'agent/coder/session/bench'), size)));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function measure(directory: string, messages: number): Promise<Record<string, unknown>> {
  mkdirSync(join(directory, 'context/pinned'), { recursive: true });
  mkdirSync(join(directory, 'context/child'), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp')) writeFileSync(join(directory, path), text);
  writeFileSync(join(directory, 'context/pinned/system.md'), 'You are a careful engineer.\n');
  writeHistory(join(directory, 'messages.jsonl'), messages);
  const historyBytes = statSync(join(directory, 'messages.jsonl')).size;
  const services = defaultServices();
  services.counter('o200k_base').count('warm');

  const stalls = watchStalls();
  const cpuBefore = process.cpuUsage();
  const cold = await timed(async () => {
    const deriver = openSessionDeriver(directory, services);
    await deriver.fetch('pack.json', { messagesBytes: historyBytes, eventsBytes: 0 });
    return deriver;
  });
  const worstStallMs = stalls();
  const cpu = process.cpuUsage(cpuBefore);
  const coldCpuSeconds = (cpu.user + cpu.system) / 1e6;
  await cold.value.close();
  const cache = join(directory, 'context/.cache');
  const diskAll = du(cache);
  const diskIndex = du(join(cache, 'recall'));
  const orderBytes = du(join(directory, 'order.log'));

  const warm = await timed(async () => {
    const deriver = openSessionDeriver(directory, services);
    await deriver.fetch('pack.json', { messagesBytes: historyBytes, eventsBytes: 0 });
    return deriver;
  });
  const deriver = warm.value;
  const notes: CommitNote[] = [];
  const journals = openSessionJournals(directory, { onCommit: (note) => notes.push(note) });
  const plain: number[] = [];
  const users: number[] = [];
  for (let n = 0; n < appends; n++) {
    const line = messageText(messages + n + 1);
    journals.messages.write('bench:1', Buffer.from(`${line}\n`));
    deriver.committed(notes.splice(0));
    const started = performance.now();
    await deriver.fetch('pack.json', { messagesBytes: journals.messages.sizeBytes, eventsBytes: journals.events.sizeBytes });
    (line.startsWith('{"role":"user"') ? users : plain).push(performance.now() - started);
  }
  await deriver.close();
  const restart = await timed(async () => {
    const again = openSessionDeriver(directory, services);
    journals.messages.write('bench:1', Buffer.from(`${messageText(messages + appends + 1)}\n`));
    await again.fetch('pack.json', { messagesBytes: journals.messages.sizeBytes, eventsBytes: 0 });
    return again;
  });
  await restart.value.close();
  journals.close();
  await services.close();
  return {
    messages,
    history_mb: round(historyBytes / 1e6),
    cpus: cpus().length,
    cold_s: round(cold.ms / 1000),
    cold_mb_s: round(historyBytes / 1e6 / (cold.ms / 1000)),
    cold_cpu_s: round(coldCpuSeconds),
    cold_mb_per_cpu_s: round(historyBytes / 1e6 / coldCpuSeconds),
    worst_stall_ms: round(worstStallMs),
    reopen_unchanged_ms: round(warm.ms),
    reopen_after_append_ms: round(restart.ms),
    append_pack_ms: summary(plain),
    user_append_pack_ms: summary(users),
    disk_context_percent: round(((diskAll - diskIndex) / historyBytes) * 100),
    disk_index_percent: round((diskIndex / historyBytes) * 100),
    order_log_percent: round((orderBytes / historyBytes) * 100),
    rss_mb: round(process.memoryUsage().rss / 1e6),
    max_rss_mb: round(process.resourceUsage().maxRSS / 1e3),
  };
}

function writeHistory(path: string, messages: number): void {
  const fd = openSync(path, 'w');
  let pending: string[] = [];
  let chars = 0;
  for (let n = 1; n <= messages; n++) {
    const line = messageText(n);
    pending.push(line, '\n');
    chars += line.length;
    if (chars < 1 << 22 && n < messages) continue;
    writeSync(fd, pending.join(''));
    pending = [];
    chars = 0;
  }
  closeSync(fd);
}

/** Longest time that the event loop was not free; stop and read by calling the result. */
function watchStalls(): () => number {
  let last = performance.now();
  let worst = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    worst = Math.max(worst, now - last - 2);
    last = now;
  }, 2);
  return () => {
    clearInterval(timer);
    return worst;
  };
}

async function timed<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly ms: number }> {
  const started = performance.now();
  const value = await work();
  return { value, ms: performance.now() - started };
}

function summary(values: readonly number[]): Record<string, number> {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { n: sorted.length, p50: at(0.5), p95: at(0.95), max: at(1) };
}

function du(path: string): number {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return 0;
  if (!stats.isDirectory()) return stats.blocks * 512;
  return readdirSync(path).reduce((total, name) => total + du(join(path, name)), 0);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
