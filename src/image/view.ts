// Images as the tree shows them: read synchronously, under bounds that keep the serving thread free, from a layout that its
// owner may have filled with anything. No symbolic link is followed.
import * as fs from 'node:fs';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { loadYaml } from '../abi/packages.ts';
import { compatibilityText } from './compatibility.ts';
import { parseConfig, type ImageConfig } from './config.ts';
import { joinFiles, stretchesOf, type JoinedFile, type Stretches } from './layers.ts';
import { REF_NAME } from './layout-store.ts';
import { hexOfDigest, MEDIA, ociDigest, parseIndex, parseManifest, type Descriptor, type OciDigest } from './oci.ts';
import { tryImageReference } from './reference.ts';

const MAX_INDEX_BYTES = 4 * 1024 * 1024;
const MAX_VIEW_BYTES = 4 * 1024 * 1024;
const KEPT_VIEWS = 32;

/** A stretch of a journal, or a file in a layer's tar. */
export interface BlobRange {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

export class ImageView {
  readonly descriptor: Descriptor;
  readonly config: ImageConfig;
  readonly files: ReadonlyMap<string, JoinedFile>;
  readonly #directory: string;

  constructor(directory: string, descriptor: Descriptor, config: ImageConfig) {
    this.#directory = directory;
    this.descriptor = descriptor;
    this.config = config;
    this.files = joinFiles(config.layers);
  }

  get createdMs(): number {
    return Date.parse(this.config.created_at) || 0;
  }

  /** `source/`: transcript.jsonl, events.jsonl and the joined files, each as the ranges it is made of. */
  source(): ReadonlyMap<string, readonly BlobRange[]> {
    const found = new Map<string, readonly BlobRange[]>();
    for (const [path, file] of this.files) found.set(path, this.#fileRanges(file));
    for (const [name, of] of [
      ['transcript.jsonl', 'messages'],
      ['events.jsonl', 'events'],
    ] as const) {
      const ranges = this.stretches(of);
      if (ranges.length > 0) found.set(name, ranges);
    }
    return found;
  }

  /** The bytes of a small file of the source; undefined when it has none of that name. */
  read(path: string, maxBytes: number): Buffer | undefined {
    const file = this.files.get(path);
    if (file === undefined || file.size > maxBytes) return undefined;
    const bytes = Buffer.alloc(file.size);
    for (const { path: blob, offset, size } of this.#fileRanges(file)) {
      const fd = openBlob(blob);
      try {
        if (fs.readSync(fd, bytes, 0, size, offset) < size) return undefined;
      } finally {
        fs.closeSync(fd);
      }
    }
    return bytes;
  }

  stretches(of: Stretches): readonly BlobRange[] {
    return stretchesOf(this.config.layers, of).map(({ digest, size }) => ({ path: blobPath(this.#directory, digest), offset: 0, size }));
  }

  #fileRanges({ layer, offset, size }: JoinedFile): readonly BlobRange[] {
    const part = this.config.layers[layer]?.parts.find(({ mediaType }) => mediaType === MEDIA.files);
    if (size === 0) return [];
    if (part === undefined || offset === undefined || offset + size > part.size) return [{ path: '', offset: 0, size }];
    return [{ path: blobPath(this.#directory, part.digest), offset, size }];
  }

  /** The files beside `source/`. */
  texts(): Readonly<Record<'manifest.json' | 'manifest.yaml' | 'lineage' | 'compat' | 'layers', () => string>> {
    const { config } = this;
    return {
      'manifest.json': () => `${JSON.stringify(config, null, 2)}\n`,
      'manifest.yaml': () => loadYaml().stringify(config, { lineWidth: 0 }),
      lineage: () => lineageText(this.#directory, this.descriptor, config),
      compat: () => compatibilityText(config),
      layers: () =>
        config.layers
          .map(
            ({ name, role, parts, files }, index) =>
              `${index} ${role} ${name} ${files.length} files\n${parts.map(({ mediaType, digest, size }) => `  ${digest} ${size} ${mediaType}\n`).join('')}`,
          )
          .join(''),
    };
  }
}

/** Images of one layout, by `NAME:TAG`; looks at index.json again when it changed. */
export class ImageViews {
  readonly directory: string;
  #seen = '';
  #keys: ReadonlyMap<string, Descriptor> = new Map();
  readonly #views: Map<string, ImageView> = new Map();

  constructor(directory: string) {
    this.directory = directory;
  }

  keys(): ReadonlyMap<string, Descriptor> {
    const path = join(this.directory, 'index.json');
    const stat = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat?.isFile() !== true) return new Map();
    const seen = `${stat.ino}:${stat.mtimeNs}:${stat.size}`;
    if (seen === this.#seen) return this.#keys;
    const keys = new Map<string, Descriptor>();
    for (const entry of parseIndex(readFile(path, MAX_INDEX_BYTES), path).manifests) {
      const key = entry.annotations?.[REF_NAME];
      const reference = key === undefined ? undefined : tryImageReference(key);
      if (key !== undefined && reference?.tag !== undefined && entry.artifactType === MEDIA.image) keys.set(key, entry);
    }
    this.#keys = keys;
    this.#seen = seen;
    return keys;
  }

  view(descriptor: Descriptor): ImageView {
    const known = this.#views.get(descriptor.digest);
    if (known !== undefined) return known;
    const manifest = parseManifest(this.#read(descriptor), descriptor.digest);
    const view = new ImageView(this.directory, descriptor, parseConfig(this.#read(manifest.config), manifest.config.digest));
    if (this.#views.size >= KEPT_VIEWS) this.#views.delete(this.#views.keys().next().value as string);
    this.#views.set(descriptor.digest, view);
    return view;
  }

  #read({ digest }: Pick<Descriptor, 'digest'>): Buffer {
    return readBlob(this.directory, digest);
  }
}

function blobPath(directory: string, digest: OciDigest): string {
  return join(directory, 'blobs/sha256', hexOfDigest(digest));
}

function readBlob(directory: string, digest: OciDigest): Buffer {
  const path = blobPath(directory, digest);
  const bytes = readFile(path, MAX_VIEW_BYTES);
  if (ociDigest(bytes) === digest) return bytes;
  throw new CtxError('image.blob_damaged', 'EIO', `is not ${digest}`, { where: path, next: 'run ctx fsck' });
}

/** O_NONBLOCK: whatever lies there must not hold up who reads it. */
export function openBlob(path: string): number {
  const fd = fs.openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if (fs.fstatSync(fd).isFile()) return fd;
  fs.closeSync(fd);
  throw new CtxError('image.blob_damaged', 'EIO', 'is not a regular file', { where: path, next: 'run ctx fsck' });
}

function readFile(path: string, maxBytes: number): Buffer {
  const fd = openBlob(path);
  try {
    const { size } = fs.fstatSync(fd);
    if (size > maxBytes)
      throw new CtxError('image.too_large', 'EFBIG', `is ${size} bytes; the mount shows at most ${maxBytes}`, {
        where: path,
        next: 'use ctx inspect',
      });
    const bytes = Buffer.alloc(size);
    return bytes.subarray(0, fs.readSync(fd, bytes, 0, size, 0));
  } finally {
    fs.closeSync(fd);
  }
}

/** One line an ancestor, this image first: digest, reference, time. */
function lineageText(directory: string, descriptor: Descriptor, config: ImageConfig): string {
  const lines: string[] = [`${descriptor.digest} ${config.name}:${config.version} ${config.created_at}\n`];
  const seen = new Set<string>([descriptor.digest]);
  for (let at: ImageConfig | undefined = config; at !== undefined && lines.length < 100;) {
    const digest: OciDigest | null | undefined = at.parent_digest;
    if (digest === null || digest === undefined || seen.has(digest)) break;
    seen.add(digest);
    const parent: ImageConfig | undefined = configOf(directory, digest);
    lines.push(`${digest} ${at.parent ?? '-'} ${parent?.created_at ?? 'not here'}\n`);
    at = parent;
  }
  return lines.join('');
}

function configOf(directory: string, digest: OciDigest): ImageConfig | undefined {
  try {
    const manifest = parseManifest(readBlob(directory, digest), digest);
    return parseConfig(readBlob(directory, manifest.config.digest), manifest.config.digest);
  } catch {
    return undefined;
  }
}
