// kill -9 of the daemon in the middle of an append storm: every acknowledged line is there exactly once, nothing torn.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';

// The journal room replays 200 crashes without a mount (test/journal); these go through the kernel.
const ROUNDS = 12;
const WRITERS = 3;
let mounted: MountedStore;

beforeAll(async () => {
  mounted = await mountStore('crash');
});
afterAll(() => mounted.end());

async function storm(journal: string, start: number, daemon: number, killAfterMs: number): Promise<number[][]> {
  const started: Promise<void>[] = [];
  const said = Array.from({ length: WRITERS }, () => [] as number[]);
  const writers = said.map((numbers, index) => {
    const child = spawn('python3', [join(ROOT, 'test/mount/clients/crash_writer.py'), journal, String(start + index * 1_000_000), index === 0 ? '1' : '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    started.push(new Promise((resolve) => child.stdout.once('data', () => resolve())));
    return new Promise<void>((resolve) => child.on('close', () => {
      for (const line of text.split('\n')) if (line.startsWith('a ')) numbers.push(Number(line.slice(2)));
      resolve();
    }));
  });
  await Promise.all(started);
  await new Promise((resolve) => setTimeout(resolve, killAfterMs));
  process.kill(daemon, 'SIGKILL');
  await Promise.all(writers);
  return said;
}

it(`JRN: ${ROUNDS} kills of the daemon during appends: acknowledged lines survive, once, in order; nothing torn`, async () => {
  const session = `${mounted.agents}/coder/session/s`;
  await mounted.must(`mkdir -p ${mounted.agents}/coder && mkdir ${session}`);
  const acknowledged: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const status = await mounted.must('cat status');
    const pid = Number(/^pid=(\d+)$/m.exec(status)?.[1]);
    const said = await storm(`${session}/messages.jsonl`, round * 10_000, pid, 20 + round * 23);
    acknowledged.push(...said.flat());
    const { code, stderr } = await mounted.ctx(['mount']);
    expect([code, stderr]).toEqual([0, expect.anything()]);
    await mounted.must(`cat ${session}/messages.jsonl > /dev/null`);
  }
  const text = await readFile(join(mounted.store, `home/${process.getuid?.() ?? 0}/agent/coder/session/s/messages.jsonl`), 'utf8');
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  const numbers = lines.map((line) => (JSON.parse(line) as { n: number }).n);
  expect(new Set(numbers).size).toBe(numbers.length);
  const there = new Set(numbers);
  expect(acknowledged.filter((number) => !there.has(number))).toEqual([]);
  expect(acknowledged.length).toBeGreaterThan(ROUNDS * WRITERS * 10);
}, 180_000);
