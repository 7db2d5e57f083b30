// A program with no descriptor left opens no index, and takes nothing away because of that.
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { buildSegment } from '../../src/search/recall-index.ts';
import { SEGMENT_LINES } from '../../src/search/version.ts';
import { ROOT, runProgram } from './program.ts';

const SCRIPT = `
  import { closeSync, openSync } from 'node:fs';
  const { openRecallIndex } = await import(process.argv[1]);
  openRecallIndex(process.argv[2]).close();
  const held = [];
  try {
    for (;;) held.push(openSync('/dev/null'));
  } catch {}
  const told = [];
  for (let left = 0; left < 12; left += 1) {
    try {
      const index = openRecallIndex(process.argv[2]);
      told.push(index.lastLine);
      index.close();
    } catch (error) {
      told.push(error.code || error.message);
    }
    closeSync(held.pop());
  }
  held.forEach((fd) => closeSync(fd));
  const index = openRecallIndex(process.argv[2]);
  told.push(index.lastLine);
  index.close();
  console.log(JSON.stringify(told));
`;

test('IDX-14 good segments stay where no descriptor is left', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ctx-descriptors-'));
  const text = (line: number): string => `river ${line}`;
  const docs = Array.from({ length: SEGMENT_LINES }, (_, i) => ({ line: i + 1, role: 'user', text: text(i + 1) }));
  buildSegment(directory, 0, docs);
  buildSegment(directory, 1, [{ line: SEGMENT_LINES + 1, role: 'user', text: 'violin' }], SEGMENT_LINES + 300);
  const shell = 'ulimit -n 64 && exec "$0" --input-type=module -e "$1" "$2" "$3"';
  const built = join(ROOT, 'dist/src/search/recall-index.js');
  const { code, stdout, stderr } = await runProgram('/bin/sh', ['-c', shell, process.execPath, SCRIPT, built, directory]);
  expect([code, stderr]).toEqual([0, '']);
  const told = JSON.parse(stdout) as (string | number)[];
  // At first there is none for the first segment, then too few for the second; at the end there are enough.
  expect(told[0]).toBe('EMFILE');
  expect(told.some((one) => /^SQLITE_CANTOPEN|Unable to open connection/.test(`${one}`))).toBe(true);
  expect(told.at(-1)).toBe(SEGMENT_LINES + 300);
  expect(readdirSync(directory)).toEqual(['open-1.db', 'segment-0']);
});
