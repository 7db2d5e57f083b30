import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { extract, pack, type Header } from 'tar-stream';
import { expect, test } from 'vitest';
import { writeArchive } from '../../src/image/archive.ts';
import type { ImageConfig } from '../../src/image/config.ts';
import { planExport } from '../../src/image/export.ts';
import { importArchive, type ImportOptions } from '../../src/image/import.ts';
import type { ImageStore } from '../../src/image/layout-store.ts';
import { canonicalBytes, hexOfDigest, MEDIA, ociDigest, type Descriptor, type OciDigest } from '../../src/image/oci.ts';
import { imageConfig } from './image-config.ts';
import { scratchStore } from './scratch.ts';
import { once, storeImage, storeLayer, storeManifest, whole } from './stored-image.ts';

interface Entry extends Partial<Header> {
  readonly name: string;
  readonly body?: Uint8Array;
}

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { body, ...header } of entries) {
    if (body === undefined) tar.entry(header);
    else tar.entry(header, body);
  }
  tar.finalize();
  return whole(tar as AsyncIterable<Buffer>);
}

async function entriesOf(bytes: Buffer): Promise<readonly Entry[]> {
  const tar = extract();
  tar.end(bytes);
  const found: Entry[] = [];
  for await (const entry of tar) found.push({ name: entry.header.name, body: await whole(entry as AsyncIterable<Buffer>) });
  return found;
}

async function goodEntries(): Promise<{ entries: readonly Entry[]; tar: Buffer; image: Descriptor; store: ImageStore }> {
  const store = await scratchStore();
  const image = await storeImage(store, 'quilt/a:1', { messages: 'hello\n', files: { 'memory.yaml': 'a: 1\n' } });
  const tar = await whole(writeArchive(store, await planExport(store, [{ key: 'quilt/a:1', descriptor: image }])));
  return { entries: await entriesOf(tar), tar, image, store };
}

/** Refused, naming the culprit; nothing of it is in the store. */
async function refused(tar: Uint8Array | AsyncIterable<Uint8Array>, what: RegExp, options: Partial<ImportOptions> = {}): Promise<void> {
  const store = await scratchStore();
  const pieces = tar instanceof Uint8Array ? once(tar) : tar;
  const error: unknown = await importArchive(store, pieces, { where: 'evil.tar', ...options }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error, what.source).toMatchObject({ name: 'CtxError' });
  const { where, message } = error as Error & { where: string };
  expect(`${where} ${message}`).toMatch(what);
  expect(await fs.readdir(join(store.directory, 'blobs/sha256')), what.source).toEqual([]);
  expect(await fs.readdir(join(store.directory, 'tmp')), what.source).toEqual([]);
  expect(await store.entries(), what.source).toEqual([]);
}

const x = Buffer.from('x');

test('IMG-76 names, kinds and headers that no layout has are refused by name', async () => {
  const { entries } = await goodEntries();
  const adding = async (entry: Entry, what: RegExp): Promise<void> => refused(await tarOf([...entries, entry]), what);
  for (const name of [
    '../evil',
    '/etc/evil',
    'blobs/sha256/../../evil',
    './blobs/./evil',
    'blobs/sha256/evil',
    'blobs/sha512/evil',
    'evil\n',
    'evil',
  ])
    await adding({ name, body: x }, /evil/);
  await adding({ name: `blobs/sha256/${'A'.repeat(64)}`, body: x }, /AAAA.* no part of an OCI layout/);
  for (const type of ['symlink', 'link', 'character-device', 'block-device', 'fifo'] as const)
    await adding({ name: `blobs/sha256/${'a'.repeat(64)}`, type, linkname: '/etc/passwd' }, /aaaa.* is a /);
  await adding({ name: 'evil', type: 'directory' }, /"evil", which is a directory/);
  for (const pax of [{ 'GNU.sparse.major': '1' }, { 'SCHILY.xattr.user.a': 'b' }, { linkpath: '/etc/passwd' }])
    await adding({ name: `blobs/sha256/${'a'.repeat(64)}`, body: x, pax }, /aaaa.* extended header/);
  await adding({ name: 'index.json', body: x }, /"index\.json" twice/);
  await adding({ ...(entries[2] as Entry), name: `./${entries[2]?.name}` }, /twice/);
  const sparse = await tarOf([...entries, { name: `blobs/sha256/${'a'.repeat(64)}`, body: x }]);
  const at = sparse.indexOf('a'.repeat(64)) - 'blobs/sha256/'.length;
  sparse[at + 156] = 'S'.charCodeAt(0);
  let sum = 8 * 32;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += sparse[at + i] ?? 0;
  sparse.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148);
  await refused(sparse, /aaaa.* special file/);
});

test('IMG-76 lies about digests and sizes, missing blobs and blobs that nothing names are refused', async () => {
  const { entries, image, store } = await goodEntries();
  const manifest = await store.manifest(image);
  for (const { digest } of [image, manifest.config, ...manifest.layers]) {
    const name = `blobs/sha256/${hexOfDigest(digest)}`;
    await refused(await tarOf(entries.filter((entry) => entry.name !== name)), new RegExp(`${hexOfDigest(digest)}.*missing`));
    await refused(
      await tarOf(entries.map((entry) => (entry.name === name ? { name, body: x } : entry))),
      new RegExp(`${hexOfDigest(digest)}.*was said`),
    );
  }
  for (const name of ['oci-layout', 'index.json']) {
    await refused(await tarOf(entries.filter((entry) => entry.name !== name)), new RegExp(`has no ${name}`));
    const changed = (body: Buffer): Promise<Buffer> => tarOf(entries.map((entry) => (entry.name === name ? { name, body } : entry)));
    await refused(await changed(Buffer.from('{')), new RegExp(`${name} is not JSON`));
    await refused(await changed(Buffer.from('['.repeat(10_000))), new RegExp(`${name} is nested deeper`));
    await refused(await changed(Buffer.from('{"imageLayoutVersion":"2.0.0","schemaVersion":1}')), /another version|not an OCI index/);
  }
  const stray = ociDigest(x);
  await refused(
    await tarOf([...entries, { name: `blobs/sha256/${hexOfDigest(stray)}`, body: x }]),
    new RegExp(`${stray} is named by no manifest`),
  );
  const index = (manifests: unknown): Promise<Buffer> =>
    tarOf(
      entries.map((entry) =>
        entry.name === 'index.json' ? { name: entry.name, body: canonicalBytes({ schemaVersion: 2, manifests }) } : entry,
      ),
    );
  const entry = { mediaType: MEDIA.manifest, digest: image.digest, size: image.size };
  await refused(await index([]), /has no image/);
  await refused(await index([{ ...entry, size: entry.size + 1 }]), /has \d+ bytes and not/);
  await refused(await index([{ ...entry, mediaType: MEDIA.index }]), /not a manifest/);
  await refused(await index([{ ...entry, digest: 'sha256:../../x' }]), /only sha256/);
  await refused(await index([entry]), /called nothing/);
  for (const name of ['../../evil', 'EVIL', 'evil@sha256:0', `image:evil`, 'evil\n'])
    await refused(await index([{ ...entry, annotations: { 'org.opencontainers.image.ref.name': name } }]), /evil/i);
  const named = { ...entry, annotations: { 'org.opencontainers.image.ref.name': 'a:1' } };
  await refused(await index([named, named]), /a:1 twice/);
  await refused(await index([named, { ...entry, annotations: { 'org.opencontainers.image.ref.name': 'a:2' } }]), /more than one image/, {
    as: 'b:1',
  });
});

test('IMG-76 an archive that is cut off anywhere is refused', async () => {
  const { tar } = await goodEntries();
  const cuts = new Set([
    ...Array.from({ length: tar.length / 512 }, (_, block) => block * 512),
    ...Array.from({ length: 40 }, (_, n) => n * 331 + 1),
  ]);
  for (const length of cuts) if (length < tar.length) await refused(tar.subarray(0, length), /evil\.tar/);
  const gzip = gzipSync(tar);
  for (let length = 0; length < gzip.length; length += Math.ceil(gzip.length / 20)) await refused(gzip.subarray(0, length), /evil\.tar/);
});

test('IMG-76 bombs are stopped: entries, bytes, gzip, headers, other compressions', async () => {
  const { entries, tar } = await goodEntries();
  const many = Array.from({ length: 1_200 }, (_, n) => Buffer.from(String(n))).map((body) => ({
    name: `blobs/sha256/${hexOfDigest(ociDigest(body))}`,
    body,
  }));
  await refused(await tarOf([...entries, ...many]), /named by no manifest/);
  await refused(await tarOf([...entries, ...many]), /more than 100 entries/, { limits: { entries: 100, totalBytes: 1e9 } });
  await refused(tar, /more than 600 bytes at "blobs/, { limits: { entries: 100, totalBytes: 600 } });
  const bomb = gzipSync(Buffer.alloc(150 * 1024 * 1024));
  expect(bomb.length).toBeLessThan(1_000_000);
  await refused(bomb, /decompression bomb/);
  // A header that says 100 GB, then nothing: no memory is taken for what is only said.
  const lying = await tarOf([{ name: 'index.json', body: x }]);
  lying.write('1'.repeat(11), 124);
  let sum = 8 * 32;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += lying[i] ?? 0;
  lying.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  await refused(lying, /index\.json is 1227133513 bytes; at most/);
  const endless = async function* (): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(1 << 16, 'x');
  };
  await refused(endless(), /no whole tar/);
  for (const [magic, format] of [
    [[0x28, 0xb5, 0x2f, 0xfd], 'zstd'],
    [[0xfd, 0x37, 0x7a, 0x58], 'xz'],
    [[0x42, 0x5a, 0x68], 'bzip2'],
    [[0x50, 0x4b, 0x03, 0x04], 'zip'],
  ] as const)
    await refused(Buffer.concat([Buffer.from(magic), Buffer.alloc(4096)]), new RegExp(`compressed with ${format}`));
  for (const bytes of [Buffer.alloc(0), x, Buffer.alloc(1024), Buffer.alloc(10_240), Buffer.from([0x1f, 0x8b, 8])])
    await refused(bytes, /evil\.tar/);
});

test('IMG-73 an image whose manifest, config and layers do not agree is refused', async () => {
  const lies = async (make: (store: ImageStore) => Promise<Descriptor>, what: RegExp): Promise<void> => {
    const store = await scratchStore();
    const image = await make(store);
    const manifest = await store.manifest(image);
    const blobs = new Map<OciDigest, Descriptor>([image, manifest.config, ...manifest.layers].map((blob) => [blob.digest, blob]));
    const entry = { ...image, annotations: { 'org.opencontainers.image.ref.name': 'a:1' } };
    await refused(writeArchive(store, { entries: [entry], blobs: [...blobs.values()] }), what);
  };
  const config = async (store: ImageStore, change: (config: ImageConfig) => object): Promise<Descriptor> => {
    const layer = await storeLayer(store, 'layer', { messages: 'm\n', files: { 'memory.yaml': 'a' } });
    return storeManifest(store, 'a:1', { ...(change(imageConfig({ layers: [layer] })) as ImageConfig) });
  };
  await lies((store) => config(store, (good) => ({ ...good, source: { ...good.source, source_hash: ociDigest('y') } })), /source_hash/);
  await lies((store) => config(store, (good) => ({ ...good, runtime: undefined })), /required property 'runtime'/);
  await lies((store) => config(store, (good) => ({ ...good, policy: { ...good.policy, redact_patterns: ['('] } })), /redact_patterns/);
  const withFiles = (change: (files: ImageConfig['layers'][0]['files']) => unknown) => (store: ImageStore) =>
    (async (): Promise<Descriptor> => {
      const layer = await storeLayer(store, 'layer', { files: { 'memory.yaml': 'a', b: 'c' } });
      return storeManifest(store, 'a:1', imageConfig({ layers: [{ ...layer, files: change(layer.files) as typeof layer.files }] }));
    })();
  await lies(
    withFiles((files) => files.slice(1)),
    /"b", which is not as the config/,
  );
  await lies(
    withFiles((files) => [...files, { path: 'z', size: 1, digest: ociDigest('z') }]),
    /has "z", and no tar has it/,
  );
  await lies(
    withFiles((files) => files.map((file) => ({ ...file, offset: 0 }))),
    /which is not as the config/,
  );
  await lies(
    withFiles((files) => files.map((file) => ({ ...file, digest: ociDigest('q') }))),
    /which is not as the config/,
  );
  await lies((store) => storeImage(store, 'a:1', { messages: 'no end of line' }), /ends inside a line/);
  const evilTar = await tarOf([{ name: '../evil', body: x, mode: 0o444, mtime: new Date(0) }]);
  await lies(async (store) => {
    const part = { mediaType: MEDIA.files, ...(await store.put(evilTar)) };
    return storeImage(store, 'a:1', [{ name: 'l', role: 'base', parts: [part], files: [] }]);
  }, /\.\.\/evil/);
  const manifests = async (change: (manifest: Record<string, unknown>) => object, what: RegExp): Promise<void> =>
    lies(async (store) => {
      const good = await store.manifest(await storeImage(store, 'a:1', { messages: 'm\n' }));
      const bytes = canonicalBytes(change(good as unknown as Record<string, unknown>));
      return { mediaType: MEDIA.manifest, ...(await store.put(bytes)) };
    }, what);
  await manifests((good) => ({ ...good, artifactType: 'application/x-evil' }), /x-evil/);
  await manifests((good) => ({ ...good, layers: [] }), /layers that are not the parts/);
  await manifests((good) => ({ ...good, layers: [{ ...(good['layers'] as object[])[0], mediaType: 'application/x-evil' }] }), /x-evil/);
  await manifests((good) => ({ ...good, artifactType: MEDIA.compiled }), /compiled state with a config/);
  await manifests((good) => ({ ...good, subject: good['config'] }), /an image with a subject/);
});

test('IMG-76 images that are each others ancestors are refused', async () => {
  const store = await scratchStore();
  const images = [];
  for (const [name, parent] of [
    ['a', 'b:1'],
    ['b', 'image:c:1'],
    ['c', 'a:1'],
  ] as const)
    images.push({ key: `${name}:1`, descriptor: await storeImage(store, `${name}:1`, { messages: `${name}\n` }, { parent }) });
  await refused(writeArchive(store, await planExport(store, images)), /a:1, which is its own ancestor/);
});
