import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { extract, pack, type Header } from 'tar-stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readFilesLayer, writeFilesLayer, type LayerFile, type LayerLimits } from '../../src/image/files-layer.ts';
import { scratch } from './scratch.ts';

async function whole(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

async function* inPieces(bytes: Buffer, size = bytes.length): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readBack(tar: Buffer, limits?: LayerLimits, piece?: number): Promise<{ path: string; bytes: string; offset: number }[]> {
  const found: { path: string; bytes: string; offset: number }[] = [];
  for await (const { path, offset, bytes } of readFilesLayer(inPieces(tar, piece), limits))
    found.push({ path, offset, bytes: (await whole(bytes)).toString() });
  return found;
}

const LONG = `documents/${'d'.repeat(120)}/${'e'.repeat(200)}.md`;
const FILES: LayerFile[] = [
  { path: 'memory.yaml', bytes: Buffer.from('a: 1\n') },
  { path: LONG, bytes: Buffer.alloc(1000, 'l') },
  { path: 'context/budget', bytes: Buffer.from('4096\n') },
  { path: 'documents/größe/日本.txt', bytes: Buffer.from('ja') },
  { path: 'empty', bytes: Buffer.alloc(0) },
  { path: 'context/.wh.old', size: 0, stream: () => inPieces(Buffer.alloc(0)) },
  { path: 'streamed', size: 70_000, stream: () => inPieces(Buffer.alloc(70_000, 's'), 999) },
];

test('IMG-72 a files layer is the same bytes whatever order its files come in, and is read back with their offsets', async () => {
  const tar = await whole(writeFilesLayer(FILES));
  expect(await whole(writeFilesLayer([...FILES].reverse()))).toEqual(tar);
  const read = await readBack(tar, undefined, 777);
  expect(read.map(({ path }) => path)).toEqual(
    FILES.map(({ path }) => path).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  );
  for (const { path, bytes, offset } of read) {
    expect(tar.subarray(offset, offset + Buffer.byteLength(bytes)).toString(), path).toBe(bytes);
    const file = FILES.find((other) => other.path === path);
    if (file !== undefined && 'bytes' in file) expect(bytes).toBe(Buffer.from(file.bytes).toString());
  }
  // What the caller leaves unread is passed over.
  const names: string[] = [];
  for await (const { path, bytes } of readFilesLayer(inPieces(tar, 1000))) {
    names.push(path);
    if (path === 'streamed')
      for await (const piece of bytes) {
        expect(piece.length).toBeGreaterThan(0);
        break;
      }
  }
  expect(names).toHaveLength(FILES.length);
  expect(await readBack(await whole(writeFilesLayer([])))).toEqual([]);
});

test('IMG-72 GNU tar reads a files layer as regular files with mode 0444 and time 0', async () => {
  const directory = await scratch();
  await fs.writeFile(join(directory, 'layer.tar'), writeFilesLayer(FILES));
  execFileSync('tar', ['-xpf', 'layer.tar'], { cwd: directory });
  for (const { path, bytes } of await readBack(await fs.readFile(join(directory, 'layer.tar')))) {
    expect((await fs.readFile(join(directory, path))).toString()).toBe(bytes);
    const facts = await fs.stat(join(directory, path));
    expect([facts.mode & 0o7777, facts.mtimeMs]).toEqual([0o444, 0]);
  }
});

test('IMG-72 every set of files is read back as it was written', async () => {
  const part = fc.stringMatching(/^[a-zA-Z0-9 äñ日_-]{1,60}$/);
  const path = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'));
  const sets = fc.uniqueArray(fc.tuple(path, fc.uint8Array({ maxLength: 1200 })), { selector: ([name]) => name, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sets, fc.integer({ min: 1, max: 2000 }), async (set, piece) => {
      const files = set
        .filter(([name]) => !set.some(([other]) => other.startsWith(`${name}/`)))
        .map(([name, bytes]) => ({ path: name, bytes }));
      const read = await readBack(await whole(writeFilesLayer(files)), undefined, piece);
      expect(new Map(read.map(({ path: name, bytes }) => [name, bytes]))).toEqual(
        new Map(files.map(({ path: name, bytes }) => [name, Buffer.from(bytes).toString()])),
      );
    }),
    { numRuns: 60 },
  );
});

async function packed(entries: readonly (Partial<Header> & { name: string })[]): Promise<Buffer> {
  const tar = pack();
  for (const entry of entries) {
    if (entry.type === undefined || entry.type === 'contiguous-file') tar.entry(entry, 'x'.repeat(entry.size ?? 1));
    else tar.entry(entry);
  }
  tar.finalize();
  return whole(tar as AsyncIterable<Buffer>);
}

test('IMG-72 anything else is refused by name', async () => {
  const good = { mode: 0o444, mtime: new Date(0), uid: 0, gid: 0 };
  const refused = async (tar: Buffer, what: RegExp, limits?: LayerLimits): Promise<void> =>
    expect(readBack(tar, limits), what.source).rejects.toThrow(what);
  for (const name of [
    '../evil',
    'a/../../evil',
    '/etc/evil',
    'a//evil',
    './evil',
    'evil/',
    'a/evil\u0001',
    'evil\ufffd',
    `evil/${'x'.repeat(256)}`,
  ])
    await refused(await packed([{ ...good, name }]), /evil/);
  for (const type of ['symlink', 'link', 'character-device', 'block-device', 'fifo', 'directory', 'contiguous-file'] as const)
    await refused(
      await packed([{ ...good, name: 'evil', type, ...(type.endsWith('link') ? { linkname: '/etc/passwd' } : {}) }]),
      /"evil\/?"/,
    );
  await refused(await packed([{ ...good, name: 'evil', mode: 0o4755 }]), /"evil", which is not a regular file/);
  await refused(await packed([{ ...good, name: 'evil', mtime: new Date(1000) }]), /"evil", which is not/);
  await refused(await packed([{ ...good, name: 'evil', uname: 'root' }]), /"evil", which is not/);
  await refused(await packed([{ ...good, name: 'evil', pax: { 'GNU.sparse.size': '1' } }]), /"evil/);
  await refused(await packed([{ ...good, name: 'evil', pax: { size: '5' } }]), /"evil/);
  await refused(
    await packed([
      { ...good, name: 'b' },
      { ...good, name: 'a' },
    ]),
    /"a" out of order/,
  );
  await refused(
    await packed([
      { ...good, name: 'a' },
      { ...good, name: 'a' },
    ]),
    /"a" twice/,
  );
  await refused(
    await packed([
      { ...good, name: 'a' },
      { ...good, name: 'a/b' },
    ]),
    /"a\/b" inside a file/,
  );
  const tar = await whole(writeFilesLayer([{ path: 'a', bytes: Buffer.from('x') }]));
  await refused(tar, /more than 0 files/, { files: 0, totalBytes: 1e9 });
  await refused(tar, /larger than 100 bytes at "a"/, { files: 10, totalBytes: 100 });
  await refused(Buffer.concat([tar, Buffer.alloc(512)]), /goes on after its end/);
  const hidden = Buffer.from(tar);
  hidden[600] = 0x41;
  await refused(hidden, /hides bytes/);
  const checksum = Buffer.from(tar);
  checksum.write('777', 150);
  await refused(checksum, /"a", which is not/);
  const huge = Buffer.from(tar);
  huge.write('7'.repeat(11), 124);
  await refused(huge, /"a"/);
  const extended = Buffer.from(tar);
  extended[156] = 0x78;
  extended.write('77777777777', 124);
  await refused(extended, /extended header of 8589934591 bytes/);
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(512), Buffer.from('not a tar'), Buffer.alloc(4096, 0xff)]) await refused(bytes, /./);
});

test('IMG-72 a layer that is cut off anywhere is refused', async () => {
  const tar = await whole(
    writeFilesLayer([
      { path: LONG, bytes: Buffer.from('x') },
      { path: 'z', bytes: Buffer.alloc(600) },
    ]),
  );
  for (let length = 0; length < tar.length; length += 37)
    await expect(readBack(tar.subarray(0, length)), String(length)).rejects.toMatchObject({ where: 'the layer' });
  for (let length = 0; length < tar.length; length += 512)
    await expect(readBack(tar.subarray(0, length)), String(length)).rejects.toMatchObject({ where: 'the layer' });
});

test('a source that is not as long as it was said to be, and paths that no layer can have, are not written', async () => {
  const of = (size: number): LayerFile => ({ path: 'f', size, stream: () => inPieces(Buffer.alloc(10)) });
  await expect(whole(writeFilesLayer([of(9)]))).rejects.toThrow('is no longer 9 bytes');
  await expect(whole(writeFilesLayer([of(11)]))).rejects.toThrow('is no longer 11 bytes');
  for (const path of ['', '/a', '../a', 'a/', 'a\n', '\ud800'])
    await expect(whole(writeFilesLayer([{ path, bytes: Buffer.alloc(0) }])), JSON.stringify(path)).rejects.toThrow('has the path');
});

test('sizes that octal cannot say are written as other tars write them', async () => {
  const size = 8 * 1024 ** 3 + 5;
  const one = Buffer.alloc(1 << 20);
  const source = async function* (): AsyncGenerator<Buffer> {
    yield one;
  };
  const first = (await writeFilesLayer([{ path: 'big', size, stream: source }]).next()).value as Buffer;
  const seen: number[] = [];
  const other = extract();
  other.on('error', () => undefined);
  other.on('entry', (header) => seen.push(header.size));
  other.write(first);
  await new Promise((resolve) => setImmediate(resolve));
  const entries = readFilesLayer(inPieces(first));
  const entry = await entries.next();
  expect(entry.value).toMatchObject({ path: 'big', size, offset: 512 });
  await expect(entries.next()).rejects.toThrow('ends inside "big"');
  expect(seen).toEqual([size]);
});
