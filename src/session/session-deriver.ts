// One session's deriver: the order log is brought up to what the asker knew, then rules answer from it.
// Everything here is a cache but the order log and the recorded inputs; deleting `context/.cache` changes no byte.
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { digestOf } from '../abi/digest.ts';
import { CtxError } from '../abi/errors.ts';
import { CACHE_DIR } from '../abi/session-files.ts';
import { parseGcPolicy } from '../context/gc.ts';
import { childRefRows, readChildren } from '../context/child.ts';
import type { ChildView } from '../context/child.ts';
import { PACK_RULE_VERSION } from '../context/pack-policy.ts';
import type { SectionKind } from '../context/pack-source.ts';
import { Engine } from '../derive/engine.ts';
import { CACHE_DAMAGED } from '../derive/types.ts';
import type { Content, InputVersion } from '../derive/types.ts';
import type { CommitNote, OrderLog } from '../journal/types.ts';
import { DAMAGED } from '../search/sums.ts';
import { terms } from '../search/terms.ts';
import { planCacheGc, removeCacheFiles } from './cache-gc.ts';
import { CHECKPOINT_VERSION, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { InputWatch } from './input-watch.ts';
import { MemoryChooser } from './memory-chooser.ts';
import { clearUnusual } from './cache-place.ts';
import { BlobFiles, makeInCache } from './output-files.ts';
import { explainChoice, recordedMemory } from './recorded-memory.ts';
import { findPackPosition } from './pack-at.ts';
import { packChange, PackRun } from './pack-run.ts';
import { SectionFolds } from './section-folds.ts';
import { excerptOf, SessionHistory } from './session-history.ts';
import type { DeriverServices } from './services.ts';
import { Sources } from './sources.ts';
import type { ResolvedSource } from './sources.ts';
import { SwapFiles } from './swap-files.ts';
import { CountPending } from '../tokens/pending.ts';
import type { PackStatus, Revision, SessionDeriver } from './types.ts';

export { defaultServices } from './services.ts';
export type { DeriverServices } from './services.ts';

/** What tests and tools see beside the contract. */
export interface InspectableDeriver extends SessionDeriver {
  readonly engine: Engine;
  /** The bytes that a source names (abi-spec/sources.md), as of the last fetch. */
  resolve(source: string, range?: string): ResolvedSource | undefined;
}

/** The directory must exist; its journals may be written by another thread meanwhile. */
export function openSessionDeriver(directory: string, services: DeriverServices): InspectableDeriver {
  return new Deriver(directory, services);
}

/** All bytes of a content, for small ones. */
export function readContent(content: Content): Buffer {
  return Buffer.concat(
    content.extents.map((extent) => readFileSync(extent.path).subarray(extent.offsetBytes, extent.offsetBytes + extent.sizeBytes)),
  );
}

/** Inode numbers are used again; with the time of birth they are not. */
function identityOf(directory: string): string {
  const stats = statSync(directory, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? '' : `${stats.dev} ${stats.ino} ${stats.birthtimeNs}`;
}

function messagesInput(lines: number): InputVersion {
  return {
    name: 'messages',
    version: `${lines} lines`,
    changed: (was) => `messages.jsonl grew from ${Number.parseInt(was, 10)} to ${lines} lines`,
  };
}

function contributionsInput(count: number): InputVersion {
  const changed = (was: string): string => {
    const added = count - Number(was);
    return added === 1 ? 'one contribution was added' : `${added} contributions were added`;
  };
  return { name: 'contributions', version: `${count}`, changed };
}

/** Once a thread: see `PackRun.practise`. */
let practised = false;
/** Of its own: it waits whenever somebody asks for something. */
const PRACTICE_MS = 2000;
const PRACTICE_SLICE_MS = 4;
/** Between steps of what may wait. */
const TIDY_PAUSE_MS = 2;

type PackFile = 'pack.json' | 'pack.md' | 'prompt.json';
const PACK_FILES: ReadonlySet<string> = new Set<PackFile>(['pack.json', 'pack.md', 'prompt.json']);
const SECTION_FILES: ReadonlyMap<string, SectionKind> = new Map([
  ['summary.md', 'summary'],
  ['facts.jsonl', 'facts'],
  ['decisions.jsonl', 'decisions'],
  ['todo.md', 'todo'],
  ['refs.jsonl', 'refs'],
]);
/** What is derived is written when nobody has asked for this long, */
const SAVE_IDLE_MS = 400;
/** or, while questions follow each other, this long after the first. */
const SAVE_AFTER_MS = 5000;
/** So much later it is written beside what is being built. */
const SAVE_LATE_MS = 1000;
const SAVE_TRY_MS = 20;
const CATCH_UP_BYTES = 4 << 20;

/** What one reader waits for an engine that counts: what it counted is remembered for the next. */
const MOST_COUNTING_MS = 5 * 60_000;

function slowCount(where: string): CtxError {
  return new CtxError('tokens.engine', 'ETIMEDOUT', `the engine takes more than ${MOST_COUNTING_MS / 60_000} minutes to count this pack`, {
    where,
    next: 'read it again: what was counted is remembered',
  });
}

/** Everything that is read from or written to the cache; opened again after garbage collection. */
interface Parts {
  readonly engine: Engine;
  readonly history: SessionHistory;
  readonly inputs: InputWatch;
  readonly folds: SectionFolds;
  readonly pack: PackRun;
  readonly blobs: BlobFiles;
  readonly swap: SwapFiles;
  readonly sources: Sources;
}

/** Of what lies in the cache: it can be made again. SQLite says so of an index that is not written as it was. */
function isDamage(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return (
    code === CACHE_DAMAGED ||
    code === DAMAGED ||
    code === 'SQLITE_NOTADB' ||
    (typeof code === 'string' && code.startsWith('SQLITE_CORRUPT'))
  );
}

class Deriver implements InspectableDeriver {
  readonly #directory: string;
  readonly #cache: string;
  readonly #services: DeriverServices;
  #parts: Parts;
  /** The pack's version as of an order-log revision: a restart serves the pack without folding. */
  #packVersion = '';
  #packRevision = '';
  #queue: Promise<unknown> = Promise.resolve();
  #saveTimer: NodeJS.Timeout | undefined;
  #saveBy = Infinity;
  #building = '';
  #usedMs: number;
  #closed = false;
  #warmed = false;
  #tidying = false;
  readonly #place: string;
  readonly #memory: MemoryChooser | undefined;
  onMemory: () => void = () => {};

  constructor(directory: string, services: DeriverServices) {
    this.#directory = directory;
    this.#services = services;
    this.#cache = join(directory, CACHE_DIR);
    this.#usedMs = 0;
    this.#place = identityOf(directory);
    this.#memory =
      services.memory === undefined
        ? undefined
        : new MemoryChooser(directory, services.memory, {
            log: services.log,
            waitMs: services.memoryWaitMs,
            restMs: services.memoryRestMs,
            changed: () => this.onMemory(),
          });
    this.#parts = this.#open();
  }

  get engine(): Engine {
    return this.#parts.engine;
  }

  committed(notes: readonly CommitNote[]): void {
    if (!this.#closed) this.#parts.history.log.commit(notes);
  }

  inputChanged(_path: string): void {
    if (!this.#closed) this.#parts.inputs.update();
  }

  async settle(revision: Revision): Promise<OrderLog> {
    await this.#record(revision);
    return this.#parts.history.log;
  }

  async fetch(name: string, revision: Revision): Promise<Content> {
    await this.#catchUp(revision);
    return this.#inTurn(name, () => this.#fetch(name));
  }

  async list(directory: 'swap/chunk' | 'dedup/blob', revision: Revision): Promise<readonly string[]> {
    await this.#catchUp(revision);
    return this.#inTurn(directory, async () => {
      await this.#ready();
      if (directory === 'dedup/blob') return this.#parts.swap.blobDigests();
      await this.#advancePack();
      return this.#parts.swap.chunkIds(this.#parts.swap.cut);
    });
  }

  async explain(name: string, revision: Revision): Promise<Record<string, unknown>> {
    await this.fetch(name, revision);
    const { engine, pack } = this.#parts;
    const run = engine.lastRun(name);
    const { epoch } = pack;
    return {
      file: `context/${name}`,
      ...(run === undefined
        ? { why: ['served from history by reference: nothing is built'] }
        : {
            why: run.why,
            outcome: run.outcome,
            inputs: run.inputs,
            elapsed_ms: run.elapsedMs,
            size_bytes: run.sizeBytes,
            digest: run.digest,
            at: new Date(run.startedMs).toISOString(),
          }),
      ...(PACK_FILES.has(name) && epoch !== undefined
        ? { epoch: { start: epoch.start, cut: epoch.cut, reason: epoch.reason }, ...this.#explainMemory(epoch.start.order) }
        : {}),
      recent: engine.log
        .slice(-12)
        .map((entry) => ({ rule: entry.rule, why: entry.why, outcome: entry.outcome, elapsed_ms: entry.elapsedMs })),
    };
  }

  #explainMemory(order: number): Record<string, unknown> {
    const memory = recordedMemory(this.#parts.history, order);
    const error = this.#memory?.error;
    return {
      ...(memory === undefined ? {} : { memory: explainChoice(memory) }),
      ...(error === undefined ? {} : { memory_error: error }),
    };
  }

  async search(
    query: string,
    limit: number,
    revision: Revision,
  ): Promise<readonly { line: number; score: number; role: string; excerpt: string }[]> {
    await this.#catchUp(revision);
    return this.#inTurn('search', async () => {
      await this.#ready();
      const { history } = this.#parts;
      const { lines } = history.messages;
      const words = [...new Set(terms(query))].map((term) => ({ term, weight: 16 }));
      return history
        .indexThrough(lines)
        .rank(words, limit, { throughLine: lines })
        .map((hit) => {
          const message = history.lines.at(hit.line);
          return { line: hit.line, score: hit.score, role: message.view.role, excerpt: excerptOf(message) };
        });
    });
  }

  async packAt(at: string, revision: Revision): Promise<Record<string, unknown>> {
    await this.#catchUp(revision);
    return this.#inTurn(`pack at ${at}`, async () => {
      await this.#ready();
      const { history, blobs } = this.#parts;
      const found = findPackPosition(history, at);
      const run = new PackRun(
        history,
        new SectionFolds(history, undefined),
        this.#services,
        this.#identity(),
        join(this.#cache, 'at'),
        blobs,
      );
      try {
        await run.advance(found.order, true, found.line);
        return JSON.parse(readContent(run.content('pack.json')).toString('utf8')) as Record<string, unknown>;
      } finally {
        run.close();
      }
    });
  }

  async gc(options: { dryRun: boolean; nowMs: number }): Promise<readonly { path: string; bytes: number; reason: string }[]> {
    return this.#inTurn('gc', async () => {
      const { log } = this.#parts.history;
      const digest = log.inputsAsOf().get('context/gc.policy');
      const policy = parseGcPolicy(
        digest === undefined ? '' : (this.#parts.history.input('context/gc.policy', digest)?.toString('utf8') ?? ''),
      );
      // What is listed in dedup/ occurs twice at least: smaller bounds need no look at history.
      if (policy.dedupMinRefs > 2) await this.#ready();
      const blobs = policy.dedupMinRefs > 2 ? this.#parts.swap.blobReferences() : new Map<string, number>();
      const plan = planCacheGc(this.#directory, policy, options.nowMs, this.#usedMs, blobs);
      if (!options.dryRun && plan.length > 0) {
        this.#save();
        this.#closeParts();
        removeCacheFiles(this.#directory, plan);
        this.#parts = this.#open();
      }
      return plan;
    });
  }

  resolve(source: string, range?: string): ResolvedSource | undefined {
    return this.#parts.sources.resolve(source, range);
  }

  drop(name: string): void {
    this.#parts.engine.drop(name);
  }

  get countedByEngine(): boolean {
    return this.#parts.inputs.countedByEngine;
  }

  status(): PackStatus {
    return { building: this.#building !== '', progress: this.#parts.history.progress, note: this.#building };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#memory?.close();
    clearTimeout(this.#saveTimer);
    await this.#queue.catch(() => undefined);
    this.#save();
    this.#closeParts();
  }

  #open(): Parts {
    clearUnusual(this.#cache);
    makeInCache(this.#cache);
    const history = new SessionHistory(this.#directory, this.#cache, this.#services);
    // Memos name files by their paths, and packs their session: those of a copied directory are of the one it was copied from.
    const rules = `${PACK_RULE_VERSION} ${this.#directory}`;
    const engine = new Engine(join(this.#cache, 'memos.json'), rules, this.#services.now, history.marks);
    const blobs = new BlobFiles(join(this.#cache, 'out'));
    const checkpoint = readCheckpoint(this.#cache, history.blocks.count, history.marks);
    const folds = new SectionFolds(history, checkpoint?.sections);
    const pack = new PackRun(history, folds, this.#services, this.#identity(), join(this.#cache, 'epochs'), blobs);
    const swap = new SwapFiles(history, blobs, this.#cache);
    if (checkpoint !== undefined) {
      pack.resets.restore(checkpoint.resets, history.log.length);
      if (checkpoint.mark !== undefined) pack.resumeAt(checkpoint.mark);
      swap.cut = checkpoint.cut;
      for (const [key, choice] of checkpoint.recalled) pack.recalled.known.set(key, choice);
    }
    this.#packRevision = checkpoint?.pack.revision ?? '';
    this.#packVersion = checkpoint?.pack.version ?? '';
    const inputs = new InputWatch(this.#directory, history.log, this.#services.now, this.#services.engine);
    // Before any message that has no record yet: a session's first inputs come first.
    inputs.update();
    return { engine, history, inputs, folds, pack, blobs, swap, sources: new Sources(history, folds, swap) };
  }

  #closeParts(): void {
    for (const part of ['pack', 'swap', 'history'] as const)
      try {
        this.#parts[part].close();
      } catch (error) {
        // It could not write what it still held.
        if (!isDamage(error)) throw error;
      }
  }

  #identity(): { readonly session: string; readonly agent: string } {
    return { session: basename(this.#directory), agent: basename(dirname(dirname(this.#directory))) };
  }

  /** Records for what has none yet. Many bytes (a copied session, an import) are taken in slices. */
  async #record(revision: Revision): Promise<void> {
    this.#mustBeOpen();
    const { messagesBytes, eventsBytes } = revision;
    for (let size = CATCH_UP_BYTES; ;) {
      const { log } = this.#parts.history;
      const before = log.last()?.messagesEnd ?? 0;
      if (messagesBytes - before <= size) {
        log.catchUp(messagesBytes, eventsBytes);
        break;
      }
      log.catchUp(before + size, 0);
      // One line longer than the slice.
      if ((log.last()?.messagesEnd ?? 0) === before) size *= 2;
      await nextTurn();
      this.#mustBeOpen();
    }
    this.#usedMs = this.#services.now();
  }

  async #catchUp(revision: Revision): Promise<void> {
    await this.#record(revision);
    this.#parts.inputs.update();
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new CtxError('derive.closed', 'ESTALE', 'the session is closed', { where: this.#directory });
  }

  /** TOK-11: who needs a count that is not there yet leaves its turn to others, and begins again with it. */
  async #inTurn<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let waitedMs = 0; ;) {
      try {
        return await this.#turn(what, work);
      } catch (error) {
        if (!(error instanceof CountPending)) throw error;
        if (waitedMs > MOST_COUNTING_MS) throw slowCount(this.#directory);
        const began = performance.now();
        await error.answered;
        waitedMs += performance.now() - began;
        this.#mustBeOpen();
        // Which tokenizer counts is known only now.
        this.#parts.inputs.update();
      }
    }
  }

  /** One thing at a time for a session: the fold is one walk through one history. */
  #turn<T>(what: string, work: () => Promise<T>): Promise<T> {
    this.#mustBeOpen();
    const turn = this.#queue.then(async () => {
      this.#building = what;
      try {
        return await work().catch((error: unknown) => this.#fromNothing(error, work));
      } finally {
        this.#building = '';
        this.#saveSoon();
        void this.#foresee();
        void this.#tidy();
      }
    });
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /** DRV-11: damage in the cache costs a rebuild of all of it, once for each who asks. */
  #fromNothing<T>(error: unknown, work: () => Promise<T>): Promise<T> {
    if (!isDamage(error) || this.#closed) throw error;
    this.#services.log(`derive.cache: ${(error as Error).message}; everything is built again: ${this.#directory}`);
    this.#closeParts();
    rmSync(this.#cache, { recursive: true, force: true });
    this.#parts = this.#open();
    return work();
  }

  async #ready(): Promise<void> {
    const { history, pack } = this.#parts;
    // Before any block is folded: contributions come before the blocks that follow them.
    history.contributionLog.update();
    await history.prepare(() => pack.ahead());
    history.contributionLog.update();
  }

  #fetch(name: string): Promise<Content> {
    if (PACK_FILES.has(name)) return this.#fetchPack(name as PackFile);
    const section = SECTION_FILES.get(name);
    if (section !== undefined) return this.#fetchSection(name, section);
    if (name === 'swap/index.jsonl') return this.#fetchSwapIndex();
    if (name === 'dedup/index.jsonl') return this.#fetchDedupIndex();
    if (name.startsWith('swap/chunk/')) return this.#chunk(name.slice('swap/chunk/'.length));
    if (name.startsWith('dedup/blob/')) return this.#blob(name.slice('dedup/blob/'.length));
    return Promise.reject(new CtxError('derive.unknown', 'ENOENT', 'no such derived file', { where: `context/${name}` }));
  }

  async #fetchPack(name: PackFile): Promise<Content> {
    const { engine, history, pack } = this.#parts;
    const inputs = (): readonly InputVersion[] => [
      { name: 'pack', version: this.#packVersion, changed: (was) => packChange(was, this.#packVersion, pack.epoch?.reason ?? '') },
    ];
    if (this.#packRevision === history.log.revision() && this.#memory?.isDue !== true) {
      const fresh = engine.fresh(name, inputs());
      if (fresh !== undefined) {
        if (pack.epoch === undefined) this.#warmSoon();
        return fresh;
      }
    }
    this.#warmSoon();
    await this.#advancePack();
    // Someone deleted the epoch's files under us: fold the epoch again, into new ones.
    if (!pack.intact) {
      pack.reset();
      await this.#advancePack();
    }
    return engine.fetch({ name, inputs, run: () => pack.content(name) });
  }

  /** After a start the first append would wait for the fold, the tokenizer and the thesaurus: they are fetched before it comes. */
  #warmSoon(): void {
    if (this.#warmed) return;
    this.#warmed = true;
    setTimeout(() => void this.#warm(), 0).unref();
  }

  async #warm(): Promise<void> {
    const parts = this.#parts;
    try {
      await this.#inTurn('pack.json', () => this.#advancePack());
      if (practised) return;
      let usedMs = 0;
      const steps = parts.pack.practise();
      for (let due = 0; ;) {
        if (performance.now() >= due) {
          await nextTurn();
          due = performance.now() + PRACTICE_SLICE_MS;
        }
        if (this.#closed || parts !== this.#parts) return;
        // Never inside somebody's turn: the index may be closed in it.
        if (this.#building !== '') {
          await pause(PRACTICE_SLICE_MS);
          continue;
        }
        const began = performance.now();
        const { done } = steps.next();
        usedMs += performance.now() - began;
        if (done === true || usedMs > PRACTICE_MS) break;
      }
      practised ||= parts.pack.epoch !== undefined && parts.pack.epoch.cut > 1;
    } catch {
      // Nobody asked for this: whoever asks meets the same and is told.
    }
  }

  /** Whatever of the next epoch can be known is made ready while the answer is read: until somebody asks for something. */
  async #foresee(): Promise<void> {
    const parts = this.#parts;
    try {
      const steps = this.#closed ? undefined : parts.pack.foresee();
      while (steps !== undefined) {
        await nextTurn();
        if (this.#closed || parts !== this.#parts || this.#building !== '' || steps.next().done === true) return;
      }
    } catch (error) {
      // It only saves time: whoever asks for the pack hears of it.
      if (!(error instanceof CountPending)) this.#services.log(`pack.foresee: ${String(error)}`);
    }
  }

  /** What may wait for a time in which nobody asks for anything: sealing a segment of the index. */
  async #tidy(): Promise<void> {
    if (this.#tidying || this.#closed) return;
    const parts = this.#parts;
    const steps = parts.history.later();
    if (steps === undefined) return;
    this.#tidying = true;
    try {
      for (;;) {
        await pause(TIDY_PAUSE_MS);
        if (this.#closed || parts !== this.#parts) return;
        if (this.#building === '' && steps.next().done === true) return;
      }
    } catch (error) {
      // It only saves time: a segment that is not sealed answers as well.
      this.#services.log(`derive.tidy: ${String(error)}`);
    } finally {
      this.#tidying = false;
    }
  }

  async #advancePack(): Promise<void> {
    try {
      await this.#advanceNow();
    } catch (error) {
      // IDX-5: the damaged segment is gone; it is built again, and the pack is folded with it.
      if (!(error instanceof CtxError) || error.code !== DAMAGED) throw error;
      this.#services.log(`derive.index: ${error.message}`);
      await this.#advanceNow();
    }
  }

  async #advanceNow(): Promise<void> {
    await this.#ready();
    await this.#chooseMemory();
    const { history, pack, swap } = this.#parts;
    // As of now: what is committed while the fold gives way to others is not in it.
    const revision = history.log.revision();
    await pack.advance(history.log.length);
    this.#packRevision = revision;
    this.#packVersion = pack.version;
    swap.cut = pack.epoch?.cut ?? 1;
  }

  /** In its own time: the pack goes on without it when it takes long. */
  async #chooseMemory(): Promise<void> {
    const { history, folds } = this.#parts;
    await this.#memory?.choose({
      history,
      todo: (limitBytes) => {
        const position = { line: history.messages.lines, eventLine: history.log.last()?.eventLines ?? 0, order: history.log.length };
        return folds.text('todo', position.line + 1, position, limitBytes);
      },
      record: (versions) => {
        if (!this.#closed) this.#parts.history.log.recordInputs(versions, this.#services.now());
      },
    });
  }

  /** The file shows everything there is now; the pack's sections show what lies below its cut. */
  async #fetchSection(name: string, kind: SectionKind): Promise<Content> {
    await this.#ready();
    const { engine, history, folds, blobs } = this.#parts;
    const { lines } = history.messages;
    return engine.fetch({
      name,
      inputs: () => [
        messagesInput(lines),
        contributionsInput(history.contributions().length),
        ...(kind === 'refs'
          ? [{ name: 'children', version: this.#childrenVersion(), changed: () => 'files of a child agent changed' }]
          : []),
      ],
      run: () => {
        const position = { line: lines, eventLine: history.log.last()?.eventLines ?? 0, order: history.log.length };
        const text =
          kind === 'refs' ? folds.refsFile(lines + 1, position, childRefRows(this.#children())) : folds.text(kind, lines + 1, position);
        return blobs.content(text, this.#timeMs());
      },
    });
  }

  /** Files of children as recorded, by path. */
  #childFiles(): readonly (readonly [path: string, digest: string])[] {
    return [...this.#parts.history.log.inputsAsOf()].filter(([path]) => path.startsWith('context/child/'));
  }

  #childrenVersion(): string {
    const files = this.#childFiles();
    return files.length === 0 ? 'none' : `${files.length} files ${digestOf(JSON.stringify(files)).slice(7, 19)}`;
  }

  #children(): readonly ChildView[] {
    const { history } = this.#parts;
    // A damaged one counts as missing: what is lost does not take the rest with it.
    const files = this.#childFiles().map(([path, digest]) => [path, history.input(path, digest)] as const);
    return readChildren(new Map(files.filter((file): file is readonly [string, Buffer] => file[1] !== undefined)));
  }

  async #fetchSwapIndex(): Promise<Content> {
    await this.#advancePack();
    const { engine, swap } = this.#parts;
    return engine.fetch({
      name: 'swap/index.jsonl',
      inputs: () => [
        { name: 'cut', version: `${swap.cut}`, changed: (was) => `the pack's tail now begins at message ${swap.cut} (before: ${was})` },
      ],
      run: () => swap.index(swap.cut, this.#timeMs()),
    });
  }

  async #fetchDedupIndex(): Promise<Content> {
    await this.#ready();
    const { engine, history, swap } = this.#parts;
    return engine.fetch({
      name: 'dedup/index.jsonl',
      inputs: () => [messagesInput(history.messages.lines)],
      run: () => swap.dedupIndex(this.#timeMs()),
    });
  }

  async #chunk(id: string): Promise<Content> {
    await this.#ready();
    let found = this.#parts.swap.chunk(id);
    if (found === undefined) {
      await this.#advancePack();
      found = this.#parts.swap.chunk(id);
    }
    if (found === undefined) throw new CtxError('swap.unknown', 'ENOENT', 'no such chunk', { where: `context/swap/chunk/${id}` });
    return { ...found, modifiedMs: this.#timeMs() };
  }

  async #blob(id: string): Promise<Content> {
    await this.#ready();
    const found = this.#parts.swap.blob(id, this.#timeMs());
    if (found === undefined) throw new CtxError('dedup.unknown', 'ENOENT', 'no such content', { where: `context/dedup/blob/${id}` });
    return found;
  }

  #timeMs(): number {
    return this.#parts.history.log.last()?.timeMs ?? 0;
  }

  #saveSoon(): void {
    if (this.#closed) return;
    const now = this.#services.now();
    this.#saveBy = Math.min(this.#saveBy, now + SAVE_AFTER_MS);
    clearTimeout(this.#saveTimer);
    this.#saveTimer = setTimeout(() => this.#saveNow(), Math.max(0, Math.min(SAVE_IDLE_MS, this.#saveBy - now))).unref();
  }

  /** Between two questions rather than inside one, which gives way to timers. */
  #saveNow(): void {
    if (this.#building !== '' && this.#services.now() < this.#saveBy + SAVE_LATE_MS) {
      this.#saveTimer = setTimeout(() => this.#saveNow(), SAVE_TRY_MS).unref();
      return;
    }
    this.#saveBy = Infinity;
    try {
      this.#save();
    } catch (error) {
      // A cache that cannot be written costs time later, nothing else.
      this.#services.log(`derive.save: ${String(error)}`);
    }
  }

  /** DRV-3: checkpoint, then indexes, then memos: what is written later never depends on what is not there yet. */
  #save(): void {
    const { pack, folds, history, engine, swap } = this.#parts;
    // DRV-7: a session that was renamed or removed leaves nothing where it was, nor in another that has its name now.
    if (identityOf(this.#directory) !== this.#place || !existsSync(this.#cache)) return;
    writeCheckpoint(this.#cache, {
      version: CHECKPOINT_VERSION,
      of: history.marks.now(),
      resets: pack.resets.save(),
      mark: pack.mark,
      sections: folds.checkpoint(),
      cut: swap.cut,
      recalled: [...pack.recalled.known],
      pack: { revision: this.#packRevision, version: this.#packVersion },
    });
    history.save();
    engine.save();
  }
}
