// The pack of one session as it runs: finds the cell, folds forward, keeps the epoch's growing files.
// After one append the work is that of the append; after a long pause at most one cell is folded, whatever the history.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Steps } from '../abi/steps.ts';
import { CtxError } from '../abi/errors.ts';
import { PackFold } from '../context/pack-fold.ts';
import { startEpoch } from '../context/pack-epoch.ts';
import type { Epoch, LeftOut } from '../context/pack-epoch.ts';
import { cellBytes, readPackPolicy } from '../context/pack-policy.ts';
import { ENGINE } from '../context/policy.ts';
import type { PackPolicy } from '../context/pack-policy.ts';
import { MEMORY_CHOICE } from '../context/memory-choice.ts';
import type { ChildResult, PackSource, PinnedFile, StreamPosition } from '../context/pack-source.ts';
import { recallFrom, RecallMemory } from '../context/pack-search.ts';
import { packTrailer, packHead } from '../context/pack-json.ts';
import type { Content } from '../derive/types.ts';
import { BLOCK_LINES } from '../context/types.ts';
import type { MessageLine } from '../context/types.ts';
import { readThesaurus } from '../search/thesaurus.ts';
import { CountPending } from '../tokens/pending.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { cellAt, cellNumber, GRID_REASON, ResetScan } from './grid.ts';
import type { Cell } from './grid.ts';
import { affectsPrefix, ENGINE_TOKENIZER, UNPACKED } from './input-watch.ts';
import { EpochNames, GrowingFile } from './output-files.ts';
import type { BlobFiles } from './output-files.ts';
import { recordedMemory } from './recorded-memory.ts';
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

interface EpochFiles {
  readonly json: GrowingFile;
  readonly md: GrowingFile;
  readonly prompt: GrowingFile;
  readonly prefix: string;
  items: number;
  messages: number;
  /** Somebody may still read them. */
  served: boolean;
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
  readonly #identity: PackIdentity;
  readonly #names: EpochNames;
  readonly #blobs: BlobFiles;
  readonly resets: ResetScan = new ResetScan();
  /** With its answers, folding an epoch again asks the index nothing. */
  readonly recalled: RecallMemory = new RecallMemory();
  readonly #lost: Map<string, LeftOut> = new Map();
  /** INP-5. */
  #unpacked: readonly LeftOut[] = [];
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
    this.#identity = identity;
    this.#names = new EpochNames(directory);
    this.#blobs = blobs;
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
    const files = this.#files;
    return files === undefined || (files.json.intact && files.md.intact && files.prompt.intact);
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
    const source = this.#fold !== undefined && this.#cell?.resetIndex === resetIndex ? this.#fold.source : this.#sourceAt(resetIndex);
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
      this.#giveUpFiles();
      this.reset();
      throw error;
    }
  }

  content(name: 'pack.json' | 'pack.md' | 'prompt.json'): Content {
    const fold = this.#fold as PackFold;
    const files = this.#files as EpochFiles;
    this.#drain();
    files.served = true;
    const modified = this.#modifiedMs;
    if (name === 'pack.md') return files.md.content('', this.#blobs, modified);
    if (name === 'prompt.json') return files.prompt.content(files.messages === 0 ? '[]\n' : '\n]\n', this.#blobs, modified);
    return files.json.content(packTrailer(fold, [...this.#unpacked, ...this.#lost.values()]), this.#blobs, modified);
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
    const recall = this.#recallWith(source.counter, new RecallMemory());
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
      const sizeBytes = cellBytes(this.#sourceAt(resetIndex).policy);
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
        PackFold.begin(source, start, usable ? resume.reason : cell.reason, (epoch) => this.#onEpoch(epoch)),
        yields,
      );
    } catch (error) {
      this.#giveUpFiles();
      this.#resume = resume;
      throw error;
    }
  }

  #onEpoch(epoch: Epoch): void {
    // Only this epoch is ever folded again: answers of those before are asked for no more.
    if (epoch.start !== this.#resumedAt) this.recalled.keep(ANSWERS_OF_A_START);
    this.#closeFiles();
    const prefix = this.#names.take();
    this.#files = {
      json: new GrowingFile(`${prefix}.json`),
      md: new GrowingFile(`${prefix}.md`),
      prompt: new GrowingFile(`${prefix}.prompt`),
      prefix,
      items: 0,
      messages: 0,
      served: false,
    };
    this.#files.json.append(packHead(this.#identity.session, this.#identity.agent, this.#budget()));
    this.#mark = { resetIndex: this.#cell?.resetIndex ?? -1, cell: this.#cell?.number ?? 0, position: epoch.start, reason: epoch.reason };
    this.#take(epoch);
  }

  #budget(): number {
    const budget = this.#policyNow.budgetTokens;
    return budget === Infinity ? 0 : budget;
  }

  #policyNow: PackPolicy = readPackPolicy(undefined, undefined);

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
        const child = record.digest === undefined ? undefined : this.#child(record.path, record.digest);
        const position = { line: record.messageLines, eventLine: record.eventLines, order: index + 1 };
        if (child !== undefined) await this.#inSlices(fold.child(position, child), yields);
      }
      fold.skip({ line: record.messageLines, eventLine: record.eventLines, order: index + 1 });
    }
    this.#drain();
  }

  #drain(): void {
    const epoch = this.#fold?.epoch;
    if (epoch !== undefined) this.#take(epoch);
  }

  #take(epoch: Epoch): void {
    const files = this.#files as EpochFiles;
    const fragment = epoch.text.take();
    for (const item of fragment.items) files.json.append(files.items++ === 0 ? `\n${item}` : `,\n${item}`);
    for (const md of fragment.md) files.md.append(md);
    for (const message of fragment.prompt) files.prompt.append(files.messages++ === 0 ? `[\n${message}` : `,\n${message}`);
  }

  /** A fold that is begun again for every count that it waits for would push out the files that are read. */
  #giveUpFiles(): void {
    const files = this.#files;
    this.#closeFiles();
    if (files?.served === false) this.#names.giveBack(files.prefix);
  }

  #closeFiles(): void {
    if (this.#files === undefined) return;
    this.#files.json.close();
    this.#files.md.close();
    this.#files.prompt.close();
    this.#files = undefined;
  }

  #child(path: string, digest: string): ChildResult | undefined {
    const kind = path.endsWith('/result.md') ? 'child_result' : path.endsWith('/refs.jsonl') ? 'child_refs' : undefined;
    if (kind === undefined || !path.startsWith('context/child/')) return undefined;
    const text = this.#input(path, digest);
    return text === undefined ? undefined : { path, kind, digest, text };
  }

  /** INP-3: what is lost is left out by name, and fails no read. */
  #input(path: string, digest: string): string | undefined {
    const text = this.#history.input(path, digest)?.toString('utf8');
    if (text === undefined) this.#lost.set(path, { source: path, reason: 'its recorded bytes are damaged, and the file has others now' });
    else this.#lost.delete(path);
    return text;
  }

  #sourceAt(resetIndex: number): PackSource {
    const history = this.#history;
    const { log } = history;
    const inputs = log.inputsAsOf(resetIndex + 1);
    const text = (path: string): string | undefined => {
      const digest = inputs.get(path);
      return digest === undefined ? undefined : this.#input(path, digest);
    };
    this.#unpacked = unpackedFiles(text(UNPACKED));
    const policy = readPackPolicy(text('context/budget'), text('context/policy.yaml'));
    this.#policyNow = policy;
    const counter =
      policy.tokenizer === ENGINE
        ? this.#engineCounter(text(ENGINE_TOKENIZER), policy.remoteAllowed)
        : this.#services.counter(policy.tokenizer);
    const pinned: PinnedFile[] = [...inputs.keys()]
      .filter((path) => path.startsWith('context/pinned/') && path !== UNPACKED)
      .sort((a, b) => (a < b ? -1 : 1))
      .map((path) => ({ path, digest: inputs.get(path) as string, text: text(path) }))
      .filter((file): file is PinnedFile => file.text !== undefined);
    return {
      counter,
      policy,
      pinned,
      toolsJson: text('context/tools.json'),
      message: (line) => history.lines.at(line),
      lastUserLine: (line) => history.lastUserLine(line),
      section: (kind, cut, position, limitBytes) => this.#folds.text(kind, cut, position, limitBytes),
      eventDigest: (eventLine) => history.eventDigest(eventLine),
      children: (position) => {
        const asOf = log.inputsAsOf(position.order);
        return [...asOf.keys()]
          .sort((a, b) => (a < b ? -1 : 1))
          .map((path) => this.#child(path, asOf.get(path) as string))
          .filter((child) => child !== undefined);
      },
      memory: (position) => recordedMemory(history, position.order),
      recall: this.#recallWith(counter, this.recalled),
    };
  }

  /** Throws where it cannot count: never another tokenizer instead. */
  #engineCounter(recorded: string | undefined, remoteAllowed: boolean): TokenCounter {
    const { engine } = this.#services;
    if (engine === undefined)
      throw new CtxError('tokens.engine', 'ENODEV', 'there is no engine here', {
        where: 'tokenizer: engine',
        next: 'read the pack through a mount with a model, or name another tokenizer in context/policy.yaml',
      });
    // Nothing is recorded while the engine cannot be asked: it says why.
    return engine.counter(recorded === undefined ? engine.digest(remoteAllowed) : recorded.trim(), remoteAllowed);
  }

  #recallWith(counter: TokenCounter, memory: RecallMemory): PackSource['recall'] {
    const { lines } = this.#history;
    return (query, cut, limitTokens, except) =>
      recallFrom(
        { index: this.#history.indexThrough(cut - 1), message: (line) => lines.near(line), memory },
        counter,
        query,
        cut,
        limitTokens,
        except,
      );
  }
}

function unpackedFiles(text: string | undefined): readonly LeftOut[] {
  const lines = (text ?? '').split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [source, reason] = JSON.parse(line) as [string, string];
    return { source, reason };
  });
}
