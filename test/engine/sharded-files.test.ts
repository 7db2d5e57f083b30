import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ShardedFiles } from '../../src/engine/sharded-files.ts';
import type { ShardFile } from '../../src/engine/sharded-files.ts';
import { makeDirectory } from './artifact-fixture.ts';

let directory: ReturnType<typeof makeDirectory>;
let files: ShardedFiles;
beforeEach(() => {
  directory = makeDirectory();
  files = new ShardedFiles(directory.path, /^[0-9a-f]{4}\.x$/);
});
afterEach(() => directory.remove());

const names = (list: readonly ShardFile[]): readonly string[] => list.map(({ name }) => name).sort();
function write(name: string, text = 'text'): string {
  const shard = join(directory.path, name.slice(0, 2));
  mkdirSync(shard, { recursive: true });
  const path = join(shard, name);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
  return path;
}
/** As after a while without a change. */
function settle(shard: string): void {
  const at = Date.now() / 1000 - 60;
  utimesSync(join(directory.path, shard), at, at);
}

test('what came, went and was replaced since the last look is told once, and what is none of the names never', () => {
  expect(files.refresh()).toEqual({ added: [], removed: [] });
  const path = write('ab01.x');
  write('ab02.x');
  write('cd01.x');
  write('ab.other');
  writeFileSync(join(directory.path, 'beside'), '');
  const first = files.refresh();
  expect([names(first.added), names(first.removed)]).toEqual([['ab01.x', 'ab02.x', 'cd01.x'], []]);
  expect(files.others).toEqual(['beside']);
  expect(files.refresh()).toEqual({ added: [], removed: [] });
  rmSync(path);
  write('cd01.x', 'longer text');
  const second = files.refresh();
  expect([names(second.added), names(second.removed)]).toEqual([['cd01.x'], ['ab01.x', 'cd01.x']]);
  rmSync(join(directory.path, 'ab'), { recursive: true });
  expect(names(files.refresh().removed)).toEqual(['ab02.x']);
});

test('what another process adds is seen, and a shard in which nothing changed is not listed again', () => {
  const path = write('ab01.x');
  settle('ab');
  expect(names(files.refresh().added)).toEqual(['ab01.x']);
  // Its directory does not show it, so a listing would: the file is gone, and nobody looks.
  rmSync(path);
  settle('ab');
  const stamp = Date.now() / 1000 - 60;
  const old = new ShardedFiles(directory.path, /^[0-9a-f]{4}\.x$/);
  utimesSync(join(directory.path, 'ab'), stamp, stamp);
  old.refresh();
  execFileSync('sh', ['-c', `: > ${join(directory.path, 'ab', 'ab02.x')}`]);
  utimesSync(join(directory.path, 'ab'), stamp, stamp);
  expect(names(old.refresh().added), 'listed although its time did not move').toEqual([]);
  execFileSync('sh', ['-c', `: > ${join(directory.path, 'ab', 'ab03.x')}`]);
  expect(names(old.refresh().added)).toEqual(['ab02.x', 'ab03.x']);
});

test('any series of changes is told as it is: what was added less what was removed is what lies there', () => {
  let state = 7;
  const random = (most: number): number => (state = (state * 48_271) % 2_147_483_647) % most;
  const known = new Map<string, string>();
  const there = new Map<string, string>();
  for (let round = 0; round < 300; round += 1) {
    for (let change = random(4); change > 0; change -= 1) {
      const name = `${random(3).toString(16).padStart(2, '0')}0${random(4)}.x`;
      if (random(2) === 0) {
        const text = 'x'.repeat(1 + random(3));
        write(name, text);
        there.set(name, text);
      } else {
        rmSync(join(directory.path, name.slice(0, 2), name), { force: true });
        there.delete(name);
      }
    }
    const { added, removed } = files.refresh();
    for (const file of removed) known.delete(file.name);
    for (const file of added) known.set(file.name, 'x'.repeat(file.bytes));
    expect(known).toEqual(there);
  }
});
