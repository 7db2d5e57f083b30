// One session's deriver: the order log is brought up to what the asker knew, then rules answer from it.
// Everything here is a cache but the order log and the recorded inputs; deleting `context/.cache` changes no byte.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseSource, sourceOfItem } from '../abi/ranges.ts';
import { CtxError } from '../abi/errors.ts';
import { CACHE_DIR } from '../abi/session-files.ts';
import { PACK_RULE_VERSION } from '../context/pack-policy.ts';
import type { SectionKind } from '../context/pack-source.ts';
import { Engine } from '../derive/engine.ts';
import type { Content, InputVersion, Rule } from '../derive/types.ts';
import type { CommitNote } from '../journal/types.ts';
import { terms } from '../search/terms.ts';
import { InputWatch } from './input-watch.ts';
import { BlobFiles } from './output-files.ts';
import { PackRun } from './pack-run.ts';
import type { EpochMark } from './pack-run.ts';
import { SectionFolds } from './section-folds.ts';
import type { SectionState } from './section-folds.ts';
import { excerptOf, SessionHistory } from './session-history.ts';
import type { DeriverServices } from './services.ts';
import { Sources } from './sources.ts';
import type { ResolvedSource } from './sources.ts';
import { SwapFiles } from './swap-files.ts';
import type { PackStatus, Revision, SessionDeriver } from './types.ts';

export { defaultServices } from './services.ts';
export type { DeriverServices } from './services.ts';

/** The directory must exist; its journals may be written by another thread meanwhile. */
export function openSessionDeriver(directory: string, services: DeriverServices): InspectableDeriver {
  return new Deriver(directory, services);
}

const PACK_FILES: ReadonlySet<string> = new Set(['pack.json', 'pack.md', 'prompt.json']);
const SECTION_FILES: ReadonlyMap<string, SectionKind> = new Map([
  ['summary.md', 'summary'], ['facts.jsonl', 'facts'], ['decisions.jsonl', 'decisions'], ['todo.md', 'todo'], ['refs.jsonl', 'refs'],
]);
const SAVE_AFTER_MS = 500;
const CHECKPOINT_VERSION = `checkpoint/1 ${PACK_RULE_VERSION}`;

interface Checkpoint {
  readonly version: string;
  readonly resets: { readonly through: number; readonly index: number };
  readonly mark: EpochMark | undefined;
  readonly sections: SectionState;
  /** Pack version as of an order-log revision: so that a restart serves the pack without folding. */
  readonly pack: { readonly revision: string; readonly version: string };
}

/** What tests and `explain` see beside the contract. */
export interface InspectableDeriver extends SessionDeriver {
  readonly engine: Engine;
  /** The bytes that a source names (abi-spec/sources.md), as of the last fetch. */
  resolve(source: string, range?: string): ResolvedSource | undefined;
}

class Deriver implements InspectableDeriver {
  readonly engine: Engine;
  readonly #directory: string;
  readonly #cache: string;
  readonly #services: DeriverServices;
  readonly #history: SessionHistory;
  readonly #inputs: InputWatch;
  readonly #folds: SectionFolds;
  readonly #pack: PackRun;
  readonly #blobs: BlobFiles;
  readonly #swap: SwapFiles;
  readonly #sources: Sources;
  #packVersion = '';
  #packRevision = '';
  #queue: Promise<unknown> = Promise.resolve();
  #saveTimer: NodeJS.Timeout | undefined;
  #building = '';
  #closed = false;

  constructor(directory: string, services: DeriverServices) {
    this.#directory = directory;
    this.#services = services;
    this.#cache = join(directory, CACHE_DIR);
    mkdirSync(this.#cache, { recursive: true, mode: 0o700 });
    this.engine = new Engine(join(this.#cache, 'memos.json'), PACK_RULE_VERSION, services.now);
    this.#history = new SessionHistory(directory, this.#cache, services);
    this.#inputs = new InputWatch(directory, this.#history.log, services.now);
    this.#blobs = new BlobFiles(join(this.#cache, 'out'));
    const checkpoint = this.#readCheckpoint();
    this.#folds = new SectionFolds(this.#history, checkpoint?.sections);
    const identity = { session: basename(directory), agent: basename(dirname(dirname(directory))) };
    this.#pack = new PackRun(this.#history, this.#folds, services, identity, join(this.#cache, 'epochs'), this.#blobs);
    this.#swap = new SwapFiles(this.#history, this.#blobs, this.#cache);
    this.#sources = new Sources(this.#history, this.#folds, this.#swap);
    if (checkpoint !== undefined) {
      this.#pack.resets.restore(checkpoint.resets, this.#history.log.length);
      if (checkpoint.mark !== undefined) this.#pack.resumeAt(checkpoint.mark);
      this.#packRevision = checkpoint.pack.revision;
      this.#packVersion = checkpoint.pack.version;
    }
  }

  committed(notes: readonly CommitNote[]): void {
    if (!this.#closed) this.#history.log.commit(notes);
  }

  inputChanged(_path: string): void {
    if (!this.#closed) this.#inputs.update();
  }

  async fetch(name: string, revision: Revision): Promise<Content> {
    this.#catchUp(revision);
    return this.#inTurn(name, () => this.#fetch(name));
  }

  async list(directory: 'swap/chunk' | 'dedup/blob', revision: Revision): Promise<readonly string[]> {
    this.#catchUp(revision);
    return this.#inTurn(directory, async () => {
      await this.#history.prepare();
      this.#history.contributionLog.update();
      if (directory === 'dedup/blob') return this.#swap.blobDigests();
      await this.#advancePack();
      return this.#swap.chunkIds(this.#pack.epoch?.cut ?? 1);
    });
  }

  async explain(name: string, revision: Revision): Promise<Record<string, unknown>> {
    await this.fetch(name, revision);
    const run = this.engine.lastRun(name);
    const epoch = this.#pack.epoch;
    return {
      file: `context/${name}`,
      ...(run === undefined ? { why: ['not a rule: served from history by reference'] } : {
        why: run.why, outcome: run.outcome, inputs: run.inputs, elapsed_ms: run.elapsedMs, size_bytes: run.sizeBytes, digest: run.digest, at: new Date(run.startedMs).toISOString(),
      }),
      ...(PACK_FILES.has(name) && epoch !== undefined ? { epoch: { start: epoch.start, cut: epoch.cut, reason: epoch.reason } } : {}),
      recent: this.engine.log.slice(-12).map((entry) => ({ rule: entry.rule, why: entry.why, outcome: entry.outcome, elapsed_ms: entry.elapsedMs })),
    };
  }

  async search(query: string, limit: number, revision: Revision): Promise<readonly { line: number; score: number; role: string; excerpt: string }[]> {
    this.#catchUp(revision);
    return this.#inTurn('search', async () => {
      await this.#history.prepare();
      const lines = this.#history.messages.lines;
      const words = [...new Set(terms(query))].map((term) => ({ term, weight: 16 }));
      return this.#history.indexThrough(lines).rank(words, limit, { throughLine: lines }).map((hit) => {
        const message = this.#history.lines.at(hit.line);
        return { line: hit.line, score: hit.score, role: message.view.role, excerpt: excerptOf(message) };
      });
    });
  }

  async packAt(at: string, revision: Revision): Promise<Record<string, unknown>> {
    this.#catchUp(revision);
    return this.#inTurn(`pack at ${at}`, () => this.#packAt(at));
  }

  gc(_options: { dryRun: boolean; nowMs: number }): Promise<readonly { path: string; bytes: number; reason: string }[]> {
    return Promise.resolve([]);
  }

  resolve(source: string, range?: string): ResolvedSource | undefined {
    return this.#sources.resolve(source, range);
  }

  drop(name: string): void {
    this.engine.drop(name);
  }

  status(): PackStatus {
    return { building: this.#building !== '', progress: this.#history.progress, note: this.#building };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#saveTimer);
    await this.#queue.catch(() => undefined);
    this.#save();
    this.#pack.close();
    this.#swap.close();
    this.#history.close();
  }

  #catchUp(revision: Revision): void {
    if (this.#closed) throw new CtxError('derive.closed', 'ESTALE', 'the session is closed', { where: this.#directory });
    this.#history.log.catchUp(revision.messagesBytes, revision.eventsBytes);
    this.#inputs.update();
  }

  /** One thing at a time for a session: the fold is one walk through one history. */
  #inTurn<T>(what: string, work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      this.#building = what;
      try {
        return await work();
      } finally {
        this.#building = '';
        this.#saveSoon();
      }
    });
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  #fetch(name: string): Promise<Content> {
    if (PACK_FILES.has(name)) return this.#fetchPack(name as 'pack.json');
    const section = SECTION_FILES.get(name);
    if (section !== undefined) return this.#fetchSection(name, section);
    if (name === 'swap/index.jsonl') return this.#fetchSwapIndex();
    if (name === 'dedup/index.jsonl') return this.#fetchDedupIndex();
    if (name.startsWith('swap/chunk/')) return this.#chunk(name.slice('swap/chunk/'.length));
    if (name.startsWith('dedup/blob/')) return this.#blob(name.slice('dedup/blob/'.length));
    return Promise.reject(new CtxError('derive.unknown', 'ENOENT', 'no such derived file', { where: `context/${name}` }));
  }

  async #fetchPack(name: 'pack.json' | 'pack.md' | 'prompt.json'): Promise<Content> {
    const revision = this.#history.log.revision();
    if (this.#packRevision === revision) {
      const fresh = this.engine.fresh(name, [{ name: 'pack', version: this.#packVersion }]);
      if (fresh !== undefined) return fresh;
    }
    await this.#advancePack();
    const rule: Rule = {
      name,
      inputs: () => [{ name: 'pack', version: this.#packVersion }],
      run: () => this.#pack.content(name),
    };
    return this.engine.fetch(rule);
  }

  async #advancePack(): Promise<void> {
    await this.#history.prepare();
    this.#history.contributionLog.update();
    await this.#pack.advance(this.#history.log.length);
    this.#packRevision = this.#history.log.revision();
    this.#packVersion = this.#pack.version;
    this.#swap.cut = this.#pack.epoch?.cut ?? 1;
  }

  /** The file shows everything there is now; the pack's sections show what lies below its cut. */
  async #fetchSection(name: string, kind: SectionKind): Promise<Content> {
    await this.#history.prepare();
    this.#history.contributionLog.update();
    const lines = this.#history.messages.lines;
    const contributions = this.#history.contributions().length;
    const inputs: readonly InputVersion[] = [{ name: 'messages', version: `${lines} lines` }, { name: 'contributions', version: `${contributions}` }];
    return this.engine.fetch({
      name,
      inputs: () => inputs,
      run: () => {
        const position = { line: lines, eventLine: Number.MAX_SAFE_INTEGER, order: this.#history.log.length };
        return this.#blobs.content(this.#folds.text(kind, lines + 1, position), this.#timeMs());
      },
    });
  }

  async #fetchSwapIndex(): Promise<Content> {
    await this.#advancePack();
    const cut = this.#pack.epoch?.cut ?? 1;
    return this.engine.fetch({
      name: 'swap/index.jsonl',
      inputs: () => [{ name: 'cut', version: `${cut}` }],
      run: () => this.#swap.index(cut, this.#timeMs()),
    });
  }

  async #fetchDedupIndex(): Promise<Content> {
    await this.#history.prepare();
    const lines = this.#history.messages.lines;
    return this.engine.fetch({
      name: 'dedup/index.jsonl',
      inputs: () => [{ name: 'messages', version: `${lines} lines` }],
      run: () => this.#swap.dedupIndex(this.#timeMs()),
    });
  }

  async #chunk(id: string): Promise<Content> {
    await this.#history.prepare();
    let found = this.#swap.chunk(id);
    if (found === undefined) {
      await this.#advancePack();
      found = this.#swap.chunk(id);
    }
    if (found === undefined) throw new CtxError('swap.unknown', 'ENOENT', 'no such chunk', { where: `context/swap/chunk/${id}` });
    return { ...found, modifiedMs: this.#history.log.at(this.#history.log.length - 1).timeMs };
  }

  async #blob(id: string): Promise<Content> {
    await this.#history.prepare();
    const found = this.#swap.blob(id, this.#timeMs());
    if (found === undefined) throw new CtxError('dedup.unknown', 'ENOENT', 'no such content', { where: `context/dedup/blob/${id}` });
    return found;
  }

  async #packAt(at: string): Promise<Record<string, unknown>> {
    const source = parseSource(at) ?? sourceOfItem(at, undefined);
    const line = source?.kind === 'messages' ? source.last : source?.kind === 'tail' ? this.#history.messages.lines : undefined;
    if (line === undefined || line > this.#history.messages.lines) {
      throw new CtxError('pack.at', 'ENOENT', 'no pack is known by that name', { where: at, next: 'name a message line, such as 120 or msg-120' });
    }
    await this.#history.prepare();
    this.#history.contributionLog.update();
    const { log } = this.#history;
    const length = log.indexOfMessagesOffset(this.#history.messages.offsetOfLine(line)) + 1;
    const folds = new SectionFolds(this.#history, undefined);
    const identity = { session: basename(this.#directory), agent: basename(dirname(dirname(this.#directory))) };
    const run = new PackRun(this.#history, folds, this.#services, identity, join(this.#cache, 'at'), this.#blobs);
    try {
      await run.advance(length, true, line);
      const content = run.content('pack.json');
      return JSON.parse(readContent(content).toString('utf8')) as Record<string, unknown>;
    } finally {
      run.close();
    }
  }

  #timeMs(): number {
    return this.#history.log.last()?.timeMs ?? 0;
  }

  #saveSoon(): void {
    if (this.#closed || this.#saveTimer !== undefined) return;
    this.#saveTimer = setTimeout(() => {
      this.#saveTimer = undefined;
      try {
        this.#save();
      } catch (error) {
        // A cache that cannot be written costs time later, nothing else.
        this.#services.log(`derive.save: ${String(error)}`);
      }
    }, SAVE_AFTER_MS).unref();
  }

  /** The checkpoint before the index is flushed and the memos last: what is newer never depends on what is older. */
  #save(): void {
    const checkpoint: Checkpoint = {
      version: CHECKPOINT_VERSION, resets: this.#pack.resets.save(), mark: this.#pack.mark, sections: this.#folds.checkpoint(),
      pack: { revision: this.#packRevision, version: this.#packVersion },
    };
    const path = join(this.#cache, 'checkpoint.json');
    mkdirSync(this.#cache, { recursive: true, mode: 0o700 });
    writeFileSync(`${path}.new`, JSON.stringify(checkpoint), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#history.save();
    this.engine.save();
  }

  #readCheckpoint(): Checkpoint | undefined {
    try {
      const value = JSON.parse(readFileSync(join(this.#cache, 'checkpoint.json'), 'utf8')) as Checkpoint;
      return value.version === CHECKPOINT_VERSION && value.sections.blocks <= this.#history.blocks.count ? value : undefined;
    } catch {
      return undefined;
    }
  }
}

/** All bytes of a content, for small ones. */
export function readContent(content: Content): Buffer {
  return Buffer.concat(content.extents.map((extent) => readFileSync(extent.path).subarray(extent.offsetBytes, extent.offsetBytes + extent.sizeBytes)));
}
