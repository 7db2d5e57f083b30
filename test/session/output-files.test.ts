import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { BlobFiles, GrowingFile } from '../../src/session/output-files.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-output-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('DRV-16 what could not be written is written by the next reader, and nothing is shown without it', () => {
  const blobs = new BlobFiles(join(directory, 'out'));
  const path = join(directory, 'epoch-1.md');
  const file = new GrowingFile(path);
  // Somebody else's file in its place: the write fails as on a full disk.
  writeFileSync(path, 'not ours');
  file.append('first ');
  file.append('x'.repeat(2 << 20));
  for (let look = 0; look < 2; look++) expect(() => file.content('', blobs, 0)).toThrow('EEXIST');
  rmSync(path);
  file.append(' last');
  const { sizeBytes, extents } = file.content('', blobs, 0);
  expect(sizeBytes).toBe(6 + (2 << 20) + 5);
  expect(extents).toHaveLength(1);
  expect(readFileSync(path, 'utf8')).toBe(`first ${'x'.repeat(2 << 20)} last`);
  expect(file.intact).toBe(true);
  file.close();
});
