import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { takesAgain, takeSparePlace } from '../../src/session/spare-place.ts';

/** No process has it: the kernel gives out less. */
const NO_PID = 2 ** 30;

test("DRV-16 a place in memory is private; what a killed process left there goes, and what is somebody else's stays", () => {
  const session = mkdtempSync(join(tmpdir(), 'ctx-spare-'));
  const [left, foreign] = ['left', 'foreign'].map((name) => `/dev/shm/ctxfs-spare-${NO_PID}-${name}`) as [string, string];
  for (const directory of [left, foreign]) {
    mkdirSync(directory);
    writeFileSync(join(directory, 'file'), 'x');
  }
  if (process.getuid?.() === 0) chownSync(foreign, 4321, 4321);
  const spare = takeSparePlace(session) ?? '';
  try {
    expect([statSync(spare).mode & 0o777, existsSync(left), existsSync(foreign)]).toEqual([0o700, false, process.getuid?.() === 0]);
    expect([takesAgain(session, join(session, '.cache'), spare), takesAgain('/proc', '/proc', spare)]).toEqual([true, false]);
  } finally {
    for (const directory of [session, left, foreign, spare]) rmSync(directory, { recursive: true, force: true });
  }
});
