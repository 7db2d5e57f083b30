// Forks of a long session on a real mount, beside `cp -r` and git (commit and branch of the same files) in the same run.
// node test/bench/run.mjs test/bench/fork.ts [messages…]   (default 1000 1000000; one JSON line each; needs git, and 5 GB below BENCH_DIR)
// Every message has an order record of its own, as in a session that was talked in: the longest log that there can be.
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ControlReply } from '../../src/abi/control.ts';
import { makeSession, messageLine, round, usage, writtenBytes } from './long-session.ts';

const run = promisify(execFile);
const CTX = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
const FORKS = Number(process.env['BENCH_FORKS'] ?? 1000);
const uid = process.getuid?.() ?? 0;

const sizes = process.argv.slice(2).map(Number);
if (sizes.length === 0) sizes.push(1000, 1_000_000);
for (const size of sizes) console.log(JSON.stringify(await measure(size)));

interface Figure {
  readonly ms: number;
  /** What `du` of the store grew by, and what the process wrote. */
  readonly new_bytes: number;
  readonly written_bytes?: number;
}

async function measure(messages: number): Promise<Record<string, unknown>> {
  const root = fs.mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-bench-'));
  const [mountpoint, store] = [join(root, 'mnt'), join(root, 'store')];
  fs.mkdirSync(mountpoint);
  const env = { ...process.env, CTX_ROOT: mountpoint, CTX_STORE: store };
  const ctx = async (...args: string[]): Promise<string> => (await run(process.execPath, [CTX, ...args], { env })).stdout;
  const place = `home/${uid}/agent/coder/session`;
  try {
    const historyBytes = makeSession(join(store, place, 'bench'), messages);
    await run('sync', ['-f', store]);
    await ctx('mount');
    const pid = Number(/^pid=(\d+)$/m.exec((await run('cat', [join(mountpoint, 'status')])).stdout)?.[1]);
    // As a user asks for it; the operation's own time is what it reports. The daemon has only just been started.
    const walls: number[] = [];
    const fork = async (to: string, at?: number): Promise<Figure> => {
      const [before, wrote] = [await usage(store), writtenBytes(pid)];
      const began = performance.now();
      const said = await ctx('fork', 'coder/bench', `coder/${to}`, '--json', ...(at === undefined ? [] : ['--at', String(at)]));
      walls.push(performance.now() - began);
      const { elapsed_ms } = JSON.parse(said) as { elapsed_ms: number };
      return { ms: elapsed_ms, new_bytes: (await usage(store)) - before, written_bytes: writtenBytes(pid) - wrote };
    };
    // The user's image store is there, which `ctx fork` looks into.
    await ctx('images');
    // Opened, as whoever looks at it does: what that writes is not the fork's.
    await run('tail', ['-c', '1', join(mountpoint, place, 'bench/messages.jsonl')]);
    const first = await fork('first');
    const second = await fork('second');
    const middle = await fork('middle', Math.floor(messages / 2));
    await fs.promises.appendFile(join(mountpoint, place, 'bench/messages.jsonl'), messageLine(messages + 1));
    await recorded(join(store, place, 'bench/inputs.jsonl'));
    const appended = await fork('appended');
    const many = await manyForks(join(mountpoint, '.control'), store, `${place}/bench`, `${place}/many`);
    await ctx('umount');
    const original = join(store, place, 'first');
    const peers = await comparePeers(root, original);
    return {
      messages,
      history_mb: round(historyBytes / 1e6),
      order_log_mb: round((messages * 48) / 1e6),
      cpus: cpus().length,
      first,
      second,
      at_middle: middle,
      after_one_message: appended,
      forks: many,
      command_ms: { first: round(walls[0] ?? 0), others: round(Math.min(...walls.slice(1))) },
      ...peers,
    };
  } finally {
    await ctx('umount', '--lazy').catch(() => undefined);
    fs.rmSync(root, { recursive: true, force: true });
  }
}

/** The first message that the daemon takes of a session has its controls recorded. */
async function recorded(path: string): Promise<void> {
  for (let tries = 0; tries < 600 && !(fs.existsSync(path) && fs.statSync(path).size > 0); tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
}

/** One after another, over the control channel: without the start of a process for each. */
async function manyForks(control: string, store: string, from: string, to: string): Promise<Record<string, number>> {
  const before = await usage(store);
  const times: number[] = [];
  for (let n = 0; n < FORKS; n++) {
    const result = (await ask(control, { verb: 'fork', from, to: `${to}-${n}` })) as { elapsed_ms: number };
    times.push(result.elapsed_ms);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return {
    count: FORKS,
    p50_ms: at(0.5),
    p95_ms: at(0.95),
    max_ms: at(1),
    new_bytes_each: Math.round(((await usage(store)) - before) / FORKS),
  };
}

async function ask(path: string, request: object): Promise<unknown> {
  const file = await fs.promises.open(path, 'r+');
  try {
    await file.write(`${JSON.stringify(request)}\n`, null);
    const piece = Buffer.alloc(1 << 16);
    const { bytesRead } = await file.read(piece, 0, piece.length, null);
    const reply = JSON.parse(piece.toString('utf8', 0, bytesRead)) as ControlReply;
    if (!reply.ok) throw new Error(reply.error.message);
    return reply.result;
  } finally {
    await file.close();
  }
}

async function comparePeers(root: string, session: string): Promise<Record<string, Figure>> {
  const timed = async (act: () => Promise<unknown>, place: string): Promise<Figure> => {
    const before = await usage(place);
    const began = performance.now();
    await act();
    return { ms: round(performance.now() - began), new_bytes: (await usage(place)) - before };
  };
  const copies = join(root, 'copies');
  fs.mkdirSync(copies);
  const cp = await timed(() => run('cp', ['-r', session, join(copies, 'copy')]), copies);
  const repository = join(copies, 'copy');
  const git = (...args: string[]): Promise<unknown> =>
    run('git', ['-C', repository, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'gc.auto=0', ...args]);
  await git('init', '-q');
  const commit = await timed(async () => {
    await git('add', '-A');
    await git('commit', '-qm', 'session');
  }, repository);
  const branch = await timed(() => git('checkout', '-qb', 'fork'), repository);
  return { cp_r: cp, git_commit: commit, git_branch: branch };
}
