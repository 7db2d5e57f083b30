// What an instance is besides its history: control files, pinned and child files, read and written through the mount.
import { constants } from 'node:fs';
import { mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { CONTEXT_CONTROLS } from '../abi/session-files.ts';
import { whiteoutTarget } from '../image/layers.ts';
import { inParallel } from '../image/parallel.ts';
import type { Built } from '../image/build-directory.ts';

const CONTROLS: readonly string[] = ['cwd', 'meta.json', ...CONTEXT_CONTROLS.map((name) => `context/${name}`)];
/** Files that are read side by side: each waits for the mount. */
const AT_ONCE = 8;
const AREAS = ['context/pinned', 'context/child'] as const;
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** What an instance says of the image it came from, in meta.json. */
export interface InstanceOf {
  readonly name: string;
  readonly tag: string;
  readonly digest: string;
  readonly layers: readonly string[];
  /** Where it left the image. */
  readonly divergence: { readonly messages: number; readonly events: number };
}

export interface InstanceFiles {
  /** Sorted by path. */
  readonly files: ReadonlyMap<string, Buffer>;
  /** FIFOs, sockets, symbolic links, files too large for an image, and names that it cannot hold. */
  readonly leftOut: readonly string[];
  readonly image: InstanceOf | undefined;
}

export async function readInstanceFiles(directory: string): Promise<InstanceFiles> {
  const files = new Map<string, Buffer>();
  const leftOut: string[] = [];
  let image: InstanceOf | undefined;
  await inParallel(CONTROLS, AT_ONCE, async (path) => {
    let bytes = await readFile(join(directory, path));
    if (bytes === undefined) return;
    if (path === 'meta.json') ({ bytes, image } = splitMeta(bytes));
    files.set(path, bytes);
  });
  const walk = async (area: string): Promise<void> => {
    for (const entry of await readdir(join(directory, area), { withFileTypes: true })) {
      const path = `${area}/${entry.name}`;
      if (entry.isDirectory()) await walk(path);
      else {
        const bytes = entry.isFile() && isImagePath(path) ? await readFile(join(directory, path)) : undefined;
        if (bytes === undefined) leftOut.push(path);
        else files.set(path, bytes);
      }
    }
  };
  for (const area of AREAS) await walk(area);
  return { files: new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1))), leftOut, image };
}

// eslint-disable-next-line no-control-regex
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f\ufffd]/;

/** A path that a manifest can hold: text without control characters, and no mark that takes another file away. */
function isImagePath(path: string): boolean {
  return !CONTROL_CHARACTER.test(path) && whiteoutTarget(path) === undefined;
}

async function readFile(path: string): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ELOOP' || error.code === 'ENXIO') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat();
    return stat.isFile() && stat.size <= MAX_FILE_BYTES ? await file.readFile() : undefined;
  } finally {
    await file.close();
  }
}

/** The image that a session came from is of this instance, not of what it is made into. */
function splitMeta(bytes: Buffer): { bytes: Buffer; image: InstanceOf | undefined } {
  const { image, ...meta } = JSON.parse(bytes.toString('utf8')) as { readonly image?: InstanceOf };
  return { bytes: Buffer.from(`${JSON.stringify(meta)}\n`), image };
}

/** The image of a session; undefined when it came from none. */
export async function instanceOf(directory: string): Promise<InstanceOf | undefined> {
  const bytes = await readFile(join(directory, 'meta.json')).catch(() => undefined);
  if (bytes === undefined) return undefined;
  try {
    const { image } = JSON.parse(bytes.toString('utf8')) as { readonly image?: Partial<InstanceOf> };
    const whole = typeof image?.name === 'string' && typeof image.tag === 'string' && typeof image.digest === 'string';
    return whole ? ({ layers: [], divergence: { messages: 0, events: 0 }, ...image } as InstanceOf) : undefined;
  } catch {
    return undefined;
  }
}

/** Only what differs is written: the same bytes again would be no change, but cost a write each. */
export async function writeInstanceFiles(directory: string, files: ReadonlyMap<string, Buffer>, image: InstanceOf): Promise<void> {
  const changed = new Set<string>();
  await inParallel(files, AT_ONCE, async ([path, bytes]) => {
    const now = path === 'meta.json' ? undefined : await readFile(join(directory, path)).catch(() => undefined);
    if (now?.equals(bytes) !== true) changed.add(path);
  });
  for (const [path, bytes] of files) {
    if (path === 'meta.json' || !changed.has(path)) continue;
    const target = join(directory, path);
    if (!CONTROLS.includes(path)) await mkdir(dirname(target), { recursive: true });
    await writeFile(target, bytes).catch((cause: NodeJS.ErrnoException) => {
      throw new CtxError('image.refused_file', 'EINVAL', `is refused by the session (${cause.code ?? cause.message})`, {
        where: path,
        next: 'mend it in the source of the image, and build it again',
        cause,
      });
    });
  }
  const meta = files.get('meta.json');
  const described = meta === undefined ? {} : (JSON.parse(meta.toString('utf8')) as Record<string, unknown>);
  await writeFile(join(directory, 'meta.json'), `${JSON.stringify({ ...described, image })}\n`);
}

/** After a commit the instance stands on the new image: the next commit writes what is new since. */
export async function markInstance(root: string, path: string, { image, key }: Built): Promise<void> {
  const file = join(root, path, 'meta.json');
  const meta = JSON.parse((await readFile(file))?.toString('utf8') ?? '{}') as Record<string, unknown>;
  const { config, descriptor } = image;
  const of: InstanceOf = {
    name: config.name,
    tag: key.slice(key.lastIndexOf(':') + 1),
    digest: descriptor.digest,
    layers: config.layers.map(({ name }) => name),
    divergence: { messages: config.continuation.messages, events: config.continuation.events },
  };
  await writeFile(file, `${JSON.stringify({ ...meta, image: of })}\n`);
}
