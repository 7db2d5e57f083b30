// Images of a long session on a real mount: build beside `tar | sha256sum` of the same files, commit after 100 messages, a thousand
// forks of one image, and `ctx images` among them.
// node test/bench/run.mjs test/bench/image.ts [messages]   (default 1000000: 1 GB; needs 3 GB below BENCH_DIR)
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeSession, messageLine, round, usage } from './long-session.ts';

const run = promisify(execFile);
const CTX = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
const FORKS = Number(process.env['BENCH_FORKS'] ?? 1000);
const MESSAGES = Number(process.argv[2] ?? 1_000_000);
const uid = process.getuid?.() ?? 0;

console.log(JSON.stringify(await measure()));

async function measure(): Promise<Record<string, unknown>> {
  const root = fs.mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-bench-'));
  const [mountpoint, store] = [join(root, 'mnt'), join(root, 'store')];
  fs.mkdirSync(mountpoint);
  const env = { ...process.env, CTX_ROOT: mountpoint, CTX_STORE: store };
  const ctx = async (...args: string[]): Promise<string> =>
    (await run(process.execPath, [CTX, ...args], { env, maxBuffer: 1 << 28 })).stdout;
  const sessions = `home/${uid}/agent/coder/session`;
  const timed = async (act: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await act();
    return round(performance.now() - began);
  };
  try {
    const bytes = makeSession(join(store, sessions, 'bench'), MESSAGES);
    await run('sync', ['-f', store]);
    const tar_sha256sum_ms = await timed(() => run('bash', ['-c', `tar -C ${join(store, sessions)} -cf - bench | sha256sum`]));
    await ctx('mount');
    const built = await grown(
      store,
      async () => (JSON.parse(await ctx('build', 'coder/bench', '--tag', 'bench/long:1', '--json')) as Said).elapsed_ms,
    );
    await ctx('run', 'bench/long:1', '--name', 'coder/instance', '--detach');
    const instance = join(mountpoint, sessions, 'instance/messages.jsonl');
    const commits: Figure[] = [];
    for (let n = 0; n < 5; n++) {
      await fs.promises.appendFile(instance, Buffer.concat(Array.from({ length: 100 }, (_, k) => messageLine(MESSAGES + n * 100 + k + 1))));
      commits.push(
        await grown(
          store,
          async () => (JSON.parse(await ctx('commit', 'coder/instance', `bench/long:c${n}`, '--json')) as Said).elapsed_ms,
        ),
      );
    }
    const before = await usage(store);
    const forks: number[] = [];
    for (let n = 0; n < FORKS; n++)
      forks.push((JSON.parse(await ctx('fork', 'bench/long:1', `bench/fork-${n}`, '--json')) as Said).elapsed_ms);
    forks.sort((a, b) => a - b);
    const after = await usage(store);
    const images = Math.min(
      await timed(() => ctx('images', '--json')),
      await timed(() => ctx('images', '--json')),
      await timed(() => ctx('images', '--json')),
    );
    return {
      messages: MESSAGES,
      history_mb: round(bytes / 1e6),
      cpus: cpus().length,
      tar_sha256sum_ms,
      build: { ...built, of_tar_sha256sum: round(tar_sha256sum_ms / built.ms) },
      commit_100: {
        first: commits[0],
        best: commits.reduce((best, one) => (one.ms < best.ms ? one : best)),
        bytes_of_100: 100 * messageLine(MESSAGES).length,
      },
      forks: {
        count: FORKS,
        p50_ms: forks[FORKS >> 1],
        p95_ms: forks[Math.floor(FORKS * 0.95)],
        new_bytes_each: Math.round((after - before) / FORKS),
        disk_ratio: round(after / before),
      },
      images: { count: FORKS + 6, ms: images },
    };
  } finally {
    await ctx('umount', '--lazy').catch(() => undefined);
    fs.rmSync(root, { recursive: true, force: true });
  }
}

interface Said {
  readonly elapsed_ms: number;
}

interface Figure {
  /** As the command reports it, its start apart. */
  readonly ms: number;
  readonly new_bytes: number;
}

async function grown(store: string, act: () => Promise<number>): Promise<Figure> {
  const before = await usage(store);
  return { ms: await act(), new_bytes: (await usage(store)) - before };
}
