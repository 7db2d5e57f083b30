import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ImageStore, REF_NAME } from '../../src/image/layout-store.ts';
import { MEDIA, ociDigest, type Descriptor } from '../../src/image/oci.ts';
import { lockFile } from '../../src/image/store-lock.ts';
import { scratch, scratchStore } from './scratch.ts';

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

const entry = (digest: Descriptor['digest'], size: number): Descriptor => ({ mediaType: MEDIA.manifest, digest, size });

test('a blob is read back, once however often it is stored, and tags come and go', async () => {
  const store = await scratchStore();
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 5, 'abc');
  const first = await store.put(bytes);
  expect(await store.put(bytes)).toEqual(first);
  expect(await collect(store.stream(first))).toEqual(bytes);
  expect(await collect(store.stream(await store.put(Buffer.alloc(0))))).toHaveLength(0);
  expect(await fs.readdir(join(store.directory, 'blobs/sha256'))).toHaveLength(2);
  expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([]);
  await store.tag('a:latest', entry(first.digest, first.size));
  await store.tag('b:latest', entry(first.digest, first.size));
  await store.tag('a:latest', entry(ociDigest('y'), 1));
  expect((await store.resolve('a:latest'))?.digest).toBe(ociDigest('y'));
  expect((await store.entries()).map(({ annotations }) => annotations?.[REF_NAME])).toEqual(['b:latest', 'a:latest']);
  await store.addReferrer(entry(ociDigest('r'), 2), first.digest);
  await store.addReferrer(entry(ociDigest('r'), 2), first.digest);
  expect(await store.referrers(first.digest)).toHaveLength(1);
});

test('IMG-4 a blob that is something else is refused, stored or read', async () => {
  const store = await scratchStore();
  await expect(store.put(Buffer.from('abc'), { digest: ociDigest('abd') })).rejects.toThrow('was said to be');
  await expect(store.put(Buffer.from('abc'), { size: 4 })).rejects.toThrow('is 3 bytes');
  const endless = async function* (): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(1024);
  };
  await expect(store.put(endless(), { size: 100_000 })).rejects.toThrow('is longer than');
  expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([]);
  expect(await fs.readdir(join(store.directory, 'blobs/sha256'))).toEqual([]);
  const big = await store.put(Buffer.alloc(2_500_000, 'x'));
  await fs.chmod(store.blobPath(big.digest), 0o600);
  await fs.writeFile(store.blobPath(big.digest), Buffer.alloc(2_500_000, 'y'));
  const seen: Buffer[] = [];
  await expect(
    (async () => {
      for await (const piece of store.stream(big)) seen.push(piece);
    })(),
  ).rejects.toThrow('is not sha256');
  expect(Buffer.concat(seen).length).toBeLessThan(2_500_000);
  await expect(store.read(big)).rejects.toThrow('is not sha256');
  await expect(store.read({ digest: ociDigest('gone'), size: 4 })).rejects.toMatchObject({ code: 'image.blob_missing' });
});

test('many writers of the index lose no tag', async () => {
  const directory = join(await scratch(), 'layout');
  const stores = await Promise.all(Array.from({ length: 8 }, () => ImageStore.open(directory)));
  await Promise.all(stores.flatMap((store, s) => [0, 1, 2, 3].map((t) => store.tag(`s${s}:t${t}`, entry(ociDigest(`${s}${t}`), 1)))));
  expect(await (stores[0] as ImageStore).entries()).toHaveLength(32);
});

const WRITER = `
import { ImageStore } from ${JSON.stringify(new URL('../../dist/src/image/layout-store.js', import.meta.url).href)};
const store = await ImageStore.open(process.argv[1]);
console.log('ready');
for (let n = 0; ; n++) {
  const { digest, size } = await store.put(Buffer.alloc(300_000, process.argv[2] + n));
  await store.tag('t' + (n % 5) + ':latest', { mediaType: ${JSON.stringify(MEDIA.manifest)}, digest, size });
}
`;

test('IMG-3 writers that are killed leave whole blobs and a whole index', async () => {
  const store = await scratchStore();
  for (let round = 0; round < 10; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, store.directory, String(round)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 60));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const entries = await store.entries();
    for (const { digest, size } of entries) await store.read({ digest, size });
    for (const name of await fs.readdir(join(store.directory, 'blobs/sha256')))
      expect(ociDigest(await fs.readFile(join(store.directory, 'blobs/sha256', name)))).toBe(`sha256:${name}`);
    // The next writer gets the lock of the one that died.
    await store.tag('after:latest', entry(ociDigest('z'), 1));
    await store.change((all) => all.filter(({ annotations }) => annotations?.[REF_NAME] !== 'after:latest'));
  }
});

const HOLDER = `
import { ImageStore } from ${JSON.stringify(new URL('../../dist/src/image/layout-store.js', import.meta.url).href)};
await (await ImageStore.open(process.argv[1])).hold();
console.log('held');
setInterval(() => {}, 1000);
`;

test('IMG-5 gc and writers wait for each other, and not for the dead', async () => {
  const store = await scratchStore();
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, store.directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const path = join(store.directory, 'gc.lock');
  await expect(lockFile(path, 'exclusive', 0)).rejects.toMatchObject({ code: 'image.store_locked' });
  const second = await store.hold();
  await second.release();
  const waiting = store.holdAlone();
  child.kill('SIGKILL');
  const alone = await waiting;
  await expect(lockFile(path, 'shared', 0)).rejects.toMatchObject({ code: 'image.store_locked' });
  await alone.release();
});
