// IMG-76: a tar that nobody vouches for becomes a staged layout, or an error that names the culprit. Only what an OCI layout has
// is let in: three kinds of names, regular files, each once, each blob under its digest; everything is bounded.
import { createGunzip } from 'node:zlib';
import type { Header } from 'tar-stream';
import { CtxError } from '../abi/errors.ts';
import { loadTarStream } from '../abi/packages.ts';
import { BLOB_PREFIX, LAYOUT_INDEX, LAYOUT_MARKER } from './archive.ts';
import type { ImageStore, Written } from './layout-store.ts';
import { TAR_BLOCK, TAR_END } from './tar-header.ts';
import { isOciDigest, MAX_CONFIG_BYTES, parseBounded, parseIndex, record, type Descriptor, type OciDigest } from './oci.ts';

export interface UnpackLimits {
  /** Entries of the tar. */
  readonly entries: number;
  /** Of all blobs. */
  readonly totalBytes: number;
}

export const UNPACK_LIMITS: UnpackLimits = { entries: 200_000, totalBytes: 2 ** 40 };

/** gzip may expand so far, and by this factor of what was read. */
const FREE_BYTES = 64 * 1024 * 1024;
const MAX_RATIO = 200;

export interface Unpacked {
  readonly entries: readonly Descriptor[];
  readonly blobs: ReadonlyMap<OciDigest, Written>;
}

export async function unpackArchive(
  pieces: AsyncIterable<Uint8Array>,
  stage: ImageStore,
  where: string,
  options: { readonly limits?: UnpackLimits; readonly progress?: (bytes: number) => void } = {},
): Promise<Unpacked> {
  const limits = options.limits ?? UNPACK_LIMITS;
  const source = { bytes: 0 };
  const tar = loadTarStream().extract();
  tar.on('error', () => undefined);
  const feeding = feed(
    counted(await decompressed(pieces, where), (bytes) => (source.bytes += bytes)),
    tar,
  );
  const seen = new Set<string>();
  const blobs = new Map<OciDigest, Written>();
  const small = new Map<string, Buffer>();
  let total = 0;
  let end = 0;
  try {
    for await (const entry of tar) {
      const { header } = entry;
      const name = entryName(header, where);
      end = entry.offset + TAR_BLOCK + Math.ceil(header.size / TAR_BLOCK) * TAR_BLOCK;
      if (seen.size >= limits.entries) throw bad(where, `has more than ${limits.entries} entries`);
      if (name === undefined) continue;
      if (seen.has(name)) throw bad(where, `has ${JSON.stringify(name)} twice`);
      seen.add(name);
      total += header.size;
      if (total > limits.totalBytes) throw bad(where, `has more than ${limits.totalBytes} bytes at ${JSON.stringify(name)}`);
      const body = entry as AsyncIterable<Buffer>;
      if (name.startsWith(BLOB_PREFIX)) {
        const digest = `sha256:${name.slice(BLOB_PREFIX.length)}` as OciDigest;
        const blob = options.progress === undefined ? body : counted(body, options.progress);
        blobs.set(digest, await stage.put(blob, { digest, size: header.size, where: `${where} ${name}` }));
      } else small.set(name, await bytesOf(body, header.size, `${where} ${name}`));
    }
    await feeding;
  } catch (error) {
    // The source is not waited for: it may never give another piece.
    tar.destroy();
    throw error instanceof CtxError
      ? error
      : bad(where, `is no whole tar: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (source.bytes < end + TAR_END.length) throw bad(where, 'ends without the end marker of a tar: it was cut off');
  const marker = record(parseBounded(required(small, LAYOUT_MARKER, where), `${where} ${LAYOUT_MARKER}`), `${where} ${LAYOUT_MARKER}`);
  if (marker['imageLayoutVersion'] !== '1.0.0') throw bad(where, 'is an OCI layout of another version than 1.0.0');
  return { entries: parseIndex(required(small, LAYOUT_INDEX, where), `${where} ${LAYOUT_INDEX}`).manifests, blobs };
}

/** Undefined for a directory that a layout has. */
function entryName({ name: raw, type, pax, linkname }: Header, where: string): string | undefined {
  const name = raw.replace(/^\.\//, '');
  const shown = JSON.stringify(raw.slice(0, 200));
  if (type === 'directory' && /^(|\.|blobs|blobs\/sha256)\/?$/.test(name)) return undefined;
  if (type !== 'file') throw bad(where, `has ${shown}, which is a ${String(type ?? 'special file')}${linkname ? ` to ${linkname}` : ''}`);
  const odd = Object.keys((pax ?? {}) as object).find(
    (key) => !/^(path|size|[amc]time|[ug]id|[ug]name|comment|LIBARCHIVE\.creationtime)$/.test(key),
  );
  if (odd !== undefined) throw bad(where, `has ${shown} with the extended header ${JSON.stringify(odd.slice(0, 80))}`);
  const blob = name.startsWith(BLOB_PREFIX) && isOciDigest(`sha256:${name.slice(BLOB_PREFIX.length)}`);
  if (!blob && name !== LAYOUT_MARKER && name !== LAYOUT_INDEX) throw bad(where, `has ${shown}, which is no part of an OCI layout`);
  return name;
}

async function bytesOf(body: AsyncIterable<Buffer>, size: number, where: string): Promise<Buffer> {
  if (size > MAX_CONFIG_BYTES) throw bad(where, `is ${size} bytes; at most ${MAX_CONFIG_BYTES} are read`);
  const parts: Buffer[] = [];
  for await (const piece of body) parts.push(piece);
  return Buffer.concat(parts);
}

function required(small: ReadonlyMap<string, Buffer>, name: string, where: string): Buffer {
  const bytes = small.get(name);
  if (bytes === undefined) throw bad(where, `has no ${name}: it is no OCI layout`);
  return bytes;
}

async function* counted(pieces: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    count(piece.length);
    yield piece;
  }
}

interface Sink {
  readonly destroyed: boolean;
  write(piece: Uint8Array): boolean;
  end(last: undefined): unknown;
  destroy(error: Error): unknown;
  on(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

/** Never rejects: an error of the source destroys the sink with it. */
async function feed(pieces: AsyncIterable<Uint8Array>, sink: Sink): Promise<void> {
  try {
    for await (const piece of pieces) {
      if (sink.destroyed) return;
      if (!sink.write(piece)) await drained(sink);
    }
    sink.end(undefined);
  } catch (error) {
    sink.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function drained(sink: Sink): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      sink.off('drain', done);
      sink.off('close', done);
      resolve();
    };
    sink.on('drain', done);
    sink.on('close', done);
  });
}

const MAGIC: readonly (readonly [string, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
];

/** The format that a file begins as; undefined when it begins as none of them. */
export function compressionOf(head: Uint8Array): string | undefined {
  return MAGIC.find(([, magic]) => magic.every((byte, at) => head[at] === byte))?.[0];
}

async function decompressed(pieces: AsyncIterable<Uint8Array>, where: string): Promise<AsyncIterable<Uint8Array>> {
  const iterator = pieces[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 8) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const whole = rejoin(head, iterator);
  const format = compressionOf(head);
  if (format === undefined) return whole;
  if (format === 'gzip') return gunzip(whole, where);
  await iterator.return?.();
  throw bad(where, `is compressed with ${format}; a tar is read, or a tar with gzip`);
}

async function* rejoin(head: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

async function* gunzip(pieces: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<Uint8Array> {
  const unzip = createGunzip({ chunkSize: 1 << 18 });
  let read = 0;
  let written = 0;
  const input = counted(pieces, (bytes) => (read += bytes));
  void feed(input, unzip);
  try {
    for await (const piece of unzip as AsyncIterable<Buffer>) {
      written += piece.length;
      if (written > FREE_BYTES + MAX_RATIO * read) throw bad(where, `expands ${read} bytes to more than ${written}: a decompression bomb`);
      yield piece;
    }
  } catch (error) {
    throw error instanceof CtxError
      ? error
      : bad(where, `is no whole gzip: ${error instanceof Error ? error.message : String(error)}`, error);
  } finally {
    unzip.destroy();
  }
}

function bad(where: string, what: string, cause?: unknown): CtxError {
  return new CtxError('image.archive_invalid', 'EINVAL', what, { where, next: 'nothing of it was kept; get the file again', cause });
}
