// The pack of one session as it runs: finds the cell, folds forward, keeps the epoch's growing files.
// After one append the work is that of the append; after a long pause at most one cell is folded, whatever the history.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Steps } from '../abi/steps.ts';
import { PackFold } from '../context/pack-fold.ts';
import { startEpoch } from '../context/pack-epoch.ts';
import type { Epoch } from '../context/pack-epoch.ts';
import { cellBytes } from '../context/pack-policy.ts';
import type { PackPolicy } from '../context/pack-policy.ts';
import { MEMORY_CHOICE } from '../context/memory-choice.ts';
import type { PackSource, StreamPosition } from '../context/pack-source.ts';
import { RecallMemory } from '../context/pack-search.ts';
import { packTrailer, packHead } from '../context/pack-json.ts';
import type { Content } from '../derive/types.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { MessageLine } from '../context/types.ts';
import { readThesaurus } from '../search/thesaurus.ts';
import { CountPending } from '../tokens/pending.ts';
import { EpochFiles } from './epoch-files.ts';
import { cellAt, cellNumber, GRID_REASON, ResetScan } from './grid.ts';
import type { Cell } from './grid.ts';
import { affectsPrefix } from './input-watch.ts';
import { EpochNames } from './output-files.ts';
import type { BlobFiles } from './output-files.ts';
import { PackInputs } from './pack-inputs.ts';
import type { SectionFolds } from './section-folds.ts';
import { SLICE_MS } from './session-history.ts';
import type { SessionHistory } from './session-history.ts';
import type { DeriverServices } from './services.ts';

/** Questions that one epoch's start may ask: what is tried first has recall, and so has a partial message. */
const ANSWERS_OF_A_START = 4;
/** As many as it takes until the code is compiled, in so many lines at most. */
const PRACTICE_QUESTIONS = 24;
const PRACTICE_LINES = 512;

export interface EpochMark {
  readonly resetIndex: number;
  readonly cell: number;
  readonly position: StreamPosition;
  readonly reason: string;
}

export interface PackIdentity {
  readonly session: string;
  readonly agent: string;
}

/** What changed between two versions of the pack, as one sentence. */
export function packChange(was: string, is: string, reason: string): string {
  const [before, after] = [was.split(' '), is.split(' ')] as const;
  if (was === '' || before[0] !== after[0]) return `a new epoch began at message ${after[0]?.split('/')[3]}: ${reason}`;
  const added = Number(after[1]) - Number(before[1]);
  if (added > 0) return `${added} item${added === 1 ? ' was' : 's were'} appended to the ${before[1]} of this epoch`;
  return 'a message without text was appended';
}

export class PackRun {
  readonly #history: SessionHistory;
  readonly #folds: SectionFolds;
  readonly #services: DeriverServices;
  readonly #inputs: PackInputs;
  readonly #identity: PackIdentity;
  readonly #names: EpochNames;
  readonly #blobs: BlobFiles;
  readonly resets: ResetScan = new ResetScan();
  #cell: Cell | undefined;
  #cellBytes = Infinity;
  #resetBytes = 0;
  #fold: PackFold | undefined;
  #files: EpochFiles | undefined;
  #mark: EpochMark | undefined;
  #resume: EpochMark | undefined;
  #resumedAt: StreamPosition | undefined;
  #due = 0;
  #modifiedMs = 0;
  /** The message after which an epoch's start was foreseen last. */
  #foreseen = 0;

  constructor(
    history: SessionHistory,
    folds: SectionFolds,
    services: DeriverServices,
    identity: PackIdentity,
    directory: string,
    blobs: BlobFiles,
  ) {
    this.#history = history;
    this.#folds = folds;
    this.#services = services;
    this.#inputs = new PackInputs(history, folds, services);
    this.#identity = identity;
    this.#names = new EpochNames(directory);
    this.#blobs = blobs;
  }

  get recalled(): RecallMemory {
    return this.#inputs.recalled;
  }

  /** Where the current epoch began: enough, with the section states, to fold it again. */
  get mark(): EpochMark | undefined {
    return this.#mark;
  }

  /** An epoch of an earlier run: used when it lies in the cell that is asked for. */
  resumeAt(mark: EpochMark): void {
    this.#resume = mark;
  }

  get epoch(): Epoch | undefined {
    return this.#fold?.epoch;
  }

  get position(): StreamPosition | undefined {
    return this.#fold?.position;
  }

  get policy(): PackPolicy | undefined {
    return this.#fold?.source.policy;
  }

  /** Changes whenever a byte of the pack's files does. */
  get version(): string {
    const fold = this.#fold;
    if (fold === undefined) return '';
    const { epoch } = fold;
    return `${this.#cell?.resetIndex}/${this.#cell?.number}/${epoch.start.order}/${epoch.start.line}/${epoch.start.eventLine} ${epoch.text.itemCount} ${epoch.text.chain.slice(0, 16)} ${epoch.leftOut.length} ${fold.stableTokens}`;
  }

  /** False when someone deleted the epoch's files. */
  get intact(): boolean {
    return this.#files?.intact !== false;
  }

  /** Forgets the fold (its files are gone, say); the next advance folds the cell again. */
  reset(): void {
    this.#fold = undefined;
    this.#cell = undefined;
    this.#closeFiles();
    if (this.#mark !== undefined) this.#resume = this.#mark;
  }

  /** Folds everything below order-log record `length` (messages up to `lastLine` only). Gives way every few milliseconds. */
  async advance(length: number, yields: boolean = true, lastLine: number = Infinity): Promise<void> {
    const { log, messages } = this.#history;
    const lines = Math.min(lastLine, length === 0 ? 0 : log.at(length - 1).messageLines);
    const resetIndex = this.resets.last(log, length);
    const source =
      this.#fold !== undefined && this.#cell?.resetIndex === resetIndex ? this.#fold.source : this.#inputs.sourceAt(resetIndex);
    await source.counter.ready?.();
    const cell = cellAt(log, messages, resetIndex, lines, cellBytes(source.policy));
    if (yields) await this.#approach(cell, cellBytes(source.policy));
    const current = this.#cell;
    if (this.#fold === undefined || current === undefined || current.resetIndex !== cell.resetIndex || current.number !== cell.number)
      await this.#begin(cell, source, length, yields);
    try {
      await this.#forward(length, yields, lastLine);
    } catch (error) {
      // The fold may have stopped half way through a message.
      this.#files?.giveUp();
      this.#files = undefined;
      this.reset();
      throw error;
    }
  }

  content(name: 'pack.json' | 'pack.md' | 'prompt.json'): Content {
    const fold = this.#fold as PackFold;
    this.#drain();
    return (this.#files as EpochFiles).content(name, () => packTrailer(fold, this.#inputs.leftOut), this.#modifiedMs);
  }

  /**
   * Folds the newest lines once more, in a fold that nobody sees: so that the thesaurus is there, blocks of the index are read
   * and the code is compiled before somebody waits for the first of them. It shows sections from this epoch on: they are not
   * folded back.
   */
  *practise(): Steps<void> {
    const fold = this.#fold;
    if (fold === undefined || fold.source.policy.budgetTokens === Infinity) return;
    const { source, position } = fold;
    const { cut } = fold.epoch;
    if (cut < 2) return;
    yield* readThesaurus();
    let first = position.line;
    for (let questions = 0; questions < PRACTICE_QUESTIONS; questions += 1) {
      const user = this.#history.lastUserLine(first - 1);
      if (user < 1 || position.line - user > PRACTICE_LINES) break;
      first = user;
    }
    // What is learnt here is thrown away: the index may be closed in between.
    const recall = this.#inputs.recallWith(source.counter, new RecallMemory());
    const { section, children } = source;
    const span = position.line + 1 - cut;
    const practice: PackSource = {
      ...source,
      recall,
      section: (kind, at, _position, limitBytes) => section(kind, cut + (at % span), position, limitBytes),
      children: () => children(position),
    };
    const again = yield* PackFold.begin(practice, { ...position, line: first }, 'practice', () => undefined);
    for (let line = first + 1; line <= position.line; line += 1) {
      yield;
      yield* again.message({ ...position, line });
    }
  }

  /**
   * What the start of the next epoch needs beside its question, made and thrown away: sections and counts are remembered by all
   * that they follow from, so what is asked for later is the same, and sooner there. Undefined where the next message is not
   * likely to begin an epoch. The question is taken to be as long as the one before it.
   */
  foresee(): Steps<void> | undefined {
    const fold = this.#fold;
    if (fold === undefined || fold.source.policy.budgetTokens === Infinity) return undefined;
    const { source, position, epoch } = fold;
    if (position.line === this.#foreseen || position.line < 1) return undefined;
    const cell = cellNumber(this.#history.messages.offsetOfLine(position.line + 1), this.#resetBytes, this.#cellBytes);
    const newCell = cell !== this.#cell?.number;
    // A person speaks when the model has answered without a call.
    const { role, toolCalls } = source.message(position.line).view;
    if (!newCell && (role !== 'assistant' || toolCalls.length > 0)) return undefined;
    const user = source.lastUserLine(position.line);
    if (user === 0) return undefined;
    const { packTokens, promptTokens } = epoch.text.totals;
    const room = source.policy.budgetTokens - Math.max(packTokens, promptTokens);
    const asked = source.message(user);
    if (!newCell && room - source.counter.count(asked.view.text) >= source.policy.recallTokens) return undefined;
    this.#foreseen = position.line;
    return this.#foreseeEpoch(source, position, asked);
  }

  *#foreseeEpoch(source: PackSource, position: StreamPosition, asked: MessageLine): Steps<void> {
    const next = position.line + 1;
    const foreseen: PackSource = {
      ...source,
      message: (line) => (line === next ? { ...asked, line } : source.message(line)),
      lastUserLine: (line) => (line >= next ? next : source.lastUserLine(line)),
      *recall() {
        yield;
        return { picks: [], next: [] };
      },
    };
    const { cut } = yield* startEpoch(foreseen, { ...position, line: next }, 'foreseen');
    yield;
    if (cut > 1) this.#history.indexThrough(Math.min(cut, next) - 1);
  }

  close(): void {
    this.#closeFiles();
  }

  /** While history is being mapped: folds the blocks there are, as far as the pack of all that is recorded allows. Never fails. */
  async ahead(): Promise<void> {
    const { log, messages } = this.#history;
    try {
      const resetIndex = this.resets.last(log, log.length);
      const sizeBytes = cellBytes(this.#inputs.sourceAt(resetIndex).policy);
      await this.#approach(cellAt(log, messages, resetIndex, messages.lines, sizeBytes), sizeBytes);
    } catch (error) {
      // It only saves time: whoever asks for the pack hears of it.
      if (!(error instanceof CountPending)) this.#services.log(`pack.ahead: ${String(error)}`);
    }
  }

  /** Brings the sections' folds near a new cell in slices: far enough back that its cut cannot lie before. */
  async #approach(cell: Cell, sizeBytes: number): Promise<void> {
    const { messages } = this.#history;
    if (sizeBytes === Infinity || cell.start.line < 2) return;
    const back = messages.offsetOfLine(cell.start.line) - Math.ceil(sizeBytes / 2);
    if (back <= 0) return;
    const whole = Math.min(Math.floor((messages.lineOfOffset(back) - 1) / BLOCK_LINES), this.#history.blocks.count);
    await this.#folds.approach(whole, SLICE_MS, this.#services.now);
  }

  async #begin(cell: Cell, source: PackSource, length: number, yields: boolean): Promise<void> {
    this.#fold = undefined;
    this.#cell = cell;
    this.#cellBytes = cellBytes(source.policy);
    this.#resetBytes = cell.resetIndex < 0 ? 0 : this.#history.log.at(cell.resetIndex).messagesEnd;
    const resume = this.#resume;
    this.#resume = undefined;
    const usable =
      resume !== undefined && resume.resetIndex === cell.resetIndex && resume.cell === cell.number && resume.position.order <= length;
    const start = usable ? resume.position : cell.start;
    this.#resumedAt = usable ? start : undefined;
    this.#due = this.#services.now() + SLICE_MS;
    try {
      this.#fold = await this.#inSlices(
        PackFold.begin(source, start, usable ? resume.reason : cell.reason, (epoch) => this.#onEpoch(epoch, source.policy)),
        yields,
      );
    } catch (error) {
      this.#files?.giveUp();
      this.#files = undefined;
      this.#resume = resume;
      throw error;
    }
  }

  #onEpoch(epoch: Epoch, policy: PackPolicy): void {
    // Only this epoch is ever folded again: answers of those before are asked for no more.
    if (epoch.start !== this.#resumedAt) this.recalled.keep(ANSWERS_OF_A_START);
    this.#closeFiles();
    const head = packHead(this.#identity.session, this.#identity.agent, policy.budgetTokens === Infinity ? 0 : policy.budgetTokens);
    this.#files = new EpochFiles(this.#names, this.#blobs, head);
    this.#mark = { resetIndex: this.#cell?.resetIndex ?? -1, cell: this.#cell?.number ?? 0, position: epoch.start, reason: epoch.reason };
    this.#files.take(epoch);
  }

  /** Others have their turn every few milliseconds, also in the middle of a message: an epoch's start takes several slices. */
  async #inSlices<T>(steps: Steps<T>, yields: boolean): Promise<T> {
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
      if (yields) await this.#giveWay();
    }
  }

  async #giveWay(): Promise<void> {
    if (this.#services.now() < this.#due) return;
    await nextTurn();
    this.#due = this.#services.now() + SLICE_MS;
  }

  async #forward(length: number, yields: boolean, lastLine: number): Promise<void> {
    const { log, messages } = this.#history;
    const fold = this.#fold as PackFold;
    this.#due = this.#services.now() + SLICE_MS;
    while (fold.position.order < length) {
      const index = fold.position.order;
      const record = log.at(index);
      this.#modifiedMs = record.timeMs;
      if (record.kind === 'messages') {
        for (let line = fold.position.line + 1; line <= record.messageLines; line++) {
          if (line > lastLine) return this.#drain();
          const position = { line, eventLine: record.eventLines, order: index };
          const number = this.#cellBytes === Infinity ? 0 : cellNumber(messages.offsetOfLine(line), this.#resetBytes, this.#cellBytes);
          const cell = this.#cell as Cell;
          if (number !== cell.number) {
            this.#cell = { ...cell, number, reason: GRID_REASON, start: position };
            await this.#inSlices(fold.restart(position, GRID_REASON), yields);
          } else await this.#inSlices(fold.message(position), yields);
          this.#drain();
          if (yields) await this.#giveWay();
        }
      } else if (record.kind === 'events') {
        const { eventLine, line } = fold.position;
        for (const contribution of this.#history.contributionLog.between(eventLine, record.eventLines)) {
          await this.#inSlices(fold.contribution({ line, eventLine: contribution.eventLine, order: index }, contribution), yields);
        }
      } else if (record.kind === 'input' && record.path === MEMORY_CHOICE) {
        const position = { line: fold.position.line, eventLine: record.eventLines, order: index + 1 };
        await this.#inSlices(fold.memory(position), yields);
      } else if (record.kind === 'input' && !affectsPrefix(record.path)) {
        const child = record.digest === undefined ? undefined : this.#inputs.child(record.path, record.digest);
        const position = { line: record.messageLines, eventLine: record.eventLines, order: index + 1 };
        if (child !== undefined) await this.#inSlices(fold.child(position, child), yields);
      }
      fold.skip({ line: record.messageLines, eventLine: record.eventLines, order: index + 1 });
    }
    this.#drain();
  }

  #drain(): void {
    const epoch = this.#fold?.epoch;
    if (epoch !== undefined) this.#files?.take(epoch);
  }

  #closeFiles(): void {
    this.#files?.close();
    this.#files = undefined;
  }
}
