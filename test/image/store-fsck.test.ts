import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkStore } from '../../src/image/fsck.ts';
import { SUBJECT } from '../../src/image/layout-store.ts';
import { MEDIA, ociDigest, type OciDigest } from '../../src/image/oci.ts';
import { scratchStore } from './scratch.ts';
import { storeCompiled, storeImage } from './stored-image.ts';

test('IMG-79 a store that is whole has no findings, and each thing that is wrong is named', async () => {
  const store = await scratchStore();
  const found = async (): Promise<readonly string[]> => (await checkStore(store)).map(({ code, where }) => `${code} ${where}`);
  const image = await storeImage(store, 'a:1', { messages: 'm\n', files: { a: 'b' } });
  const compiled = await storeCompiled(store, image, 'kv');
  await storeImage(store, 'b:1', { messages: 'other\n' });
  expect(await found()).toEqual([]);
  const damage = async (digest: OciDigest, bytes: string | undefined, expected: readonly string[]): Promise<void> => {
    const path = store.blobPath(digest);
    const good = await fs.readFile(path);
    await fs.rm(path);
    if (bytes !== undefined) await fs.writeFile(path, bytes);
    expect(await found()).toEqual(expected);
    await fs.rm(path, { force: true });
    await fs.writeFile(path, good);
    expect(await found()).toEqual([]);
  };
  const { layers, config } = await store.manifest(image);
  const layer = layers[0]?.digest as OciDigest;
  await damage(layer, undefined, ['image.blob_missing a:1']);
  await damage(layer, 'x', [`image.blob_damaged ${layer}`, 'image.blob_missing a:1']);
  await damage(config.digest, undefined, ['image.blob_missing a:1']);
  await damage(compiled.digest, undefined, [`image.blob_missing ${compiled.digest}`]);
  await damage(image.digest, undefined, ['image.blob_missing a:1', `image.blob_missing ${compiled.digest}`]);
  const entries = await store.entries();
  await store.change((all) =>
    all.map((entry) => (entry.digest === compiled.digest ? { ...entry, annotations: { [SUBJECT]: ociDigest('z') } } : entry)),
  );
  expect(await found()).toEqual([`image.subject ${compiled.digest}`]);
  await store.change(() => [{ mediaType: MEDIA.manifest, digest: ociDigest('gone'), size: 3, annotations: entries[0]?.annotations ?? {} }]);
  expect(await found()).toEqual(['image.blob_missing a:1']);
  await store.change(() => entries);
  await fs.writeFile(join(store.directory, 'blobs/sha256/odd'), '');
  await fs.writeFile(join(store.directory, 'tmp/blob-1'), '');
  expect(await found()).toEqual(['image.blob_name blobs/sha256/odd', 'image.unfinished tmp/blob-1']);
  await fs.writeFile(join(store.directory, 'index.json'), '{');
  expect(await found()).toContain('image.invalid index.json');
});
