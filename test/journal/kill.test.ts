import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fsckSession, openSessionJournals } from '../../src/journal/index.ts';
import { buildAppender } from './child/build.ts';
import { temporaryDirectory } from './session-fixture.ts';

const PROCESSES = 50;
const SESSIONS = 4;

let built: string;
let appender: string;
beforeAll(() => {
  built = fs.mkdtempSync(join(tmpdir(), 'ctx-journal-built-'));
  appender = buildAppender(built);
});
afterAll(() => fs.rmSync(built, { recursive: true, force: true }));

/** Kills the storm `delayMs` after its first acknowledgement; returns the last acknowledged id of each session. */
function killRound(directories: readonly string[], delayMs: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [appender, 'storm', ...directories], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (output === '') setTimeout(() => child.kill('SIGKILL'), delayMs);
      output += chunk.toString('latin1');
    });
    child.on('error', reject);
    child.on('close', () => {
      const acknowledged = directories.map(() => -1);
      for (const line of output
        .slice(0, output.lastIndexOf('\n') + 1)
        .split('\n')
        .slice(0, -1)) {
        const [index, id] = line.split(' ').map(Number) as [number, number];
        acknowledged[index] = id;
      }
      resolve(acknowledged);
    });
  });
}

function idsOf(directory: string): number[] {
  const journals = openSessionJournals(directory);
  const into = Buffer.alloc(journals.messages.sizeBytes);
  journals.messages.read(0, into);
  journals.close();
  return into
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { id: number }).id);
}

test(`kill -9 of ${PROCESSES} appending processes with ${SESSIONS} journals each: every acknowledged line is there exactly once, none torn`, async () => {
  const directories = Array.from({ length: SESSIONS }, temporaryDirectory);
  const seen = directories.map(() => [] as number[]);
  let lines = 0;
  for (let round = 0; round < PROCESSES; round++) {
    const acknowledged = await killRound(directories, (round * 7) % 12);
    for (const [index, directory] of directories.entries()) {
      const ids = idsOf(directory);
      const before = seen[index] as number[];
      // What was there stays as it was; what this process added is a run without a gap that holds all it acknowledged.
      expect(ids.slice(0, before.length)).toEqual(before);
      const added = ids.slice(before.length);
      expect(added).toEqual(added.map((_, at) => (added[0] as number) + at));
      if ((acknowledged[index] as number) >= 0) expect(added.at(-1)).toBeGreaterThanOrEqual(acknowledged[index] as number);
      expect((added.at(-1) ?? 0) - (acknowledged[index] as number) <= 2 || acknowledged[index] === -1).toBe(true);
      seen[index] = ids;
      lines += added.length;
    }
  }
  expect(lines).toBeGreaterThan(PROCESSES * SESSIONS);
  for (const directory of directories) expect(fsckSession(directory).filter((finding) => finding.severity === 'error')).toEqual([]);
}, 600_000);

test('a write that the file size limit cuts short is cut back to a line end; the next one reports the errno and stores nothing', () => {
  const directory = temporaryDirectory();
  // SIGXFSZ ignored is inherited, so write(2) comes up short and then fails with EFBIG, as on a full disk with ENOSPC.
  const run = spawnSync('sh', ['-c', `trap '' XFSZ; ulimit -f 8; exec "$@"`, 'sh', process.execPath, appender, 'limit', directory], {
    encoding: 'utf8',
  });
  const outcomes = run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const [short, ...failed] = outcomes.slice(-3);
  expect(short).toMatchObject({ whole: false, atLineEnd: true });
  for (const failure of failed)
    expect(failure).toEqual({ code: 'journal.write_failed', errno: 'EFBIG', size: short?.['size'], onDisk: short?.['size'] });
  const stored = outcomes.reduce((sum, outcome) => sum + ((outcome['lines'] as number | undefined) ?? 0), 0);
  expect(idsOf(directory)).toEqual(Array.from({ length: stored }, (_, id) => id));
});
