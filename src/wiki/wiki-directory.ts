// A wiki in a directory: walked, read and linted, with what did not change remembered. Never writes.
import { existsSync, lstatSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

import { digestOf } from '../abi/digest.ts';
import { CONFIG_PATH, DEFAULT_CONFIG, parseConfig, type WikiConfig } from './config.ts';
import type { Finding } from './finding.ts';
import { lint, LintMemo } from './lint.ts';
import type { LintInput, ProvenanceRecord, Uncommitted } from './lint-input.ts';
import { LogMentions, parseLog, type LogEntry } from './log.ts';
import { MAX_PAGE_BYTES, readPage } from './page.ts';
import { isPagePath } from './paths.ts';
import { parseQueue, QUEUE_PATH } from './queue.ts';
import { heldDirectory, MAX_FILE_BYTES, readInside, type InsideOptions } from './read-inside.ts';
import { codeOf, rootError, walk, type WalkedFile } from './walk.ts';
import { WikiIndex, type FileChange } from './wiki-index.ts';

export const PROVENANCE_NAME = 'provenance.jsonl';
/** A file changed this shortly before it was read may change again without its times telling. */
const RACY_MS = 50;

export interface LintOptions {
  readonly today: string;
  /** Whether targets above the root are looked up. */
  readonly outside?: boolean;
  /** Findings about what lies elsewhere (`lint-outside.ts`). */
  readonly outsideFindings?: readonly Finding[];
  readonly uncommitted?: Uncommitted;
}

export class WikiDirectory {
  readonly root: string;
  config: WikiConfig = DEFAULT_CONFIG;
  index: WikiIndex = new WikiIndex(DEFAULT_CONFIG);
  readonly #known = new Map<string, WalkedFile & { readonly racy: boolean }>();
  readonly #unreadable = new Map<string, Finding>();
  readonly #memo = new LintMemo();
  #walked: readonly Finding[] = [];
  #log: { readonly key: string; readonly entries: readonly LogEntry[]; readonly mentions: LogMentions } | undefined;
  #configText = '';
  readonly #reading: InsideOptions;

  private constructor(root: string, reading: InsideOptions) {
    this.root = realRoot(root);
    this.#reading = reading;
  }

  /** Reads every page once. Fails with `wiki.root` or `wiki.config`. */
  static open(root: string, reading: InsideOptions = {}): WikiDirectory {
    const wiki = new WikiDirectory(root, reading);
    wiki.refresh();
    return wiki;
  }

  /** Looks at every file, and reads those that changed; returns their paths. */
  refresh(): readonly string[] {
    const startedMs = Date.now();
    const { files, findings } = walk(this.root);
    this.#walked = findings;
    if (this.#reconfigure()) {
      this.#known.clear();
      this.#unreadable.clear();
    }
    const changed: string[] = [];
    for (const [path, file] of files) {
      const known = this.#known.get(path);
      const same = known !== undefined && !known.racy && known.inode === file.inode && known.sizeBytes === file.sizeBytes;
      if (same && known.modifiedMs === file.modifiedMs && known.changedMs === file.changedMs) continue;
      this.#known.set(path, { ...file, racy: file.changedMs > startedMs - RACY_MS });
      changed.push(path);
    }
    const gone = [...this.#known.keys()].filter((path) => !files.has(path));
    for (const path of gone) this.#known.delete(path);
    this.#apply(changed, gone);
    return [...changed, ...gone];
  }

  /** For one who saw the writes: reads only what is named. */
  update(paths: readonly string[]): void {
    const there: string[] = [];
    const gone: string[] = [];
    for (const path of paths) {
      const stat = lstatSync(join(this.root, path), { throwIfNoEntry: false });
      if (stat?.isFile() === true) {
        there.push(path);
        this.#known.set(path, { sizeBytes: stat.size, modifiedMs: stat.mtimeMs, changedMs: stat.ctimeMs, inode: stat.ino, racy: true });
      } else {
        gone.push(path);
        this.#known.delete(path);
      }
    }
    this.#apply(there, gone);
  }

  lint(options: LintOptions): readonly Finding[] {
    return lint(this.lintInput(options), this.#memo);
  }

  lintInput(options: LintOptions): LintInput {
    const { index } = this;
    const { entries, mentions } = this.#readLog();
    const [entry] = index.special('index');
    const provenance = this.provenance();
    return {
      index,
      today: options.today,
      log: entries,
      mentions,
      logFiles: index.special('log').map(({ path, facts }) => ({ path, sizeBytes: facts.sizeBytes })),
      indexText: entry === undefined ? undefined : this.text(entry.path),
      queue: parseQueue(this.text(QUEUE_PATH) ?? ''),
      provenance,
      sourceDigests: new Map(provenance.flatMap(({ path }) => this.#digest(path))),
      walk: this.unread(),
      outside: options.outsideFindings ?? [],
      ...(options.uncommitted === undefined ? {} : { uncommitted: options.uncommitted }),
      ...(options.outside === true ? { exists: (path: string): boolean => existsSync(join(this.root, undone(path))) } : {}),
    };
  }

  /** The log that is written to, not one of earlier years. */
  logPath(): string | undefined {
    return this.index.special('log').find(({ path }) => !path.startsWith('log/'))?.path;
  }

  log(): readonly LogEntry[] {
    return this.#readLog().entries;
  }

  /** Whether a regular file that is not hidden was there at the last look. */
  has(path: string): boolean {
    return this.#known.has(path) && !path.split('/').some((name) => name.startsWith('.'));
  }

  /** What could not be read, or was not followed. */
  unread(): readonly Finding[] {
    return [...this.#walked, ...this.#unreadable.values()];
  }

  /** A file of the wiki as text; undefined when it cannot be read. */
  text(path: string): string | undefined {
    return this.bytes(path)?.toString('utf8');
  }

  bytes(path: string): Buffer | undefined {
    try {
      return readInside(this.root, path, this.#reading);
    } catch {
      return undefined;
    }
  }

  /** What was filed, the newest record of each path. */
  provenance(): readonly ProvenanceRecord[] {
    const records = new Map<string, ProvenanceRecord>();
    for (const line of (this.text(`${this.config.sources}/${PROVENANCE_NAME}`) ?? '').split('\n')) {
      try {
        const record = JSON.parse(line) as Partial<ProvenanceRecord>;
        const { path, digest, origin, time } = record;
        if (typeof path === 'string' && typeof digest === 'string' && typeof origin === 'string' && typeof time === 'string')
          records.set(path, { path, digest, origin, time });
      } catch {
        // A line that is none names nothing.
      }
    }
    return [...records.values()];
  }

  #digest(path: string): readonly (readonly [string, string])[] {
    const page = this.index.get(path);
    if (page !== undefined) return [[path, page.facts.digest]];
    const bytes = this.#known.has(path) ? this.bytes(path) : undefined;
    return bytes === undefined ? [] : [[path, digestOf(bytes)]];
  }

  /** True when the configuration is another one: then everything is placed again. */
  #reconfigure(): boolean {
    const text = this.text(CONFIG_PATH) ?? '';
    if (text === this.#configText) return false;
    this.#configText = text;
    this.config = text === '' ? DEFAULT_CONFIG : parseConfig(text);
    this.index = new WikiIndex(this.config);
    return true;
  }

  #apply(changed: readonly string[], gone: readonly string[]): void {
    const changes: FileChange[] = gone.map((path) => ({ path, kind: 'gone' }));
    for (const path of gone) this.#unreadable.delete(path);
    for (const path of changed) changes.push(isPagePath(path) ? this.#page(path) : { path, kind: 'file' });
    this.index.apply(changes);
  }

  #page(path: string): FileChange {
    let bytes: Buffer;
    try {
      bytes = readInside(this.root, path, this.#reading);
    } catch (error) {
      // It is there, so links to it hold; what it says is unknown.
      if (codeOf(error) !== 'ENOENT')
        this.#unreadable.set(path, { rule: 'unreadable', file: path, line: 1, target: '', message: whyUnread(error) });
      return { path, kind: codeOf(error) === 'ENOENT' ? 'gone' : 'file' };
    }
    this.#unreadable.delete(path);
    const digest = digestOf(bytes);
    const known = this.index.get(path)?.facts;
    if (known?.digest === digest) return { path, kind: 'page', facts: known };
    const facts = readPage(bytes, digest);
    return { path, kind: 'page', facts };
  }

  #readLog(): { readonly entries: readonly LogEntry[]; readonly mentions: LogMentions } {
    const logs = this.index.special('log');
    const key = logs.map(({ path, facts }) => `${path} ${facts.digest}`).join('\n');
    if (this.#log?.key !== key) {
      const entries = logs.flatMap(({ path }) => parseLog((this.text(path) ?? '').slice(0, MAX_PAGE_BYTES), path));
      this.#log = { key, entries, mentions: new LogMentions(entries) };
    }
    return this.#log;
  }
}

/** Links on the way to the wiki are the user's own; links in it are not followed. What is named by an open directory stays so named. */
function realRoot(root: string): string {
  if (heldDirectory(root) !== undefined) return root;
  try {
    return realpathSync(root);
  } catch (error) {
    throw rootError(root, error);
  }
}

function whyUnread(error: unknown): string {
  const code = codeOf(error);
  return code === 'EFBIG' ? `is larger than ${MAX_FILE_BYTES >> 20} MiB, and was not read` : `cannot be read: ${code}`;
}

function undone(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
