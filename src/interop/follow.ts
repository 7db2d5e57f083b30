// Live import: transcripts that other programs are writing, followed through chokidar. JSONL and text are read
// from where the last look ended; a document, or a file that shrank or was replaced, is read again whole.
import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { watch } from 'chokidar';
import { createImporter, describeSource, fileSource, formerName, planImport, readHead } from './plan.ts';
import type { ImportOptions } from './plan.ts';
import type { ImportLine, ImportState, SourceImporter } from './types.ts';

/** Takes planned lines of one transcript; the next lines of any transcript come after it has settled. */
export type FollowSink = (path: string, lines: readonly ImportLine[]) => Promise<void>;

export interface FollowOptions extends ImportOptions {
  /** State of the session that a transcript goes to. The same object for the same session. */
  readonly stateOf: (path: string) => Promise<ImportState> | ImportState;
  /** Which files of a followed directory are transcripts. Default: .jsonl, .json, .traj. */
  readonly accepts?: (path: string) => boolean;
  /** A file that cannot be read or parsed now; it is tried again at its next change. */
  readonly onError?: (path: string, error: unknown) => void;
  /** Called when all files present at the start have been imported. */
  readonly onReady?: () => void;
}

const BATCH_LINES = 512;
const GLANCE_MS = 100;
// A shorter text may be the start of a first JSON line.
const SHORT_TEXT_BYTES = 64;

/** Follows files and directories until the signal aborts; then writes each source's mark and returns. */
export async function follow(paths: readonly string[], sink: FollowSink, signal: AbortSignal, options: FollowOptions): Promise<void> {
  const followers = new Map<string, Follower>();
  const dirty = new Set<string>();
  const roots = new Set(paths);
  const accepts = options.accepts ?? ((path: string) => /\.(jsonl|json|traj)$/.test(path));
  let wake: () => void = () => undefined;
  let scanned = false;
  const note = (path: string): void => {
    if (!roots.has(path) && !accepts(path)) return;
    dirty.add(path);
    wake();
  };
  // chokidar drops changes that follow another within milliseconds: each look is followed by a second glance.
  const glances = new Map<string, NodeJS.Timeout>();
  const glanceLater = (path: string): void => {
    if (glances.has(path)) return;
    const timer = setTimeout(() => {
      glances.delete(path);
      void stamp(path).then((now) => {
        if (now !== undefined && now !== seen.get(path)) note(path);
      });
    }, GLANCE_MS);
    glances.set(path, timer);
  };
  const seen = new Map<string, string | undefined>();
  const watcher = watch([...paths], { ignoreInitial: false, persistent: true });
  watcher
    .on('add', note)
    .on('change', note)
    .on('unlink', (path) => {
      // INT-8: it may appear again under another name; its unlink comes before or after that.
      const follower = followers.get(path);
      if (follower !== undefined) follower.gone = true;
      forgetOldest(followers);
    });
  watcher.on('ready', () => {
    scanned = true;
    wake();
  });
  watcher.on('error', (error) => options.onError?.('', error));
  const stop = (): void => wake();
  signal.addEventListener('abort', stop);
  let announced = false;
  try {
    while (!signal.aborted) {
      for (const path of dirty) {
        dirty.delete(path);
        seen.set(path, await stamp(path));
        await look(path, followers, sink, options);
        glanceLater(path);
      }
      if (scanned && !announced && dirty.size === 0) {
        announced = true;
        options.onReady?.();
      }
      if (dirty.size > 0 || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (dirty.size > 0 || signal.aborted || (scanned && !announced)) resolve();
      });
    }
    for (const path of dirty) await look(path, followers, sink, options);
    for (const [path, follower] of followers) {
      // A new file took the name that a renamed one is known by: the mark of that source is the new file's.
      if (follower.name !== path && followers.get(follower.name) !== undefined) continue;
      await deliver(follower.name, follower.finish(), sink);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    for (const timer of glances.values()) clearTimeout(timer);
    await watcher.close();
  }
}

async function stamp(path: string): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined);
  return facts === undefined ? undefined : `${facts.ino}:${facts.size}:${facts.mtimeNs}`;
}

/** A transcript that cannot be read waits for its next change; a sink that fails ends everything: what it lost is unknown. */
async function look(path: string, followers: Map<string, Follower>, sink: FollowSink, options: FollowOptions): Promise<void> {
  let batches: AsyncGenerator<readonly ImportLine[]> | undefined;
  let name = path;
  for (;;) {
    let lines: readonly ImportLine[];
    try {
      if (batches === undefined) {
        const follower =
          followers.get(path) ?? (await renamed(path, followers)) ?? new Follower(path, await options.stateOf(path), options);
        followers.set(path, follower);
        follower.gone = false;
        name = follower.name;
        batches = follower.read();
      }
      const next = await batches.next();
      if (next.done === true) return;
      lines = next.value;
    } catch (error) {
      followers.delete(path);
      options.onError?.(path, error);
      return;
    }
    await deliver(name, lines, sink);
  }
}

/** INT-8: the follower of a file that has this name now and the name it was followed by no more: same inode, same start. */
async function renamed(path: string, followers: Map<string, Follower>): Promise<Follower | undefined> {
  const inode = await inodeOf(path);
  for (const [before, follower] of followers) {
    if (inode === undefined || follower.inode !== inode || (await inodeOf(before)) === inode || !(await follower.moved(path))) continue;
    followers.delete(before);
    return follower;
  }
  return undefined;
}

async function inodeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino;
}

const MAX_GONE = 64;

/** Followers of files that are gone wait for their new name; a bound, since most never get one. */
function forgetOldest(followers: Map<string, Follower>): void {
  const gone = [...followers].filter(([, follower]) => follower.gone);
  for (const [path] of gone.slice(0, Math.max(0, gone.length - MAX_GONE))) followers.delete(path);
}

async function deliver(path: string, lines: readonly ImportLine[], sink: FollowSink): Promise<void> {
  if (lines.length > 0) await sink(path, lines);
}

/** One transcript. Position, importer and a probe of its first bytes, which tells a replaced file from a grown one. */
class Follower {
  /** What its source is known by: the path it was first seen at. */
  readonly name: string;
  gone = false;
  #path: string;
  readonly #known: ImportState;
  readonly #options: ImportOptions;
  #importer: SourceImporter | undefined;
  #position = 0;
  #inode = 0;
  #probe: { readonly size: number; readonly digest: string } | undefined;

  constructor(path: string, known: ImportState, options: ImportOptions) {
    this.name = path;
    this.#path = path;
    this.#known = known;
    this.#options = options;
  }

  /** 0: nothing was read yet. */
  get inode(): number {
    return this.#inode;
  }

  /** Goes on at this path when the file there begins as the one that was read. */
  async moved(path: string): Promise<boolean> {
    if (this.#probe === undefined || (await probe(path, this.#probe.size)).digest !== this.#probe.digest) return false;
    this.#path = path;
    return true;
  }

  async *read(): AsyncGenerator<readonly ImportLine[]> {
    const source = { ...fileSource(this.#path), path: this.name };
    const facts = await stat(this.#path);
    if (facts.size === 0) return;
    if (this.#importer !== undefined && (facts.size < this.#position || facts.ino !== this.#inode || !(await this.#sameStart())))
      this.#importer = undefined;
    if (this.#importer === undefined) {
      const head = await readHead(source);
      const about = describeSource(head.bytes, this.name, { ...this.#options, complete: head.complete });
      if (about.layout === 'document') {
        await this.#rememberFile(facts);
        return yield* inBatches(planImport(source, this.#known, this.#options));
      }
      // What the file is, or whose it is, cannot be told yet.
      const told =
        about.settled &&
        (about.layout === 'text' ? this.#options.from === 'text' || head.bytes.length >= SHORT_TEXT_BYTES : head.bytes.includes(10));
      if (head.complete && !told) return;
      const former = await formerName(source, about.source, this.#known);
      this.#importer = createImporter(
        former === undefined ? about : { ...about, source: former.name },
        this.name,
        this.#known,
        head.bytes,
        this.#options,
      );
      this.#position = 0;
      await this.#rememberFile(facts);
    }
    for await (const chunk of source.open(this.#position)) {
      const bytes = chunk;
      this.#position += bytes.length;
      const lines = this.#importer.push(bytes);
      if (lines.length > 0) yield lines;
    }
    const rest = this.#importer.settle();
    if (rest.length > 0) yield rest;
  }

  async #rememberFile(facts: { readonly ino: number; readonly size: number }): Promise<void> {
    this.#inode = facts.ino;
    this.#probe = await probe(this.#path, Math.min(4096, facts.size));
  }

  finish(): readonly ImportLine[] {
    const importer = this.#importer;
    this.#importer = undefined;
    return importer?.finish() ?? [];
  }

  async #sameStart(): Promise<boolean> {
    const before = this.#probe;
    return before !== undefined && (await probe(this.#path, before.size)).digest === before.digest;
  }
}

async function probe(path: string, size: number): Promise<{ size: number; digest: string }> {
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await file.read(bytes, 0, size, 0);
    return { size: bytesRead, digest: createHash('sha256').update(bytes.subarray(0, bytesRead)).digest('hex') };
  } finally {
    await file.close();
  }
}

async function* inBatches(lines: AsyncIterable<ImportLine>): AsyncGenerator<readonly ImportLine[]> {
  let batch: ImportLine[] = [];
  for await (const line of lines) {
    batch.push(line);
    if (batch.length < BATCH_LINES) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
