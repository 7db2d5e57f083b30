// One wiki of the store: its changes go into the queue, and what is said of it in `.ctx/` is kept up with them.
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { digestOf } from '../src/abi/digest.ts';
import type { Digest } from '../src/abi/digest.ts';
import { CtxError } from '../src/abi/errors.ts';
import type { WikiChange, WikiFile, WikiText } from '../src/tree/wiki-client.ts';
import { ChangeRecorder } from '../src/wiki/change-recorder.ts';
import type { Writer } from '../src/wiki/change-recorder.ts';
import { CONFIG_PATH, DEFAULT_CONFIG, parseConfig, placeOf } from '../src/wiki/config.ts';
import type { WikiConfig } from '../src/wiki/config.ts';
import { KnownPages } from '../src/wiki/known-pages.ts';
import { queueState } from '../src/wiki/lint-time.ts';
import { lintJson, lintReport, lintStatus, lintText } from '../src/wiki/lint-report.ts';
import type { LintReport } from '../src/wiki/lint-report.ts';
import { isPagePath } from '../src/wiki/paths.ts';
import { QUEUE_PATH } from '../src/wiki/queue.ts';
import { QueueFile } from '../src/wiki/queue-file.ts';
import { readInside } from '../src/wiki/read-inside.ts';
import { SeenLog } from '../src/wiki/seen-log.ts';
import { triaged } from '../src/wiki/triaged.ts';
import { walk } from '../src/wiki/walk.ts';
import { WikiDirectory } from '../src/wiki/wiki-directory.ts';
import { DirectoryWatch } from './directory-watch.ts';

export interface WikiKeeperOptions {
  readonly store: string;
  readonly mountpoint: string;
  /** `home/0/wiki` */
  readonly name: string;
  /** The wiki is taken as it is: it was there before anything was recorded. */
  readonly baseline: boolean;
  readonly log: (line: string) => void;
  readonly today: () => string;
  /** Something happened in the store. */
  readonly met: () => void;
}

/** Changes of one program to one page that come closer than this are one. */
const SETTLE_MS = 150;
/** A change in the store is looked at so much later: the mount may tell of it itself. */
const SUSPECT_MS = 1500;
/** Of the time, flushing takes at most this part. */
const REST = 10;
const MAX_COST_MS = 200;

export class WikiKeeper {
  readonly root: string;
  readonly known: KnownPages;
  readonly recorder: ChangeRecorder;
  /** When a change came last. */
  changedMs = 0;
  readonly #options: WikiKeeperOptions;
  readonly #queue: QueueFile;
  readonly #log: SeenLog;
  /** What happened before is told with the log of then: entries that were met at the start may be newer. */
  readonly #startedMs: number = Date.now();
  #happenedMs = Infinity;
  readonly #watch: DirectoryWatch;
  readonly #suspects: Set<string> = new Set();
  /** Who wrote a page since the last flush, and what they wrote since that. */
  readonly #taken: Map<string, Writer> = new Map();
  readonly #held: Map<string, { readonly change: WikiChange; readonly writer: Writer | undefined }> = new Map();
  /** Everything in the queue was compared with the log once. */
  #compared = false;
  #settleTimer: NodeJS.Timeout | undefined;
  /** Something came into the queue or the log since the two were compared. */
  #unprocessed = false;
  #costMs = 0;
  #suspectTimer: NodeJS.Timeout | undefined;
  #config: WikiConfig | undefined;
  #directory: WikiDirectory | undefined;
  /** What lint has not looked at since it changed; 'all' when it cannot be told. */
  #dirty: Set<string> | 'all' = new Set();
  #said: { readonly mark: string; readonly report: LintReport | CtxError } | undefined;
  readonly #texts: Map<WikiFile, WikiText> = new Map();

  constructor(options: WikiKeeperOptions) {
    this.#options = options;
    this.root = fs.realpathSync(`${options.store}/${options.name}`);
    this.known = KnownPages.open(knownFile(options.store, options.name));
    this.#queue = new QueueFile(this.root, knownFile(options.store, options.name).replace(/\.jsonl$/, '.queue-'));
    this.#log = new SeenLog(this.known.logSeen());
    this.recorder = new ChangeRecorder({
      known: this.known,
      queue: this.#queue,
      isRecorded: (page) => isPagePath(page) && !isHidden(page) && placeOf(page, this.config()) === 'page',
      digest: (page) => this.#digest(page),
      logged: (atMs, page) => this.#log.had(Math.min(atMs, this.#happenedMs), page),
      now: Date.now,
      newId: () => `${Date.now().toString(36)}-${randomBytes(5).toString('hex')}`,
    });
    const files = [...walk(this.root).files.keys()];
    this.recorder.reconcile(files, options.baseline && this.known.isNew);
    // After the pages: which of them came first while nobody looked cannot be told, and an entry that is new tells of them.
    for (const file of files) if (this.#isLog(file)) this.#seeLog(file);
    // What the mount tells of in a moment takes the place of what was found here.
    this.#unprocessed = true;
    this.flushSoon();
    // Started after the look at everything: what changes in between is found at the next start.
    this.#watch = new DirectoryWatch(this.root, {
      ignored: (name) => name !== '.wiki' && isHidden(name),
      met: (name) => {
        this.#suspect(name);
        options.met();
      },
      lost: (name) => {
        this.#dirty = 'all';
        this.#suspectAll(name);
      },
      failed: (error) => options.log(`watching ${options.name}: ${String(error)}`),
    });
  }

  /** As `.wiki/config.yaml` says; the defaults while it cannot be read. */
  config(): WikiConfig {
    if (this.#config === undefined) {
      try {
        this.#config = parseConfig(this.text(CONFIG_PATH) ?? '');
      } catch {
        this.#config = DEFAULT_CONFIG;
      }
    }
    return this.#config;
  }

  changed(change: WikiChange): void {
    this.changedMs = Date.now();
    const by = change.kind === 'other' ? undefined : change.by;
    const writer: Writer | undefined =
      by === undefined
        ? undefined
        : {
            uid: by.uid,
            pid: by.pid,
            ...(by.program === undefined ? {} : { program: by.program }),
            ...(by.session === undefined || by.session === null ? {} : { session: by.session }),
          };
    this.#guarded(() => this.#next(change, writer));
  }

  /**
   * Of a program that writes a page again and again, the first write is looked at, and what it is when all that came is flushed.
   * Everything else comes in its order: it waits for no write, and no write waits behind it.
   */
  #next(change: WikiChange, writer: Writer | undefined): void {
    if (change.kind !== 'written' || this.#isLog(change.path)) {
      this.#takeHeld();
      return this.#take(change, writer);
    }
    const before = this.#taken.get(change.path);
    if (before !== undefined && before.pid !== 0 && before.pid === writer?.pid) {
      if (!this.#held.has(change.path)) this.#held.set(change.path, { change, writer });
      return this.flushSoon();
    }
    if (this.#held.size > 0) this.#takeHeld();
    if (writer !== undefined) this.#taken.set(change.path, writer);
    this.#take(change, writer);
  }

  #takeHeld(): void {
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const { change, writer } of held) this.#take(change, writer);
  }

  ownerUid(): number {
    return fs.lstatSync(this.root).uid;
  }

  text(file: string): string | undefined {
    return this.#bytes(file)?.toString('utf8');
  }

  #bytes(file: string): Buffer | undefined {
    try {
      return readInside(this.root, file);
    } catch {
      return undefined;
    }
  }

  look(file: WikiFile): WikiText {
    const report = this.report();
    const text =
      report instanceof CtxError
        ? this.#failed(file, report)
        : file === 'lint.md'
          ? lintText(this.#options.name, report)
          : file === 'lint.json'
            ? lintJson(report)
            : lintStatus(report);
    const digest = digestOf(text);
    const last = this.#texts.get(file);
    if (last?.digest === digest) return last;
    const next: WikiText = { text, digest, sizeBytes: Buffer.byteLength(text), modifiedMs: Date.now() };
    this.#texts.set(file, next);
    return next;
  }

  /** WIK-44: works on what changed since the last look; a configuration that cannot be read is what there is to say then. */
  report(): LintReport | CtxError {
    this.flush();
    const mark = this.#mark();
    if (this.#said?.mark === mark && this.#dirty !== 'all' && this.#dirty.size === 0) return this.#said.report;
    let report: LintReport | CtxError;
    try {
      const wiki = this.directory();
      const today = this.#options.today();
      const input = wiki.lintInput({ today });
      const { open, settled } = triaged(wiki, wiki.lint({ today }), today);
      report = lintReport(input, open, settled.length);
    } catch (error) {
      if (!(error instanceof CtxError)) throw error;
      report = error;
    }
    this.#said = { mark, report };
    return report;
  }

  /** The pages as they are now. What lies outside the wiki is never looked at: the daemon may read more than its readers. */
  directory(): WikiDirectory {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    if (this.#directory === undefined) {
      const bits = this.#options.name.startsWith('shared/') ? fs.lstatSync(this.root).mode & 0o044 : 0;
      this.#directory = WikiDirectory.open(this.root, { bits });
    } else if (dirty === 'all') this.#directory.refresh();
    else if (dirty.size > 0) this.#directory.update([...dirty]);
    return this.#directory;
  }

  close(): void {
    clearTimeout(this.#suspectTimer);
    this.flush();
    clearTimeout(this.#settleTimer);
    this.#guarded(() => this.#queue.close());
    this.#watch.close();
  }

  #take(change: WikiChange, writer: Writer | undefined): void {
    const atMs = change.kind === 'other' ? Infinity : change.kind === 'written' ? change.sinceMs : change.atMs;
    this.#happenedMs = atMs < this.#startedMs ? atMs : Infinity;
    try {
      this.#takeNow(change, writer);
    } finally {
      this.#happenedMs = Infinity;
    }
  }

  #takeNow(change: WikiChange, writer: Writer | undefined): void {
    if (change.kind === 'other') this.#dirty = 'all';
    else if (change.kind === 'written') {
      this.#touch(change.path);
      if (this.#isLog(change.path)) this.#seeLog(change.path, change.sizeBytes);
      this.recorder.written(change.path, writer, change.sinceMs);
    } else if (change.kind === 'removed') {
      this.#touch(change.path);
      this.recorder.removed(change.path, writer, change.atMs);
    } else this.#renamed(change.from, change.path, writer, change.atMs);
    this.flushSoon();
  }

  #renamed(from: string, to: string, writer: Writer | undefined, atMs: number): void {
    const stat = fs.lstatSync(path.join(this.root, to), { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true) {
      this.#touch(from);
      this.#touch(to);
      if (this.#isLog(to)) this.#seeLog(to);
      return this.recorder.renamed(from, to, writer, atMs);
    }
    this.#dirty = 'all';
    for (const page of this.known.paths())
      if (page.startsWith(`${from}/`)) this.recorder.renamed(page, `${to}${page.slice(from.length)}`, writer, atMs);
    // Pages that were none where they were before.
    for (const page of walk(path.join(this.root, to)).files.keys()) {
      if (this.known.get(`${to}/${page}`) === undefined) this.recorder.written(`${to}/${page}`, writer, atMs);
    }
  }

  /** Lint has to look at this again. */
  #touch(file: string): void {
    if (this.#isLog(file)) this.#unprocessed = true;
    if (file === CONFIG_PATH) {
      this.#config = undefined;
      this.#dirty = 'all';
    } else if (this.#dirty !== 'all' && !isHidden(file)) this.#dirty.add(file);
  }

  #isLog(file: string): boolean {
    return !isHidden(file) && isPagePath(file) && placeOf(file, this.config()) === 'log';
  }

  /** What the log had when it was so long: changes that are told from now on are newer than that. */
  #seeLog(file: string, sizeBytes?: number): void {
    const bytes = this.#bytes(file);
    if (bytes === undefined) return;
    const text = bytes.toString('utf8', 0, Math.min(bytes.length, sizeBytes ?? bytes.length));
    if (this.#log.see(text, Date.now())) this.known.seeLog(this.#log.days());
  }

  #suspect(file: string): void {
    this.#touch(file);
    this.#suspects.add(file);
    this.#suspectTimer ??= setTimeout(() => {
      this.#suspectTimer = undefined;
      const files = [...this.#suspects];
      this.#suspects.clear();
      this.#guarded(() => {
        this.#takeHeld();
        for (const each of files) this.recorder.looked(each);
        for (const each of files.filter((name) => this.#isLog(name))) this.#seeLogLater(each);
        this.flushSoon();
      });
    }, SUSPECT_MS);
  }

  /** A log that was written a moment ago may have an entry about a change that the mount has not told of yet. */
  #seeLogLater(file: string): void {
    const changed = fs.lstatSync(path.join(this.root, file), { throwIfNoEntry: false })?.ctimeMs;
    if (changed === undefined) return;
    if (Date.now() - changed < SUSPECT_MS / 2) this.#suspect(file);
    else this.#seeLog(file);
  }

  /** What is known below a directory, and what is there now. */
  #suspectAll(directory: string): void {
    const below = directory === '' ? '' : `${directory}/`;
    for (const page of this.known.paths()) if (page.startsWith(below)) this.#suspect(page);
    const place = path.join(this.root, directory);
    if (fs.lstatSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) return;
    for (const page of walk(place).files.keys()) this.#suspect(`${below}${page}`);
  }

  flushSoon(): void {
    if (this.recorder.pending > 0 || this.#unprocessed || this.#held.size > 0)
      this.#settleTimer ??= setTimeout(() => this.flush(), Math.max(SETTLE_MS, this.#costMs * REST));
  }

  /** Everything that was told before this call is in the queue afterwards. */
  flush(): void {
    clearTimeout(this.#settleTimer);
    this.#settleTimer = undefined;
    const startedMs = Date.now();
    this.#guarded(() => this.#takeHeld());
    this.#taken.clear();
    clearTimeout(this.#settleTimer);
    this.#settleTimer = undefined;
    if (this.recorder.pending > 0) this.#unprocessed = true;
    this.#guarded(() => {
      this.recorder.flush();
      if (!this.#unprocessed) return;
      this.#unprocessed = false;
      this.#takeOutLogged();
    });
    this.#costMs = Math.min(Date.now() - startedMs, MAX_COST_MS);
  }

  /** WIK-41: what the log tells leaves the queue, whichever of the two came last. */
  #takeOutLogged(): void {
    const waiting = this.#queue.waiting();
    if (waiting.size === 0) return;
    // Pages are read again only when an entry may tell of something.
    if (this.#compared && ![...waiting.values()].some((change) => this.#log.hasNewer(change))) return;
    this.#compared = true;
    try {
      const { done } = queueState(this.directory().lintInput({ today: this.#options.today() }));
      if (done.size > 0) {
        this.recorder.done([...done]);
        this.#queue.compact();
      }
    } catch (error) {
      // A configuration that cannot be read: lint says so.
      if (!(error instanceof CtxError)) throw error;
    }
  }

  /** A full disk, or a wiki that went away: said, and tried again with the next change. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.log(`${this.#options.name}: ${String(error)}`);
    }
  }

  #digest(page: string): Digest | undefined {
    try {
      return digestOf(readInside(this.root, page));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EFBIG') return undefined;
      const stat = fs.lstatSync(path.join(this.root, page), { throwIfNoEntry: false });
      return stat === undefined ? undefined : digestOf(`large ${stat.ino} ${stat.size} ${stat.mtimeMs}`);
    }
  }

  /** What lint looks at beside pages. */
  #mark(): string {
    const stats = [QUEUE_PATH, '.wiki/triage.jsonl', '.wiki/firings.json'].map((file) => {
      const stat = fs.lstatSync(path.join(this.root, file), { throwIfNoEntry: false, bigint: true });
      return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
    });
    return [this.#options.today(), ...stats].join('\n');
  }

  #failed(file: WikiFile, error: CtxError): string {
    const finding = { rule: 'unreadable', file: error.where ?? '', line: 1, target: '', message: error.message, id: '', level: 'error' };
    if (file === 'lint.json') return `${JSON.stringify([finding])}\n`;
    return file === 'status'
      ? `error=1\nfailure=${JSON.stringify(error.describe())}\n`
      : `# Lint of ${this.#options.name}\n\n${error.describe()}\n`;
  }
}

/** Where it is kept what is known of a wiki's pages. */
export function knownFile(store: string, wiki: string): string {
  return `${store}/.wiki/${wiki.replace('/wiki', '').replace('/', '-')}.jsonl`;
}

/** Below a name that begins with a dot, but for the wiki's own configuration. */
function isHidden(file: string): boolean {
  if (file === '' || file === '.wiki' || file === CONFIG_PATH) return false;
  return /(?:^|\/)(?:\.|node_modules(?:\/|$))/.test(file);
}
