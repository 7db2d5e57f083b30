// CMP: a model as a contributor. It reads bounded pieces of history and what it writes becomes events; originals are not touched,
// what was recorded before is neither repeated nor taken back, and the same history is never paid for twice.
import { CtxError } from '../../abi/errors.ts';
import type { EngineDriver, GenerateOutcome, Prompt } from '../types.ts';
import { askModel, UNITS_A_TOKEN } from '../ask.ts';
import { blockDigest, BLOCK_MESSAGES, cutBlock, rangeOf, type CompactBlock, type MessageSource } from './blocks.ts';
import { EXTRACTION_SCHEMA, extractionPrompt, oneLine, readExtraction, type Dropped } from './extraction.ts';
import { coverOf, MERGE_SCHEMA, mergeDigest, mergePrompt, summaryText, type SummaryNode } from './summaries.ts';

type Event = Readonly<Record<string, unknown>>;

/** Marks one piece of work as done: `digest` of what was read, `source`, `level`, `summary`, `model`. */
export const COMPACT_EVENT = 'context.compact';
/** A run of the daemon's that came to nothing: `code`, `reason`, `model`. No derived file shows it. */
export const COMPACT_FAILED_EVENT = 'context.compact_failed';
const OUTPUT_TOKENS = 3072;
const MOST_SUMMARY_BYTES = 24 * 1024;

export interface CompactJob {
  readonly driver: EngineDriver;
  /** `provider/name`, kept as provenance. */
  readonly model: string;
  /** All messages of the session, in order: an array, or what reads them when asked. */
  readonly messages: MessageSource;
  /** All events of the session, in order: what was done before, and by whom. */
  readonly events: readonly Event[];
  /** Events that were recorded since `events`, or since it was asked last: another run may have done the same work. */
  readonly since?: () => Promise<readonly Event[]>;
  readonly maxInputTokens: number;
  /** Also the messages after the last whole block. */
  readonly open: boolean;
  /** Blocks that are read at most; default: all. */
  readonly mostBlocks?: number;
  /** Records events, in order, durably enough that what follows may rely on them. */
  readonly append: (events: readonly Event[]) => Promise<void>;
  readonly onProgress: (doneMessages: number, messages: number) => void;
  readonly signal: AbortSignal;
}

export interface CompactReport {
  /** Pieces that were read now. */
  readonly blocks: number;
  readonly merges: number;
  readonly recorded: { readonly facts: number; readonly decisions: number; readonly todo: number; readonly summary: boolean };
  readonly dropped: readonly Dropped[];
  /** Messages that wait for a whole block. */
  readonly waiting: number;
  /** Messages of whole blocks that are left for another run. */
  readonly left: number;
  /** What was left undone, and why. */
  readonly notes: readonly string[];
}

export async function compact(job: CompactJob): Promise<CompactReport> {
  const run = new Run(job);
  await run.blocks();
  await run.summary();
  return run.report();
}

class Run {
  readonly #job: CompactJob;
  readonly #known: Set<string>;
  readonly #kept: Map<string, SummaryNode> = new Map();
  readonly #nodes: SummaryNode[] = [];
  readonly #dropped: Dropped[] = [];
  readonly #notes: string[] = [];
  readonly #recorded = { facts: 0, decisions: 0, todo: 0, summary: false };
  #blocks = 0;
  #merges = 0;
  #waiting = 0;
  #left = 0;
  #events: Event[];

  constructor(job: CompactJob) {
    this.#job = job;
    this.#known = new Set();
    this.#events = [];
    this.#learn(job.events);
  }

  #learn(events: readonly Event[]): void {
    for (const event of events) {
      this.#events.push(event);
      const statement = statementOf(event);
      if (statement !== undefined) this.#known.add(statement);
      const node = nodeOf(event);
      if (node !== undefined) this.#kept.set(node.digest, node);
    }
  }

  /** CMP-2: what another run recorded meanwhile is as good as ours. */
  async #catchUp(): Promise<void> {
    if (this.#job.since !== undefined) this.#learn(await this.#job.since());
  }

  async blocks(): Promise<void> {
    const { messages, open, mostBlocks = Infinity } = this.#job;
    let at = await this.#resume();
    while (at < messages.length) {
      const block = await this.#fitting(at);
      if (block.open && !open) {
        this.#waiting = messages.length - at;
        break;
      }
      if (this.#blocks >= mostBlocks) {
        this.#left = messages.length - at;
        break;
      }
      await this.#catchUp();
      const known = this.#kept.get(block.digest);
      this.#nodes.push(known ?? (await this.#read(block)));
      at += block.messages.length;
      this.#job.onProgress(at, messages.length);
    }
  }

  /**
   * What whole blocks were read before, for as long as history is what it was: work goes on after them. Two histories that
   * differ (a fork's and its parent's) differ from some message on: the last mark that still fits says that those before do.
   */
  async #resume(): Promise<number> {
    const { messages } = this.#job;
    const byFirst = new Map([...this.#kept.values()].filter(({ level }) => level === 0).map((node) => [node.first, node]));
    const chain: SummaryNode[] = [];
    for (let node = byFirst.get(1); node !== undefined && node.last <= messages.length; node = byFirst.get(node.last + 1)) chain.push(node);
    while (chain.length > 0 && !(await this.#stands(chain.at(-1) as SummaryNode))) chain.pop();
    this.#nodes.push(...chain);
    return chain.at(-1)?.last ?? 0;
  }

  async #stands(node: SummaryNode): Promise<boolean> {
    const { messages } = this.#job;
    const read = await messages.slice(node.first - 1, node.last);
    if (read.length > BLOCK_MESSAGES || blockDigest(read) !== node.digest) return false;
    // A block that was cut where the history ended is read again once it has grown.
    return !(this.#wasOpen(node) && (await cutBlock(messages, node.first - 1, Infinity)).messages.length > read.length);
  }

  #wasOpen({ digest }: SummaryNode): boolean {
    return this.#events.some((event) => event['type'] === COMPACT_EVENT && event['digest'] === digest && event['open'] === true);
  }

  /** The next block that the model can take in: counted by its own tokenizer, where there is one. */
  async #fitting(at: number): Promise<CompactBlock> {
    const { driver, maxInputTokens, messages } = this.#job;
    const { contextTokens } = await driver.describe();
    const room = Math.min(maxInputTokens, contextTokens - OUTPUT_TOKENS);
    if (room < 512) {
      throw new CtxError(
        'compact.context',
        'EMSGSIZE',
        `the model's context of ${contextTokens} tokens is too small to sum up a conversation`,
        {
          where: this.#job.model,
          next: 'give the model a larger context (ctx model add --context)',
        },
      );
    }
    for (let units = room * 4; ; units = Math.floor(units / 2)) {
      const block = await cutBlock(messages, at, units);
      const prompt = extractionPrompt(block);
      const tokens = (await driver.tokenize(prompt, true))?.length ?? unitsOf(prompt) / UNITS_A_TOKEN;
      if (tokens <= room || block.messages.length === 1) return { ...block, open: block.open && tokens <= room };
    }
  }

  async #read(block: CompactBlock): Promise<SummaryNode> {
    const answer = await this.#ask(extractionPrompt(block), EXTRACTION_SCHEMA);
    await this.#catchUp();
    const done = this.#kept.get(block.digest);
    if (done !== undefined) return done;
    const source = rangeOf(block.messages);
    const found = readExtraction(answer.text, block, this.#job.model);
    if (found === undefined) {
      throw this.#unusable(`the model gave no usable answer about ${source} (${answer.stop}, ${answer.generatedTokens} tokens)`);
    }
    const fresh = found.events.filter((event) => !this.#known.has(statementOf(event) ?? ''));
    for (const event of fresh) {
      this.#known.add(statementOf(event) ?? '');
      this.#recorded[event['type'] === 'context.fact' ? 'facts' : event['type'] === 'context.decision' ? 'decisions' : 'todo'] += 1;
    }
    this.#dropped.push(...found.dropped);
    this.#blocks += 1;
    // The mark comes last: what a crash leaves without it is found again, and known by its ids.
    const { mark, node } = this.#mark(block.digest, source, 0, found.summary);
    await this.#job.append([...fresh, { ...mark, ...(block.open ? { open: true } : {}), dropped: found.dropped.length }]);
    return node;
  }

  async #merge(nodes: readonly SummaryNode[]): Promise<SummaryNode | undefined> {
    const digest = mergeDigest(nodes);
    const kept = this.#kept.get(digest);
    if (kept !== undefined) return kept;
    const answer = await this.#ask(mergePrompt(nodes), MERGE_SCHEMA);
    const text = mergedText(answer.text);
    const source = `messages:${nodes[0]?.first}-${nodes.at(-1)?.last}`;
    if (text === undefined) {
      this.#notes.push(`the summaries of ${source} were not joined: no usable answer`);
      return undefined;
    }
    this.#merges += 1;
    const { mark, node } = this.#mark(digest, source, (nodes[0]?.level ?? 0) + 1, text);
    await this.#job.append([mark]);
    return node;
  }

  async summary(): Promise<void> {
    const last = this.#nodes.at(-1);
    if (last === undefined) return;
    await this.#catchUp();
    const written = this.#events.findLast(({ type }) => type === 'context.summary');
    if (written !== undefined && written['compact'] === undefined) {
      this.#notes.push('summary.md was written by somebody: it stays as it is');
      return;
    }
    const content = summaryText(await coverOf(this.#nodes, (nodes) => this.#merge(nodes)));
    if (written?.['content'] === content) return;
    if (Buffer.byteLength(content) > MOST_SUMMARY_BYTES) {
      this.#notes.push('the summary is too long for summary.md: it stays as it is');
      return;
    }
    await this.#job.append([
      { type: 'context.summary', content, source: `messages:1-${last.last}`, model: this.#job.model, compact: last.digest },
    ]);
    this.#recorded.summary = true;
  }

  report(): CompactReport {
    return {
      blocks: this.#blocks,
      merges: this.#merges,
      recorded: this.#recorded,
      dropped: this.#dropped,
      waiting: this.#waiting,
      left: this.#left,
      notes: this.#notes,
    };
  }

  #mark(digest: string, source: string, level: number, summary: string): { readonly mark: Event; readonly node: SummaryNode } {
    const mark = { type: COMPACT_EVENT, digest, source, level, summary, model: this.#job.model };
    const node = nodeOf(mark) as SummaryNode;
    this.#kept.set(digest, node);
    return { mark, node };
  }

  #ask(prompt: Prompt, schema: object): Promise<GenerateOutcome> {
    const { driver, signal } = this.#job;
    return askModel(driver, { prompt, schema, maxTokens: OUTPUT_TOKENS, signal }, (units) =>
      this.#unusable(`its answer is longer than ${units} characters`),
    );
  }

  #unusable(what: string): CtxError {
    return new CtxError('compact.answer', 'EIO', what, {
      where: this.#job.model,
      next: 'what was recorded before stays; try again, or use another model',
    });
  }
}

function nodeOf(event: Event): SummaryNode | undefined {
  const { type, digest, source, level, summary } = event;
  const range = typeof source === 'string' ? /^messages:([0-9]+)-([0-9]+)$/.exec(source) : null;
  if (type !== COMPACT_EVENT || range === null || typeof digest !== 'string' || typeof level !== 'number' || typeof summary !== 'string')
    return undefined;
  return { first: Number(range[1]), last: Number(range[2]), level, digest, text: summary };
}

/** What makes two contributions one statement; also of people's own, and of those that were retracted since. */
function statementOf({ type, text, decision, id, done }: Event): string | undefined {
  if (type === 'context.fact' || type === 'context.decision') return `${type} ${oneLine(String(text ?? decision ?? id)).toLowerCase()}`;
  return type === 'context.todo' && typeof text === 'string' ? `${type} ${done === true} ${oneLine(text).toLowerCase()}` : undefined;
}

function mergedText(answer: string): string | undefined {
  try {
    const { summary } = JSON.parse(answer) as { summary?: unknown };
    return typeof summary === 'string' && summary.trim() !== '' ? oneLine(summary) : undefined;
  } catch {
    return undefined;
  }
}

function unitsOf({ messages }: Prompt): number {
  return messages.reduce((sum, { content }) => sum + String(content).length, 0);
}
