// kill -9 of the daemon in the middle of an append storm: every acknowledged line is there exactly once, nothing torn.
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT, runProgram } from '../cli/program.ts';

const ROUNDS = 200;
const WRITERS = 3;
/** Against hangs: two hundred daemons take minutes on a machine under load. */
const LIMIT_MS = 1_500_000;
const LINES_EACH = 10_000_000;
const writerOf = (line: number): number => Math.floor(line / LINES_EACH);
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('crash');
});
afterAll(() => mounted.end());

function countsBy(keys: readonly number[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  return counts;
}

/** A daemon on the mount point, as `ctx mount` starts one, without the cost of the command. */
async function startDaemon(): Promise<() => Promise<void>> {
  const daemon = join(ROOT, 'dist/mount/daemon.js');
  const request = JSON.stringify({ mountpoint: mounted.root, store: mounted.store, driver: 'kernel', foreground: true, logFile: null });
  const child = spawn(process.execPath, [daemon, request], { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] } });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const said = await Promise.race([
    new Promise<string>((resolve) => child.stdout.once('data', (piece: Buffer) => resolve(piece.toString()))),
    ended.then(() => 'it ended'),
  ]);
  expect(said).toBe('ready\n');
  return async () => {
    child.kill('SIGKILL');
    await ended;
  };
}

it(
  `JRN: ${ROUNDS} kills of the daemon during appends: acknowledged lines survive, once, in order; nothing torn`,
  async () => {
    const session = `${mounted.agents}/coder/session/s`;
    await mounted.must(`mkdir -p ${mounted.agents}/coder && mkdir ${session}`);
    const stop = `${mounted.store}.stop`;
    const writer = join(ROOT, 'test/mount/clients/crash_writer.py');
    const writers = Array.from({ length: WRITERS }, (_, index) =>
      runProgram('python3', [writer, `${session}/messages.jsonl`, String(index * LINES_EACH), index === 0 ? '1' : '0', stop], {
        timeoutMs: LIMIT_MS,
      }),
    );
    process.kill(Number(/^pid=(\d+)$/m.exec(await mounted.must('cat status'))?.[1]), 'SIGKILL');
    const file = join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/s/messages.jsonl`);
    let seenBytes = 0;
    /** Waits until every writer is at it again: of two lines that are stored, the first one was acknowledged. */
    const grown = async (): Promise<void> => {
      for (;;) {
        const bytes = await readFile(file);
        const end = bytes.lastIndexOf('\n') + 1;
        const lines = bytes.toString('utf8', seenBytes, end).split('\n').slice(0, -1);
        const by = countsBy(lines.map((line) => writerOf((JSON.parse(line) as { n: number }).n)));
        if (by.size === WRITERS && Math.min(...by.values()) >= 2) {
          seenBytes = end;
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
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
      const stored = numbers.filter((number) => writerOf(number) === index);
      expect(stored).toEqual([...stored].sort((a, b) => a - b));
      expect(mine.length).toBeGreaterThanOrEqual(ROUNDS);
    }
    // The next mount sets a torn tail aside and serves the same lines.
    expect((await mounted.ctx(['mount'])).code).toBe(0);
    expect(await mounted.must(`cat ${session}/messages.jsonl | wc -l`)).toBe(`${lines.length}\n`);
  },
  LIMIT_MS,
);
