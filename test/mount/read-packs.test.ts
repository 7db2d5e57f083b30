// What the engine reads of a session's control files, without a mount.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { standingOf } from '../../mount/read-packs.ts';

let root: string;
let session: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'ctx-read-packs-'));
  session = join(root, 'session');
  mkdirSync(join(session, 'context'), { recursive: true });
  writeFileSync(join(session, 'state'), 'active\n');
  writeFileSync(join(session, 'context/policy.yaml'), 'remote: {allow: true}\n');
  writeFileSync(join(session, 'context/budget'), '4000\n');
});
afterAll(() => rmSync(root, { recursive: true }));

test('TRE-10 control files that decide on a compile are not read through a symbolic link, and a pipe is not waited for', () => {
  expect(standingOf(session)).toEqual({ active: true, remoteAllowed: true, compactAtEpoch: false, budgetTokens: 4000 });
  for (const [name, text] of [
    ['context/policy.yaml', 'remote: {allow: true}\n'],
    ['context/budget', '9000\n'],
  ] as const) {
    const elsewhere = join(root, 'elsewhere');
    writeFileSync(elsewhere, text);
    unlinkSync(join(session, name));
    symlinkSync(elsewhere, join(session, name));
  }
  unlinkSync(join(session, 'state'));
  // Nobody writes into it: opened as a file it would wait for ever.
  execFileSync('sh', ['-c', 'mkfifo "$1"', 'sh', join(session, 'state')]);
  expect(standingOf(session)).toEqual({ active: true, remoteAllowed: false, compactAtEpoch: false });
});
