import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSummed, writeSummed } from '../../src/session/summed-file.ts';

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ctx-summed-'));
  path = join(root, 'kept.json');
});
afterEach(() => rmSync(root, { recursive: true }));

test('what is there already is not written again, what is new or was cut short is', () => {
  const inode = (): number => statSync(path).ino;
  writeSummed(path, { of: 'été', n: 1 });
  const first = inode();
  writeSummed(path, { of: 'été', n: 1 });
  expect(inode()).toBe(first);
  writeSummed(path, { of: 'été', n: 2 });
  expect(readSummed(path)).toEqual({ of: 'été', n: 2 });
  truncateSync(path, statSync(path).size - 1);
  expect(readSummed(path)).toBe(undefined);
  writeSummed(path, { of: 'été', n: 2 });
  expect(readSummed(path)).toEqual({ of: 'été', n: 2 });
  // A changed bit behind the sum, of the same length: it would be found damaged at each start.
  writeFileSync(path, readFileSync(path, 'utf8').replace('"n":2', '"n":3'));
  expect(readSummed(path)).toBe(undefined);
  writeSummed(path, { of: 'été', n: 2 });
  expect(readSummed(path)).toEqual({ of: 'été', n: 2 });
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^./, 'x'));
  writeSummed(path, { of: 'été', n: 2 });
  expect(readSummed(path)).toEqual({ of: 'été', n: 2 });
});
