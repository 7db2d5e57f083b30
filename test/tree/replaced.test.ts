import { mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync, lstatSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { NodeTable } from '../../mount/kernel/tables.ts';
import { OrdinaryArea, type OrdinaryNode } from '../../src/tree/ordinary.ts';

let place: string;
let root: OrdinaryNode;
let table: NodeTable;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'replaced-'));
  root = new OrdinaryArea().nodeAt(
    { path: () => tmpdir(), changed: () => undefined },
    place.slice(tmpdir().length + 1),
    lstatSync(place, { bigint: true }),
  );
  table = new NodeTable(root);
  writeFileSync(join(place, 'f'), 'old');
  writeFileSync(join(place, 'next'), 'new');
});
afterEach(() => rmSync(place, { recursive: true }));

/** What this process has open below the directory. */
function held(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(place) ? [path.slice(place.length + 1)] : [];
    } catch {
      return [];
    }
  });
}

const CALLER = { uid: 0, gid: 0, pid: 0 };

function contentOf(node: OrdinaryNode): string {
  const handle = node.open(0, CALLER);
  const into = Buffer.alloc(8);
  const text = into.toString('utf8', 0, handle.read(0, into) as number);
  handle.release();
  return text;
}

test('a file that was replaced between its lookup and its open is opened as it was found, until the kernel forgets it', () => {
  const found = table.reference(root.lookup('f')) as OrdinaryNode;
  root.rename('next', root, 'f', 0);
  expect(contentOf(found)).toBe('old');
  expect(found.attr()).toMatchObject({ nlink: 0 });
  expect(contentOf(root.lookup('f') as OrdinaryNode)).toBe('new');
  expect(held()).toEqual(['f (deleted)']);
  table.forget(found.nodeid, 1);
  expect(held()).toEqual([]);
});

test('what nobody looked up, and what is renamed onto its own other name, is not held', () => {
  root.rename('next', root, 'f', 0);
  expect(held()).toEqual([]);
  const found = table.reference(root.lookup('f')) as OrdinaryNode;
  root.link(found, 'other', CALLER);
  root.rename('other', root, 'f', 0);
  expect(held()).toEqual([]);
  renameSync(join(place, 'other'), join(place, 'f'));
  expect(contentOf(found)).toBe('new');
  // Of a file with another name the kernel keeps the inode, maybe for as long as it stands.
  writeFileSync(join(place, 'third'), 'third');
  root.rename('third', root, 'f', 0);
  expect(held()).toEqual([]);
});
