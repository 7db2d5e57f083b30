// IMG-72: the tar of a files layer. There is one way to write it, and only what was written that way is read: each header is
// compared, byte for byte, with the one that the writer makes for its path and size.
import { CtxError } from '../abi/errors.ts';
import { ByteSource } from './byte-source.ts';
import { TAR_BLOCK as BLOCK, TAR_END as END, tarHeader } from './tar-header.ts';

/** One file of a layer. A stream is opened when its turn comes, and must give exactly `size` bytes. */
export type LayerFile =
  | { readonly path: string; readonly bytes: Uint8Array }
  | { readonly path: string; readonly size: number; readonly stream: () => AsyncIterable<Uint8Array> };

export interface LayerEntry {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Where the file's bytes begin in the tar. */
  readonly offset: number;
  /** May be left unread, in whole or in part. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface LayerLimits {
  readonly files: number;
  /** Of the whole tar. */
  readonly totalBytes: number;
  /** Names the layer in errors. */
  readonly where?: string;
}

export const LAYER_LIMITS: LayerLimits = { files: 1_000_000, totalBytes: 2 ** 40 };

const MAX_PATH_BYTES = 4095;
const MAX_PAX_BYTES = MAX_PATH_BYTES + 64;

export async function* writeFilesLayer(files: readonly LayerFile[]): AsyncGenerator<Uint8Array> {
  const order = new PathOrder('the layer');
  const sorted = files.map((file) => ({ file, key: Buffer.from(file.path) })).sort((a, b) => Buffer.compare(a.key, b.key));
  for (const { file } of sorted) {
    order.add(file.path);
    const size = 'bytes' in file ? file.bytes.length : file.size;
    yield await tarHeader(file.path, size);
    let written = 0;
    for await (const piece of 'bytes' in file ? [file.bytes] : file.stream()) {
      written += piece.length;
      if (written > size) break;
      if (piece.length > 0) yield piece;
    }
    if (written !== size)
      throw new CtxError('image.source_changed', 'EBUSY', `is no longer ${size} bytes`, { where: file.path, next: 'try again' });
    if (size % BLOCK > 0) yield END.subarray(0, BLOCK - (size % BLOCK));
  }
  yield END;
}

export async function* readFilesLayer(
  pieces: AsyncIterable<Uint8Array>,
  limits: LayerLimits = LAYER_LIMITS,
): AsyncGenerator<LayerEntry, void, undefined> {
  const where = limits.where ?? 'the layer';
  const source = new ByteSource(pieces);
  const order = new PathOrder(where);
  try {
    for (let files = 0; ; files++) {
      const header = await readHeader(source, where);
      if (header === undefined) break;
      const { path, size } = header;
      if (files >= limits.files) throw bad(where, `has more than ${limits.files} files`);
      if (source.position + size > limits.totalBytes)
        throw bad(where, `is larger than ${limits.totalBytes} bytes at ${JSON.stringify(path)}`);
      order.add(path);
      const offset = source.position;
      const body = bodyOf(source, offset + size, path, where);
      yield { path, size, offset, bytes: body };
      // What the caller left.
      await body.return(undefined);
      for await (const piece of bodyOf(source, offset + size, path, where)) void piece;
      const padding = size % BLOCK === 0 ? 0 : BLOCK - (size % BLOCK);
      if (!(await source.take(padding)).equals(END.subarray(0, padding)))
        throw bad(where, `ends inside ${JSON.stringify(path)}, or hides bytes`);
    }
    if ((await source.some(1)) !== undefined) throw bad(where, 'goes on after its end');
  } finally {
    await source.close();
  }
}

async function* bodyOf(source: ByteSource, end: number, path: string, where: string): AsyncGenerator<Uint8Array> {
  while (source.position < end) {
    const piece = await source.some(end - source.position);
    if (piece === undefined) throw bad(where, `ends inside ${JSON.stringify(path)}`);
    yield piece;
  }
}

/** Undefined at the end marker, which must be two blocks of zeros. */
async function readHeader(source: ByteSource, where: string): Promise<{ path: string; size: number } | undefined> {
  const first = await source.take(BLOCK);
  if (first.length === BLOCK && first.equals(END.subarray(0, BLOCK))) {
    if (!(await source.take(BLOCK)).equals(first)) throw bad(where, 'ends without its end marker');
    return undefined;
  }
  let raw = first;
  let path: string;
  if (first[156] === 0x78) {
    const length = octal(first, 124, 12);
    if (!(length > 0 && length <= MAX_PAX_BYTES)) throw bad(where, `has an extended header of ${length} bytes`);
    const pax = await source.take(Math.ceil(length / BLOCK) * BLOCK);
    path = pax.subarray(pax.indexOf(' path=') + ' path='.length, length - 1).toString();
    raw = Buffer.concat([first, pax, await source.take(BLOCK)]);
  } else {
    const prefix = text(first, 345, 155);
    path = (prefix === '' ? '' : `${prefix}/`) + text(first, 0, 100);
  }
  if (raw.length < BLOCK || raw.length % BLOCK > 0) throw bad(where, 'ends without its end marker');
  const size = sizeField(raw.subarray(-BLOCK));
  checkPath(path, where);
  if (!Number.isSafeInteger(size) || size < 0 || !(await tarHeader(path, size)).equals(raw))
    throw bad(
      where,
      `has ${JSON.stringify(path)}, which is not a regular file with mode 0444, time 0 and owner 0, written as the layer is`,
    );
  return { path, size };
}

/** Paths in byte order, each once, none inside another. */
class PathOrder {
  readonly #where: string;
  /** The chain of files that could still be a directory of what follows is short; all files of one prefix come together. */
  readonly #files = new Set<string>();
  #last: Buffer | undefined;

  constructor(where: string) {
    this.#where = where;
  }

  add(path: string): void {
    checkPath(path, this.#where);
    const key = Buffer.from(path);
    const order = this.#last === undefined ? 1 : Buffer.compare(key, this.#last);
    if (order === 0) throw bad(this.#where, `has ${JSON.stringify(path)} twice`);
    if (order < 0) throw bad(this.#where, `has ${JSON.stringify(path)} out of order`);
    for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1))
      if (this.#files.has(path.slice(0, at))) throw bad(this.#where, `has ${JSON.stringify(path)} inside a file`);
    this.#files.add(path);
    this.#last = key;
  }
}

/** Relative, without `.`, `..`, empty parts, control characters or what is not Unicode. */
export function checkPath(path: string, where: string): void {
  const wrong = pathFault(path);
  if (wrong !== undefined) throw bad(where, `has the path ${JSON.stringify(path.slice(0, 200))}, which is ${wrong}`);
}

/** What keeps a path out of a layer; undefined when nothing does. */
export function pathFault(path: string): string | undefined {
  const parts = path.split('/');
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return 'longer than 4095 bytes';
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return 'absolute, or has an empty part, . or ..';
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f\ufffd]/.test(path) || Buffer.from(path).toString() !== path) return 'not plain Unicode text';
  return parts.some((part) => Buffer.byteLength(part) > 255) ? 'longer than 255 bytes' : undefined;
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? length : end).toString();
}

function octal(block: Buffer, at: number, length: number): number {
  return Number.parseInt(text(block, at, length).trim(), 8);
}

/** Octal, or big-endian binary for what octal cannot say (8 GiB and more). */
function sizeField(block: Buffer): number {
  if (block[124] === 0x80) return Number(block.readBigUInt64BE(128));
  return octal(block, 124, 12);
}

function bad(where: string, what: string): CtxError {
  return new CtxError('image.layer_invalid', 'EINVAL', what, { where, next: 'get the image again from where it was built' });
}
