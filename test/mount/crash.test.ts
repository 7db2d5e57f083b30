// kill -9 of the daemon in the middle of an append storm: every acknowledged line is there exactly once, nothing torn.
import { spawn } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT, runProgram } from '../cli/program.ts';

const ROUNDS = 200;
const WRITERS = 3;
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('crash');
});
afterAll(() => mounted.end());

/** A daemon on the mount point, as `ctx mount` starts one, without the cost of the command. */
async function startDaemon(): Promise<() => Promise<void>> {
  const daemon = join(ROOT, 'dist/mount/daemon.js');
  const request = JSON.stringify({ mountpoint: mounted.root, store: mounted.store, driver: 'kernel', foreground: true, logFile: null });
  const child = spawn(process.execPath, [daemon, request], { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] } });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const said = await new Promise<string>((resolve) => child.stdout.once('data', (piece: Buffer) => resolve(piece.toString())));
  expect(said).toBe('ready\n');
  return async () => {
    child.kill('SIGKILL');
    await ended;
  };
}

it(`JRN: ${ROUNDS} kills of the daemon during appends: acknowledged lines survive, once, in order; nothing torn`, async () => {
  const session = `${mounted.agents}/coder/session/s`;
  await mounted.must(`mkdir -p ${mounted.agents}/coder && mkdir ${session}`);
  const stop = `${mounted.store}.stop`;
  const writer = join(ROOT, 'test/mount/clients/crash_writer.py');
  const writers = Array.from({ length: WRITERS }, (_, index) =>
    runProgram('python3', [writer, `${session}/messages.jsonl`, String(index * 10_000_000), index === 0 ? '1' : '0', stop], {
      timeoutMs: 400_000,
    }),
  );
  process.kill(Number(/^pid=(\d+)$/m.exec(await mounted.must('cat status'))?.[1]), 'SIGKILL');
  const file = join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/s/messages.jsonl`);
  let size = 0;
  /** Waits until the writers are at it again. */
  const grown = async (): Promise<void> => {
    for (let wait = 0; wait < 500; wait++) {
      const now = (await stat(file)).size;
      if (now > size + 200) {
        size = now;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('nobody writes');
  };
  for (let round = 0; round < ROUNDS; round++) {
    // The dead mount is taken away first, as `ctx mount` does.
    const kill = await startDaemon();
    await grown();
    await new Promise((resolve) => setTimeout(resolve, (round * 37) % 47));
    await kill();
  }
  await writeFile(stop, '');
  const outcomes = await Promise.all(writers);
  const acknowledged = outcomes.map(({ stdout }) => stdout.trim().split('\n').filter(Boolean).map(Number));
  const text = await readFile(file, 'utf8');
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(0, -1);
  const numbers = lines.map((line) => (JSON.parse(line) as { n: number }).n);
  expect(new Set(numbers).size).toBe(numbers.length);
  const there = new Set(numbers);
  for (const [index, mine] of acknowledged.entries()) {
    expect(mine.filter((number) => !there.has(number))).toEqual([]);
    const stored = numbers.filter((number) => Math.floor(number / 10_000_000) === index);
    expect(stored).toEqual([...stored].sort((a, b) => a - b));
    expect(mine.length).toBeGreaterThan(ROUNDS / 2);
  }
  // The next mount sets a torn tail aside and serves the same lines.
  expect((await mounted.ctx(['mount'])).code).toBe(0);
  expect(await mounted.must(`cat ${session}/messages.jsonl | wc -l`)).toBe(`${lines.length}\n`);
}, 400_000);
