// Mark and sweep of a store of images (IMG-22). What is marked: each tagged image, each image that an instance came from, and what
// speaks of a marked manifest. A parent is not kept by its children; the blobs that they share are, because the children name them.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { SUBJECT, type ImageStore } from './layout-store.ts';
import { isOciDigest, type Descriptor, type OciDigest } from './oci.ts';

export interface Swept {
  /** Below the layout: `blobs/sha256/…`, `tmp/…`, or `index.json` for a referrer's entry. */
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

export interface SweepOptions {
  /** Digests of images that instances came from. Asked once nobody else changes the store. */
  readonly inUse: () => Promise<Iterable<string>>;
  readonly dryRun: boolean;
  /** Nothing else is removed: what an eviction let go of. */
  readonly only?: ReadonlySet<string>;
  readonly nowMs?: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const AT_ONCE = 32;

/** Alone in the store: it waits for builds, and they for it (IMG-5). The index goes first: whatever ends this, the next one goes on. */
export async function sweepStore(store: ImageStore, options: SweepOptions): Promise<readonly Swept[]> {
  const hold = await store.holdAlone();
  try {
    const entries = await store.entries();
    const { marked, dead } = await mark(store, entries, await options.inUse());
    const removed: Swept[] = options.only === undefined ? [...dead].map((entry) => deadEntry(entry)) : [];
    if (!options.dryRun && options.only === undefined && dead.size > 0) {
      const gone = new Set([...dead].map((entry) => keyOf(entry)));
      const forget = (): Promise<void> => store.change((now) => now.filter((entry) => !gone.has(keyOf(entry))));
      await forget().catch(async (error: unknown) => {
        if (!(error instanceof CtxError) || error.errno !== 'ENOSPC') throw error;
        // No room for the new index: what no entry names at all goes first.
        removed.push(...(await sweepBlobs(store, new Set([...marked, ...(await namedBy(store, dead))]), options)));
        await forget();
      });
    }
    removed.push(...(await sweepBlobs(store, marked, options)));
    if (options.only === undefined) removed.push(...(await sweepTemporary(store, options)));
    return removed;
  } finally {
    await hold.release();
  }
}

/** Referrers are known by both: the same manifest may be listed for two subjects. */
function keyOf({ digest, annotations }: Descriptor): string {
  return `${digest} ${annotations?.[SUBJECT] ?? ''}`;
}

function deadEntry({ digest, annotations }: Descriptor): Swept {
  return { path: 'index.json', bytes: 0, reason: `${digest} was about ${annotations?.[SUBJECT] ?? 'nothing'}, which no image is` };
}

interface Marked {
  readonly marked: ReadonlySet<OciDigest>;
  /** Referrers of nothing. */
  readonly dead: ReadonlySet<Descriptor>;
}

async function mark(store: ImageStore, entries: readonly Descriptor[], inUse: Iterable<string>): Promise<Marked> {
  const marked = new Set<OciDigest>();
  const manifests = new Set<OciDigest>();
  const take = async (roots: readonly Pick<Descriptor, 'digest' | 'size' | 'annotations'>[]): Promise<void> => {
    const fresh = [...new Map(roots.filter(({ digest }) => !manifests.has(digest)).map((root) => [root.digest, root])).values()];
    await inTurns(fresh, async (root) => {
      const { config, layers } = await store.manifest(root).catch((cause: unknown) => {
        throw unreadable(root, cause);
      });
      manifests.add(root.digest);
      for (const { digest } of [root, config, ...layers]) marked.add(digest);
    });
  };
  await take(entries.filter(({ annotations }) => annotations?.[SUBJECT] === undefined));
  const used: Pick<Descriptor, 'digest' | 'size'>[] = [];
  for (const digest of inUse) {
    // An instance outlives its image: its history is its own.
    const size = isOciDigest(digest) ? await store.sizeOf(digest) : undefined;
    if (size !== undefined) used.push({ digest: digest as OciDigest, size });
  }
  await take(used);
  // A signature may speak of compiled state, which speaks of an image.
  let waiting = entries.filter(({ annotations }) => annotations?.[SUBJECT] !== undefined);
  for (;;) {
    const about = waiting.filter(({ annotations }) => manifests.has(annotations?.[SUBJECT] as OciDigest));
    if (about.length === 0) return { marked, dead: new Set(waiting) };
    waiting = waiting.filter((entry) => !about.includes(entry));
    await take(about);
  }
}

/** Of dead referrers, as far as they can be read. */
async function namedBy(store: ImageStore, entries: Iterable<Descriptor>): Promise<readonly OciDigest[]> {
  const digests: OciDigest[] = [];
  for (const entry of entries) {
    const manifest = await store.manifest(entry).catch(() => undefined);
    for (const { digest } of manifest === undefined ? [entry] : [entry, manifest.config, ...manifest.layers]) digests.push(digest);
  }
  return digests;
}

function unreadable({ digest, annotations }: Pick<Descriptor, 'digest' | 'annotations'>, cause: unknown): CtxError {
  const why = cause instanceof CtxError ? cause.describe() : String(cause);
  return new CtxError('image.gc', 'EIO', `cannot be read, so nothing is removed: ${why}`, {
    where: annotations?.['org.opencontainers.image.ref.name'] ?? digest,
    next: 'run ctx fsck; then get the image again, or give it up with ctx rm',
    cause,
  });
}

async function sweepBlobs(store: ImageStore, marked: ReadonlySet<OciDigest>, { dryRun, only }: SweepOptions): Promise<readonly Swept[]> {
  const below = 'blobs/sha256';
  const names = await fs.readdir(join(store.directory, below));
  const garbage = names.filter(
    (name) => isOciDigest(`sha256:${name}`) && !marked.has(`sha256:${name}`) && only?.has(`sha256:${name}`) !== false,
  );
  return removeFiles(
    store,
    garbage.sort().map((name) => ({ path: `${below}/${name}`, reason: 'no image names it' })),
    dryRun,
  );
}

/** IMG-22: names that {@link ImageStore.temporaryPath} gave: of a process that ended, or a day old. */
async function sweepTemporary(store: ImageStore, { dryRun, nowMs = Date.now() }: SweepOptions): Promise<readonly Swept[]> {
  const left: { path: string; reason: string }[] = [];
  for (const name of (await fs.readdir(join(store.directory, 'tmp'))).sort()) {
    const pid = Number(/^[a-z]+-([0-9]+)-/.exec(name)?.[1] ?? 0);
    const stat = await fs.lstat(join(store.directory, 'tmp', name)).catch(() => undefined);
    if (stat === undefined) continue;
    if (pid > 0 && !isAlive(pid)) left.push({ path: `tmp/${name}`, reason: `process ${pid} left it behind` });
    else if (nowMs - stat.mtimeMs > DAY_MS) left.push({ path: `tmp/${name}`, reason: 'older than a day' });
  }
  return removeFiles(store, left, dryRun);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

async function removeFiles(
  store: ImageStore,
  files: readonly { readonly path: string; readonly reason: string }[],
  dryRun: boolean,
): Promise<readonly Swept[]> {
  const swept: Swept[] = [];
  await inTurns(files, async ({ path, reason }) => {
    const full = join(store.directory, path);
    const stat = await fs.lstat(full).catch(() => undefined);
    if (stat === undefined) return;
    if (!dryRun) await fs.rm(full, { recursive: stat.isDirectory(), force: true });
    swept.push({ path, bytes: stat.isFile() ? stat.size : 0, reason });
  });
  return swept.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A few at a time: ten thousand at once would be ten thousand requests in memory. The first failure ends it. */
async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const turns = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (const item of turns) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
}
