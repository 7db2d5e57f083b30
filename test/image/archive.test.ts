import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test, vi } from 'vitest';
import { writeArchive } from '../../src/image/archive.ts';
import type { ImagePolicy } from '../../src/image/config.ts';
import { planExport, type ExportImage } from '../../src/image/export.ts';
import { checkStore } from '../../src/image/fsck.ts';
import { importArchive } from '../../src/image/import.ts';
import type { ImageStore } from '../../src/image/layout-store.ts';
import { hexOfDigest, type Descriptor } from '../../src/image/oci.ts';
import { scratch, scratchStore } from './scratch.ts';
import { once, storeCompiled, storeImage, storeLayer, whole } from './stored-image.ts';

const SOURCES = { messages: '{"role":"user","content":"hello"}\n', files: { 'memory.yaml': 'pages: []\n', 'documents/größe.md': 'x' } };
const open: ImagePolicy = { exportable: true, allow_compiled_state_export: true, allow_source_export: true, redact_on_export: [] };

async function archived(store: ImageStore, ...keys: readonly string[]): Promise<Buffer> {
  const images: ExportImage[] = [];
  for (const key of keys) images.push({ key, descriptor: (await store.resolve(key)) as Descriptor });
  return whole(writeArchive(store, await planExport(store, images)));
}

test('IMG-74 an archive is the same bytes from every store, and GNU tar unpacks it to an OCI layout', async () => {
  const [one, two] = [await scratchStore(), await scratchStore()];
  const shared = await storeLayer(one, 'shared', { messages: 'm\n' });
  await storeImage(one, 'quilt/a:1', SOURCES);
  await storeImage(one, 'quilt/b:1', [shared, shared]);
  await storeImage(two, 'quilt/b:1', [await storeLayer(two, 'shared', { messages: 'm\n' }), shared]);
  await storeImage(two, 'other:x', { messages: 'o\n' });
  await storeImage(two, 'quilt/a:1', SOURCES);
  const tar = await archived(one, 'quilt/a:1', 'quilt/b:1');
  expect((await archived(two, 'quilt/b:1', 'quilt/a:1')).equals(tar)).toBe(true);
  const directory = await scratch();
  await fs.writeFile(join(directory, 'a.tar'), tar);
  execFileSync('tar', ['-xf', 'a.tar'], { cwd: directory });
  expect(await fs.readFile(join(directory, 'oci-layout'), 'utf8')).toContain('1.0.0');
  for (const name of await fs.readdir(join(directory, 'blobs/sha256')))
    expect(await fs.readFile(join(directory, 'blobs/sha256', name))).toEqual(await fs.readFile(join(one.directory, 'blobs/sha256', name)));
});

test('IMG-75 an image that is exported and imported is the same image; what is here already is not touched', async () => {
  const [from, to] = [await scratchStore(), await scratchStore()];
  const image = await storeImage(from, 'quilt/a:1', SOURCES, { policy: open });
  const compiled = await storeCompiled(from, image, 'kv');
  const tar = await archived(from, 'quilt/a:1');
  expect(await importArchive(to, once(tar), { where: 'a.tar' })).toEqual([{ key: 'quilt/a:1', digest: image.digest }]);
  expect((await to.resolve('quilt/a:1'))?.digest).toBe(image.digest);
  expect((await to.referrers(image.digest)).map(({ digest }) => digest)).toEqual([compiled.digest]);
  expect(await checkStore(to)).toEqual([]);
  const old = await storeImage(to, 'quilt/a:1', { messages: 'other\n' });
  expect(await importArchive(to, once(gzipSync(tar)), { where: 'a.tar.gz' })).toEqual([
    { key: 'quilt/a:1', digest: image.digest, replaces: old.digest },
  ]);
  expect(await importArchive(to, once(tar), { where: 'a.tar', as: 'mine:2' })).toEqual([{ key: 'mine:2', digest: image.digest }]);
  expect((await to.entries()).map(({ annotations }) => Object.values(annotations ?? {})[0])).toHaveLength(3);
  expect(await checkStore(to)).toEqual([]);
  // An archive made by tar from an unpacked layout, with directories, other owners and times, is read too.
  const directory = await scratch();
  await fs.writeFile(join(directory, 'a.tar'), tar);
  execFileSync('sh', ['-c', 'mkdir l && tar -xf a.tar -C l && tar -czf b.tgz -C l .'], { cwd: directory });
  const again = await scratchStore();
  expect(await importArchive(again, once(await fs.readFile(join(directory, 'b.tgz'))), { where: 'b.tgz' })).toHaveLength(1);
  expect(await archived(again, 'quilt/a:1')).toEqual(tar);
});

test('IMG-75 an image that took the name of its parent is imported, also redacted', async () => {
  const [from, to] = [await scratchStore(), await scratchStore()];
  const first = await storeImage(from, 'quilt/a:1', SOURCES);
  const image = await storeImage(from, 'quilt/a:1', { messages: 'more\n' }, { parent: 'quilt/a:1', parent_digest: first.digest });
  expect(await importArchive(to, once(await archived(from, 'quilt/a:1')), { where: 'a.tar' })).toEqual([
    { key: 'quilt/a:1', digest: image.digest },
  ]);
  const redacted = { parent: 'quilt/b:1', parent_digest: null, redacted: { rules: {}, count: 0 } };
  const other = await storeImage(from, 'quilt/b:1', { messages: 'other\n' }, redacted);
  expect(await importArchive(to, once(await archived(from, 'quilt/b:1')), { where: 'b.tar' })).toEqual([
    { key: 'quilt/b:1', digest: other.digest },
  ]);
});

test('IMG-70 compiled state leaves only when the policy says so, and a source that may not leave does not', async () => {
  const store = await scratchStore();
  const rows: [Partial<ImagePolicy>, boolean][] = [
    [{}, true],
    [{ exportable: false }, false],
    [{ allow_compiled_state_export: false }, false],
    [{ redact_on_export: ['secrets'] }, false],
  ];
  for (const [change, leaves] of rows) {
    const descriptor = await storeImage(store, 'p:1', SOURCES, { policy: { ...open, ...change } });
    const compiled = await storeCompiled(store, descriptor, 'secret state');
    const plan = await planExport(store, [{ key: 'p:1', descriptor }]);
    expect(plan.compiled, JSON.stringify(change)).toBe(leaves ? 1 : 0);
    expect(plan.reasons.length, JSON.stringify(change)).toBe(leaves ? 0 : 1);
    const tar = await whole(writeArchive(store, plan));
    expect(tar.includes('secret state'), JSON.stringify(change)).toBe(leaves);
    expect(tar.includes(hexOfDigest(compiled.digest)), JSON.stringify(change)).toBe(leaves);
    expect((await planExport(store, [{ key: 'p:1', descriptor }], { compiled: false })).compiled).toBe(0);
  }
  const closed = await storeImage(store, 'p:1', SOURCES, { policy: { ...open, allow_source_export: false } });
  await expect(planExport(store, [{ key: 'p:1', descriptor: closed }])).rejects.toMatchObject({
    code: 'image.not_exportable',
    where: 'p:1',
  });
});

test('IMG-98 what is redacted to leave is written beside the store, which is afterwards as it was', async () => {
  vi.stubEnv('XDG_CONFIG_HOME', await scratch());
  onTestFinished(() => void vi.unstubAllEnvs());
  const store = await scratchStore();
  const secret = '{"role":"user","content":"the word is hunter2"}\n';
  const image = await storeImage(
    store,
    'quilt/a:1',
    { messages: secret },
    { policy: { ...open, redact_on_export: ['secrets'], redact_patterns: ['hunter[0-9]'] } },
  );
  const files = async (): Promise<readonly string[]> => (await fs.readdir(store.directory, { recursive: true })).sort();
  // The lock is a file of the store.
  await (await store.hold()).release();
  const before = [await files(), await store.entries()];
  const aside = store.aside();
  const plan = await planExport(aside, [{ key: 'quilt/a:1', descriptor: image }]);
  expect(plan.images[0]?.redacted).toEqual({ 'pattern-0': 1 });
  const tar = await whole(writeArchive(aside, plan));
  // Meanwhile it is in tmp/, where gc takes it when this process is ended.
  expect(
    (await files()).filter((path) => !(before[0] as readonly string[]).includes(path)).every((path) => path.startsWith('tmp/stage-')),
  ).toBe(true);
  await aside.remove();
  expect([await files(), await store.entries()]).toEqual(before);
  expect([tar.includes('hunter2'), tar.includes('the word is')]).toEqual([false, true]);
  expect(await importArchive(await scratchStore(), once(tar), { where: 'a.tar' })).toMatchObject([
    { key: 'quilt/a:1', digest: plan.images[0]?.descriptor.digest },
  ]);
});
