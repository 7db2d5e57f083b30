// An OCI image layout on disk: blobs by sha256, tags and referrers in index.json. IMG-3: whatever ends this process, at any point,
// leaves a layout that verifies: a blob appears whole or not at all, and index.json is replaced by rename.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { hexOfDigest, isOciDigest, MAX_CONFIG_BYTES, MEDIA, ociDigest, parseIndex, parseManifest } from './oci.ts';
import type { Descriptor, Manifest, OciDigest } from './oci.ts';
import { parseImageReference } from './reference.ts';
import { lockFile, type StoreLock } from './store-lock.ts';

/** In index.json: the tag of an image, and what a referrer is about. */
export const REF_NAME = 'org.opencontainers.image.ref.name';
export const SUBJECT = 'dev.ctxfs.subject';
/** In index.json, on a referrer that came from elsewhere: compiled state that has it is used only when a trusted key signed it. */
export const FOREIGN = 'dev.ctxfs.foreign';

const INDEX = 'index.json';
const TEMPORARY = 'tmp';

export interface Written {
  readonly digest: OciDigest;
  readonly size: number;
}

/** What a writer was promised; a blob that is something else is refused and nothing of it stays. */
export interface Expected {
  readonly digest?: OciDigest;
  readonly size?: number;
  /** Where the bytes come from, for errors. */
  readonly where?: string;
}

export class ImageStore {
  readonly directory: string;
  readonly #durable: boolean;
  /** Permission bits for others than the owner: in a shared space what the directories let them. */
  readonly #others: number;

  protected constructor(directory: string, durable: boolean, others: number) {
    this.directory = directory;
    this.#durable = durable;
    this.#others = others;
  }

  /** Makes the layout where there is none. `shared`: whoever may pass its directories may read it. */
  static async open(directory: string, shared: boolean = false): Promise<ImageStore> {
    await fs.mkdir(join(directory, 'blobs/sha256'), { recursive: true, mode: 0o700 });
    await fs.mkdir(join(directory, TEMPORARY), { recursive: true, mode: 0o700 });
    const store = new ImageStore(directory, true, shared ? 0o044 : 0);
    const marker = join(directory, 'oci-layout');
    if ((await fs.stat(marker).catch(() => undefined)) === undefined) await store.#replace(marker, '{"imageLayoutVersion":"1.0.0"}');
    return store;
  }

  /** One that is there, to be read only. */
  static at(directory: string): ImageStore {
    return new ImageStore(directory, true, 0);
  }

  blobPath(digest: OciDigest): string {
    return join(this.directory, 'blobs/sha256', hexOfDigest(digest));
  }

  /** A name in the layout's own file system for something that is not a blob yet. */
  temporaryPath(hint: string): string {
    const random = Math.floor(Math.random() * 2 ** 48).toString(36);
    return join(this.directory, TEMPORARY, `${hint}-${process.pid}-${Date.now().toString(36)}-${random}`);
  }

  /** Bytes, or undefined when the blob is not here. */
  async sizeOf(digest: OciDigest): Promise<number | undefined> {
    return (await fs.stat(this.blobPath(digest)).catch(() => undefined))?.size;
  }

  /** Digests of blobs whose hex begins so. */
  async blobsFrom(hex: string): Promise<readonly OciDigest[]> {
    const names = await fs.readdir(join(this.directory, 'blobs/sha256'));
    return names.map((name): OciDigest => `sha256:${name}`).filter((digest) => isOciDigest(digest) && digest.startsWith(`sha256:${hex}`));
  }

  /** Stores bytes by their digest: temporary name, digest on the way, fsync, rename. */
  async put(bytes: Uint8Array | AsyncIterable<Uint8Array>, expected: Expected = {}): Promise<Written> {
    return this.#withSpace(() => this.#put(bytes, expected));
  }

  async #put(bytes: Uint8Array | AsyncIterable<Uint8Array>, expected: Expected): Promise<Written> {
    const temporary = this.temporaryPath('blob');
    const file = await fs.open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    let renamed = false;
    try {
      const hash = createHash('sha256');
      let size = 0;
      for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
        size += piece.length;
        if (expected.size !== undefined && size > expected.size)
          throw differs(expected, `is longer than the ${expected.size} bytes it was said to be`);
        hash.update(piece);
        await file.writev([piece]).then(({ bytesWritten }) => {
          if (bytesWritten !== piece.length)
            throw new CtxError('image.short_write', 'ENOSPC', 'could not be written whole', { where: temporary });
        });
      }
      const digest: OciDigest = `sha256:${hash.digest('hex')}`;
      if (expected.size !== undefined && size !== expected.size)
        throw differs(expected, `is ${size} bytes, and was said to be ${expected.size}`);
      if (expected.digest !== undefined && digest !== expected.digest)
        throw differs(expected, `is ${digest}, and was said to be ${expected.digest}`);
      renamed = await this.#adopt(file, temporary, digest, size);
      return { digest, size };
    } finally {
      await file.close();
      if (!renamed) await fs.rm(temporary, { force: true });
    }
  }

  /** False when the blob was there already. */
  async #adopt(file: fs.FileHandle, temporary: string, digest: OciDigest, size: number): Promise<boolean> {
    if ((await this.sizeOf(digest)) === size) return false;
    await file.chmod(0o400 | this.#others);
    if (this.#durable) await file.sync();
    await fs.rename(temporary, this.blobPath(digest));
    if (this.#durable) await syncDirectory(join(this.directory, 'blobs/sha256'));
    return true;
  }

  /** Where what nobody vouches for is checked before it is taken over. */
  stage(): StagedStore {
    return new StagedStore(this.directory, this.temporaryPath('stage'), this.#others);
  }

  /** What leaves and is not kept: this store, and beside it what is written here, which goes with {@link AsideStore.remove}. */
  aside(): AsideStore {
    return new AsideStore(this.directory, this.stage());
  }

  /** Takes blobs over, by rename, from a stage of this store, which has checked them. */
  async adoptFrom(stage: StagedStore, blobs: readonly Written[]): Promise<void> {
    for (const { digest, size } of blobs) {
      if ((await this.sizeOf(digest)) === size) continue;
      const file = await fs.open(stage.blobPath(digest), 'r');
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      await fs.rename(stage.blobPath(digest), this.blobPath(digest));
    }
    await syncDirectory(join(this.directory, 'blobs/sha256'));
  }

  /** The blob's bytes; fails at the end, before the last piece is given, when they are not what the descriptor says (IMG-4). */
  async *stream({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): AsyncGenerator<Buffer> {
    const path = this.blobPath(digest);
    const file = await this.#open(digest);
    try {
      const hash = createHash('sha256');
      let at = 0;
      let held: Buffer | undefined;
      for (;;) {
        const piece = Buffer.allocUnsafe(1 << 20);
        const { bytesRead } = await file.read(piece, 0, piece.length, at);
        if (bytesRead === 0) break;
        at += bytesRead;
        if (at > size) break;
        hash.update(piece.subarray(0, bytesRead));
        if (held !== undefined) yield held;
        held = piece.subarray(0, bytesRead);
      }
      if (at !== size || `sha256:${hash.digest('hex')}` !== digest) throw damaged(path, digest);
      if (held !== undefined) yield held;
    } finally {
      await file.close();
    }
  }

  /** A small blob whole, checked. */
  async read({ digest, size }: Pick<Descriptor, 'digest' | 'size'>, maxBytes: number = MAX_CONFIG_BYTES): Promise<Buffer> {
    if (size > maxBytes)
      throw new CtxError('image.too_large', 'EFBIG', `is ${size} bytes; at most ${maxBytes} are read`, { where: digest });
    const file = await this.#open(digest);
    try {
      const bytes = (await file.stat()).size > maxBytes ? undefined : await file.readFile();
      if (bytes?.length !== size || ociDigest(bytes) !== digest) throw damaged(this.blobPath(digest), digest);
      return bytes;
    } finally {
      await file.close();
    }
  }

  async manifest(descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<Manifest> {
    return parseManifest(await this.read(descriptor), descriptor.digest);
  }

  async #open(digest: OciDigest): Promise<fs.FileHandle> {
    if (!isOciDigest(digest)) throw new CtxError('image.digest', 'EINVAL', 'is not a sha256 digest', { where: String(digest) });
    return fs.open(this.blobPath(digest), 'r').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'ENOENT') throw cause;
      throw new CtxError('image.blob_missing', 'ENOENT', 'is not in the store', {
        where: digest,
        next: 'pull or import the image again, or run ctx fsck',
        cause,
      });
    });
  }

  /** Every tag and referrer. */
  async entries(): Promise<readonly Descriptor[]> {
    const path = join(this.directory, INDEX);
    const bytes = await fs.readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    return bytes === undefined ? [] : parseIndex(bytes, path).manifests;
  }

  /** Undefined when there is no such tag. */
  async resolve(key: string): Promise<Descriptor | undefined> {
    return (await this.entries()).find((entry) => entry.annotations?.[REF_NAME] === key);
  }

  async referrers(subject: OciDigest): Promise<readonly Descriptor[]> {
    return (await this.entries()).filter((entry) => entry.annotations?.[SUBJECT] === subject);
  }

  /** Changes index.json under its lock; what the blobs it names need must be stored already. */
  async change(edit: (entries: readonly Descriptor[]) => readonly Descriptor[]): Promise<void> {
    const lock = await lockFile(join(this.directory, 'index.lock'), 'exclusive');
    try {
      const manifests = edit(await this.entries());
      await this.#withSpace(() =>
        this.#replace(join(this.directory, INDEX), JSON.stringify({ schemaVersion: 2, mediaType: MEDIA.index, manifests })),
      );
    } finally {
      await lock.release();
    }
  }

  /** Gives the digest of another image that had the name. Throws `image.reference` when nobody could name the image so. */
  async tag(key: string, descriptor: Descriptor): Promise<OciDigest | undefined> {
    parseImageReference(key);
    const named = { ...descriptor, annotations: { ...descriptor.annotations, [REF_NAME]: key } };
    let before: OciDigest | undefined;
    await this.change((entries) => {
      before = entries.find((entry) => entry.annotations?.[REF_NAME] === key)?.digest;
      return [...entries.filter((entry) => entry.annotations?.[REF_NAME] !== key), named];
    });
    return before === descriptor.digest ? undefined : before;
  }

  async addReferrer(descriptor: Descriptor, subject: OciDigest): Promise<void> {
    const named = { ...descriptor, annotations: { ...descriptor.annotations, [SUBJECT]: subject } };
    await this.change((entries) => [
      ...entries.filter((entry) => entry.digest !== descriptor.digest || entry.annotations?.[SUBJECT] !== subject),
      named,
    ]);
  }

  async putManifest(manifest: Manifest, bytes: Buffer): Promise<Descriptor> {
    const { digest, size } = await this.put(bytes);
    return { mediaType: MEDIA.manifest, digest, size, artifactType: manifest.artifactType };
  }

  /** Held by whoever stores blobs that no tag names yet; gc waits for all of them (IMG-5). */
  hold(): Promise<StoreLock> {
    return lockFile(join(this.directory, 'gc.lock'), 'shared');
  }

  /** Held by gc while it sweeps. */
  holdAlone(): Promise<StoreLock> {
    return lockFile(join(this.directory, 'gc.lock'), 'exclusive');
  }

  async #replace(path: string, text: string): Promise<void> {
    const temporary = this.temporaryPath('file');
    try {
      const file = await fs.open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(text);
        if (this.#others !== 0) await file.chmod(0o600 | this.#others);
        await file.sync();
      } finally {
        await file.close();
      }
      await fs.rename(temporary, path);
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    }
    await syncDirectory(this.directory);
  }

  /** IMG-113: a disk that is full is told as what it is, with the place. */
  async #withSpace<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (cause instanceof CtxError || (code !== 'ENOSPC' && code !== 'EDQUOT')) throw cause;
      throw new CtxError('image.no_space', 'ENOSPC', 'has no space left', {
        where: this.directory,
        next: 'free space on its disk, or run: ctx gc',
        cause,
      });
    }
  }
}

/** Blobs beside those of the store, under names of their own in tmp/, and an index in memory. Does not survive a power cut. */
export class StagedStore extends ImageStore {
  readonly #prefix: string;
  readonly #blobs = new Set<OciDigest>();
  #entries: readonly Descriptor[] = [];

  constructor(directory: string, prefix: string, others: number) {
    super(directory, false, others);
    this.#prefix = prefix;
  }

  override blobPath(digest: OciDigest): string {
    return `${this.#prefix}.${hexOfDigest(digest)}`;
  }

  override async put(bytes: Uint8Array | AsyncIterable<Uint8Array>, expected: Expected = {}): Promise<Written> {
    const written = await super.put(bytes, expected);
    this.#blobs.add(written.digest);
    return written;
  }

  override entries(): Promise<readonly Descriptor[]> {
    return Promise.resolve(this.#entries);
  }

  override change(edit: (entries: readonly Descriptor[]) => readonly Descriptor[]): Promise<void> {
    this.#entries = edit(this.#entries);
    return Promise.resolve();
  }

  /** What was not taken over. */
  async remove(): Promise<void> {
    for (const digest of this.#blobs) await fs.rm(this.blobPath(digest), { force: true });
  }
}

/** Reads a store, and writes beside it: in tmp/, where gc finds what a process that was ended has left. */
export class AsideStore extends ImageStore {
  readonly #stage: StagedStore;
  readonly #own = new Set<OciDigest>();
  #entries: readonly Descriptor[] = [];

  constructor(directory: string, stage: StagedStore) {
    super(directory, false, 0);
    this.#stage = stage;
  }

  override blobPath(digest: OciDigest): string {
    return this.#own.has(digest) ? this.#stage.blobPath(digest) : super.blobPath(digest);
  }

  override async put(bytes: Uint8Array | AsyncIterable<Uint8Array>, expected: Expected = {}): Promise<Written> {
    const written = await this.#stage.put(bytes, expected);
    this.#own.add(written.digest);
    return written;
  }

  override async entries(): Promise<readonly Descriptor[]> {
    return [...(await super.entries()), ...this.#entries];
  }

  override async change(edit: (entries: readonly Descriptor[]) => readonly Descriptor[]): Promise<void> {
    const stored = await super.entries();
    const before: readonly Descriptor[] = [...stored, ...this.#entries];
    this.#entries = edit(before).filter((entry) => !stored.includes(entry));
  }

  async remove(): Promise<void> {
    await this.#stage.remove();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const file = await fs.open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function differs({ where, digest }: Expected, what: string): CtxError {
  return new CtxError('image.digest_mismatch', 'EIO', what, {
    where: where ?? digest ?? 'the blob',
    next: 'nothing of it was kept; get it again',
  });
}

function damaged(path: string, digest: OciDigest): CtxError {
  return new CtxError('image.blob_damaged', 'EIO', `is not ${digest}`, {
    where: path,
    next: 'run ctx fsck, then pull or import the image again',
  });
}
