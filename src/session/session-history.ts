// One session's history with everything derived from it line by line: block records, contributions, the search index.
// All of it lies in the cache directory, grows with history and never changes; deleting it only costs time.
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { digestOf } from '../abi/digest.ts';
import { mapBlock } from '../context/blocks.ts';
import { isUserMessage } from '../context/pack-line.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { BlockRecord, Contribution, MessageLine } from '../context/types.ts';
import type { Steps } from '../abi/steps.ts';
import { HistoryMarks, openHistory, openOrderLog } from '../journal/index.ts';
import type { HistoryReader, OrderLog } from '../journal/types.ts';
import { segmentOfLine } from '../search/recall-index.ts';
import type { TermIndex } from '../search/recall-index.ts';
import { SEGMENT_LINES } from '../search/version.ts';
import type { SearchDoc } from '../search/types.ts';
import { BlockStore } from './block-store.ts';
import { ContributionLog } from './contribution-log.ts';
import { recordedBytes } from './input-bytes.ts';
import { mapHistory, mapWhole, searchDoc } from './map-history.ts';
import type { MapResult, MapTask } from './map-history.ts';
import { MessageLines } from './message-lines.ts';
import { makeInCache } from './output-files.ts';
import type { SectionHistory } from './section-folds.ts';
import type { DeriverServices } from './services.ts';

/** The deriver thread gives way to others this often. */
export const SLICE_MS = 8;
/** Fewer missing blocks than this are mapped here, at once. */
const POOL_BLOCKS = 32;
const TASK_BLOCKS = 64;
/** Fewer lines than this are indexed here. */
const APART_LINES = 4096;
const INDEX_BATCH = 64;
const MOST_UNSEALED = 2;
/** After a failure (the disk is full, say) sealing is tried again, but not at once: it costs seconds. */
const SEAL_AGAIN_MS = 30_000;

export class SessionHistory implements SectionHistory {
  readonly log: OrderLog;
  readonly marks: HistoryMarks;
  readonly messages: HistoryReader;
  readonly events: HistoryReader;
  readonly lines: MessageLines;
  readonly blocks: BlockStore;
  readonly contributionLog: ContributionLog;
  readonly #services: DeriverServices;
  readonly #directory: string;
  readonly #cache: string;
  #index: TermIndex | undefined;
  #progress = 1;
  #sealFromMs = 0;

  constructor(directory: string, cache: string, services: DeriverServices) {
    this.#services = services;
    this.#directory = directory;
    this.#cache = cache;
    this.log = openOrderLog(directory, { now: services.now });
    this.messages = openHistory(directory, 'messages.jsonl', this.log);
    this.events = openHistory(directory, 'events.jsonl', this.log);
    this.marks = new HistoryMarks(directory, this.log);
    this.blocks = new BlockStore(cache, this.marks.ofLine);
    this.lines = new MessageLines(this.messages, (block) => this.blocks.messagesOf(block));
    this.contributionLog = new ContributionLog(cache, this.events, this.log, this.marks);
  }

  get index(): TermIndex {
    if (this.#index?.damaged === true) {
      this.#index.close();
      this.#index = undefined;
    }
    if (this.#index === undefined) {
      makeInCache(this.#cache);
      this.#index = this.#services.openRecall(join(this.#cache, 'recall'), this.marks.ofLine);
    }
    return this.#index;
  }

  /** 0..1 of the block records and index that are there. */
  get progress(): number {
    return this.#progress;
  }

  /** The recorded bytes of an input; undefined when they are lost. */
  input(path: string, digest: string): Buffer | undefined {
    return recordedBytes(this.#directory, this.log, path, digest);
  }

  contributions(): readonly Contribution[] {
    return this.contributionLog.all;
  }

  records(from: number, to: number): Iterable<BlockRecord> {
    return this.blocks.records(from, to);
  }

  partial(firstLine: number, lastLine: number): BlockRecord {
    return mapBlock(this.lines.range(firstLine, lastLine));
  }

  /** Newest user message at or before a line; 0 when there is none. At most one block is looked through. */
  lastUserLine(line: number): number {
    const whole = Math.min(Math.floor(line / BLOCK_LINES), this.blocks.count);
    for (let at = line; at > whole * BLOCK_LINES; at--) if (isUserMessage(this.lines.at(at))) return at;
    return this.blocks.userThrough(whole - 1);
  }

  eventDigest(eventLine: number): string {
    return digestOf(this.events.readRange(this.events.offsetOfLine(eventLine), this.events.offsetOfLine(eventLine + 1)));
  }

  messageBytes(first: number, last: number): Buffer {
    return this.messages.readRange(this.messages.offsetOfLine(first), this.messages.offsetOfLine(last + 1));
  }

  /**
   * Block records and the index for every whole block of history. Long work goes to the pool and gives way here.
   * `beside` runs now and then while others work, with the records there are: it must not fail, nor touch the index.
   */
  async prepare(beside: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const whole = Math.floor(this.messages.lines / BLOCK_LINES);
    await this.#mapMany(whole, beside);
    await this.#mapHere(whole);
    let due = this.#services.now() + SLICE_MS;
    const through = whole * BLOCK_LINES;
    // A short history has no whole block: it opens no index unless a search asks for it.
    while (through > 0 && this.index.lastLine < through) {
      this.#addToIndex(Math.min(through, this.index.lastLine + INDEX_BATCH));
      if (this.#services.now() >= due) {
        await nextTurn();
        due = this.#services.now() + SLICE_MS;
      }
      // Many lines at once: no one is idle soon.
      if (this.index.unsealed < MOST_UNSEALED || this.#services.now() < this.#sealFromMs) continue;
      try {
        for (const steps = this.#seal(this.index); steps.next().done !== true;) await nextTurn();
      } catch (error) {
        // It only saves time: a segment that is not sealed answers as well.
        this.#services.log(`derive.seal: ${String(error)}`);
      }
    }
    this.#progress = 1;
  }

  /** What may wait until nobody asks for anything, in steps of a few milliseconds; nothing else may use the index in a step. */
  later(): Steps<void> | undefined {
    const index = this.#index;
    return index === undefined || index.unsealed === 0 || this.#services.now() < this.#sealFromMs ? undefined : this.#seal(index);
  }

  /** The index up to a line; what is missing is added here and now (at most a block, after `prepare`). */
  indexThrough(line: number): TermIndex {
    const { index } = this;
    while (index.lastLine < line) this.#addToIndex(Math.min(line, index.lastLine + INDEX_BATCH));
    return index;
  }

  save(): void {
    this.contributionLog.save();
    this.#index?.flush();
  }

  close(): void {
    this.#index?.close();
    this.blocks.close();
    this.marks.close();
    this.log.close();
  }

  *#seal(index: TermIndex): Steps<void> {
    try {
      yield* index.seal();
    } catch (error) {
      this.#sealFromMs = this.#services.now() + SEAL_AGAIN_MS;
      throw error;
    }
  }

  async #mapHere(whole: number): Promise<void> {
    let due = this.#services.now() + SLICE_MS;
    while (this.blocks.count < whole) {
      const first = this.blocks.count * BLOCK_LINES + 1;
      this.blocks.append([mapWhole(this.lines.range(first, first + BLOCK_LINES - 1))]);
      if (this.#services.now() < due) continue;
      await nextTurn();
      due = this.#services.now() + SLICE_MS;
    }
  }

  #addToIndex(through: number): void {
    const docs: SearchDoc[] = [];
    for (let line = this.index.lastLine + 1; line <= through; line++) {
      const doc = searchDoc(this.lines.at(line));
      if (doc !== undefined) docs.push(doc);
    }
    this.index.add(docs, through);
  }

  /** Cold: block records and segments of the index in parallel, each line read once where both are missing. */
  async #mapMany(whole: number, beside: () => Promise<void>): Promise<void> {
    const { pool } = this.#services;
    const from = this.blocks.count;
    const tasks = pool === undefined ? [] : this.#segmentTasks(whole);
    // Blocks before those: of a segment that is built again from its first line, too.
    const covered = tasks.find(({ blocks }) => blocks)?.firstLine;
    const end = covered === undefined ? whole : (covered - 1) / BLOCK_LINES;
    if (covered !== undefined || end - from >= POOL_BLOCKS)
      for (let at = from; at < end; at += TASK_BLOCKS) tasks.push(this.#task(at, Math.min(TASK_BLOCKS, end - at), true));
    tasks.sort((a, b) => a.firstLine - b.firstLine);
    // A history of one segment: its blocks are mapped here while a worker builds it.
    const [lone] = tasks;
    let failed: unknown;
    let first = beside;
    if (tasks.length === 1 && lone?.segment !== undefined && lone.blocks && (lone.firstLine - 1) / BLOCK_LINES === from) {
      tasks[0] = { ...lone, blocks: false };
      first = () => this.#mapHere(whole).catch((error: unknown) => void (failed = error));
    }
    const pending = new Map<number, MapResult['blocks']>();
    let done = 0;
    // A rebuild has stretches that only one thread can run: those run beside the others.
    let aside: Promise<void> | undefined;
    const all = tasks.reduce((lines, task) => lines + task.lines, 0);
    const run = async (task: MapTask): Promise<void> => {
      const result = pool === undefined ? mapHistory(task) : await pool.map(task);
      if (task.blocks) pending.set((task.firstLine - 1) / BLOCK_LINES, result.blocks);
      for (let next = pending.get(this.blocks.count); next !== undefined; next = pending.get(this.blocks.count)) {
        pending.delete(this.blocks.count);
        this.blocks.append(next);
      }
      done += task.lines;
      this.#progress = done / all;
      aside ??= beside().finally(() => (aside = undefined));
    };
    let next = 0;
    // All of them end before an error is told: until then the index stays closed.
    const working = Promise.allSettled(
      Array.from({ length: pool === undefined ? 1 : pool.size + 1 }, async () => {
        for (let task = tasks[next++]; task !== undefined; task = tasks[next++]) {
          await run(task);
          if (pool === undefined) await nextTurn();
        }
      }),
    );
    if (tasks.length > 0) aside ??= first().finally(() => (aside = undefined));
    const ends = await working;
    await aside;
    for (const ended of ends) if (ended.status === 'rejected') throw ended.reason;
    if (failed !== undefined) throw failed;
  }

  /** Segments of which so much is missing that they are built apart, from their first line. The index is closed meanwhile. */
  #segmentTasks(whole: number): MapTask[] {
    const through = whole * BLOCK_LINES;
    if (through < APART_LINES || through - this.index.lastLine < APART_LINES) return [];
    const first = segmentOfLine(this.index.lastLine + 1);
    this.index.close();
    this.#index = undefined;
    const tasks: MapTask[] = [];
    const directory = join(this.#cache, 'recall');
    for (let number = first; number * SEGMENT_LINES < through; number += 1) {
      const block = (number * SEGMENT_LINES) / BLOCK_LINES;
      const task = this.#task(block, Math.min(SEGMENT_LINES / BLOCK_LINES, whole - block), block >= this.blocks.count);
      const mark = this.marks.ofLine(task.firstLine + task.lines - 1) ?? '';
      tasks.push({ ...task, segment: { directory, number, mark } });
    }
    return tasks;
  }

  #task(first: number, count: number, blocks: boolean): MapTask {
    const firstLine = first * BLOCK_LINES + 1;
    const lines = count * BLOCK_LINES;
    const start = this.messages.offsetOfLine(firstLine);
    const end = this.messages.offsetOfLine(firstLine + lines);
    return { firstLine, lines, blocks, extents: this.messages.extents(start, end) };
  }
}

/** A line as people read it in a search result. */
export function excerptOf(message: MessageLine, limit = 240): string {
  const text = (searchDoc(message)?.text ?? '').replace(/\s+/g, ' ').trim();
  return text.length <= limit ? text : `${text.slice(0, limit)}...`;
}
