import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sweepStore, type Swept } from '../../src/image/gc.ts';
import { checkStore } from '../../src/image/fsck.ts';
import { ImageStore, REF_NAME } from '../../src/image/layout-store.ts';
import { canMount } from '../mount/can-mount.ts';
import { scratch, scratchStore } from './scratch.ts';
import { storeCompiled, storeImage, storeLayer } from './stored-image.ts';

const run = promisify(execFile);
const sweep = (store: ImageStore, change: Partial<Parameters<typeof sweepStore>[1]> = {}): Promise<readonly Swept[]> =>
  sweepStore(store, { inUse: () => Promise.resolve([]), dryRun: false, ...change });
const untag = (store: ImageStore, key: string): Promise<void> =>
  store.change((entries) => entries.filter(({ annotations }) => annotations?.[REF_NAME] !== key));
const blobs = (store: ImageStore): Promise<string[]> => fs.readdir(join(store.directory, 'blobs/sha256'));

test('IMG-22 what no tag, instance or referrer names is removed, and nothing else', async () => {
  const store = await scratchStore();
  const shared = await storeLayer(store, 'shared', { messages: '{"role":"user","content":"1"}\n' });
  const top = await storeLayer(store, 'top', { messages: '{"role":"user","content":"2"}\n' });
  const parent = await storeImage(store, 'base:1', [shared]);
  const child = await storeImage(store, 'child:1', [shared, top], { parent: 'base:1', parent_digest: parent.digest });
  const used = await storeImage(store, 'used:1', { messages: '{"role":"user","content":"3"}\n' });
  const compiled = await storeCompiled(store, child, 'state');
  const signature = await storeCompiled(store, compiled, 'of compiled state');
  const dead = await storeCompiled(store, parent, 'state of the parent');
  for (const key of ['base:1', 'used:1']) await untag(store, key);
  const inUse = (): Promise<string[]> => Promise.resolve([used.digest, 'sha256:gone', `sha256:${'0'.repeat(64)}`]);

  const before = await blobs(store);
  const dry = await sweep(store, { inUse, dryRun: true });
  expect(await blobs(store)).toEqual(before);
  const removed = await sweep(store, { inUse });
  expect(removed).toEqual(dry);
  // Manifest and config of the parent; manifest, config and layer of what spoke of it.
  const gone = removed.filter(({ path }) => path.startsWith('blobs/'));
  expect(gone.map(({ path }) => path.slice(13))).toContain(parent.digest.slice(7));
  expect(gone.map(({ path }) => path.slice(13))).toContain(dead.digest.slice(7));
  expect(gone).toHaveLength(5);
  expect((await store.entries()).map(({ digest }) => digest)).toEqual([child.digest, compiled.digest, signature.digest]);
  for (const { digest } of [child, used, compiled, signature, ...shared.parts, ...top.parts])
    expect(await store.sizeOf(digest)).toBeDefined();
  expect(await checkStore(store)).toEqual([]);
  expect(await sweep(store, { inUse })).toEqual([]);
});

test('IMG-22 only what an eviction let go of is removed when that is asked', async () => {
  const store = await scratchStore();
  const image = await storeImage(store, 'a:1', { messages: '{"role":"user","content":"1"}\n' });
  const stray = await store.put(Buffer.from('stray'));
  const other = await store.put(Buffer.from('other stray'));
  const removed = await sweep(store, { only: new Set([image.digest, stray.digest]) });
  expect(removed.map(({ path }) => path)).toEqual([`blobs/sha256/${stray.digest.slice(7)}`]);
  expect(await store.sizeOf(other.digest)).toBe(11);
});

test('IMG-22 a store whose manifest cannot be read is left alone, and the image is named', async () => {
  const store = await scratchStore();
  const image = await storeImage(store, 'a:1', { messages: '{"role":"user","content":"1"}\n' });
  const stray = await store.put(Buffer.from('stray'));
  await fs.chmod(store.blobPath(image.digest), 0o600);
  await fs.writeFile(store.blobPath(image.digest), 'x'.repeat(image.size));
  await expect(sweep(store)).rejects.toMatchObject({ code: 'image.gc', where: 'a:1' });
  expect(await store.sizeOf(stray.digest)).toBe(5);
});

test('IMG-22 what a writer that ended left in tmp/ is removed, and what lives is not', async () => {
  const store = await scratchStore();
  const ended = spawn('true');
  await once(ended, 'exit');
  const [left, alive, old] = [`blob-${ended.pid}-a-b`, `blob-${process.pid}-a-b`, `file-${process.pid}-old-b`];
  for (const name of [left, alive, old]) await fs.writeFile(join(store.directory, 'tmp', name), 'half');
  await fs.mkdir(join(store.directory, 'tmp', `import-${ended.pid}-a-b/blobs/sha256`), { recursive: true });
  const twoDaysAgo = Date.now() / 1000 - 2 * 86_400;
  await fs.utimes(join(store.directory, 'tmp', old), twoDaysAgo, twoDaysAgo);
  const removed = await sweep(store);
  expect(removed.map(({ path }) => path)).toEqual([`tmp/${left}`, `tmp/${old}`, `tmp/import-${ended.pid}-a-b`]);
  expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([alive]);
});

test('IMG-22 a sweep that is cut off after the index is finished by the next one', async () => {
  const store = await scratchStore();
  const image = await storeImage(store, 'a:1', { messages: '{"role":"user","content":"1"}\n' });
  await storeCompiled(store, image, 'state');
  await untag(store, 'a:1');
  // The index is written, no blob is gone yet.
  await store.change(() => []);
  expect(await checkStore(store)).toEqual([]);
  expect((await sweep(store)).length).toBeGreaterThan(3);
  expect(await blobs(store)).toEqual([]);
});

test.skipIf(!canMount)('IMG-113 gc on a full disk makes the room that it needs for its index itself', async () => {
  const directory = await scratch();
  await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'ctxfs-test', directory]);
  try {
    const store = await ImageStore.open(join(directory, 'layout'));
    const image = await storeImage(store, 'a:1', { messages: '{"role":"user","content":"1"}\n' });
    const kept = await storeImage(store, 'b:1', { messages: '{"role":"user","content":"2"}\n' });
    const compiled = await storeCompiled(store, image, 'state');
    await store.put(Buffer.alloc(300_000, 'stray'));
    await untag(store, 'a:1');
    await fs.writeFile(join(directory, 'filler'), Buffer.alloc(1 << 21)).catch(() => undefined);
    await expect(store.put(Buffer.alloc(100_000))).rejects.toMatchObject({
      code: 'image.no_space',
      errno: 'ENOSPC',
      where: store.directory,
    });
    const removed = await sweep(store);
    expect(removed.filter(({ path }) => path === 'index.json')).toHaveLength(1);
    expect((await store.entries()).map(({ digest }) => digest)).toEqual([kept.digest]);
    expect(await store.sizeOf(compiled.digest)).toBeUndefined();
    expect(await checkStore(store)).toEqual([]);
    expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([]);
  } finally {
    await run('umount', [directory]);
  }
});
