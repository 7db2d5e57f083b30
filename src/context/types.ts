// The contract between the extractors (pure functions of src/context) and the deriver (src/session/session-deriver.ts).
//
// History is cut into fixed blocks of BLOCK_LINES messages. `mapBlock` looks at one block alone and gives a BlockRecord;
// the deriver keeps BlockRecords in an append-only cache file (so: small, plain JSON, no undefined, no tokens).
// Folds walk BlockRecords and contributions in stream order and render one derived file each. A fold's state is plain JSON
// (the deriver checkpoints it, and copies it by its fields: rows are replaced, never changed) and stays bounded at a million messages.
import type { MessageView } from '../abi/records.ts';

export const BLOCK_LINES = 64;
/** Tool outputs from this size on have an OutputRecord (dedup, swap rows). Bytes of the decoded text. */
export const OUTPUT_MIN_BYTES = 1024;
/** Any raw line from this size on has a LargeLine (a swap chunk of its own). */
export const LARGE_LINE_BYTES = 8192;
/** Todos of one block; further ones are not looked at. */
export const MAX_BLOCK_TODOS = 96;
/** Extracted items a fold keeps at most, newest win; contributions are never dropped by this bound. */
export const MAX_EXTRACTED_ITEMS = 2048;

/** One message of history. */
export interface MessageLine {
  /** 1-based line in messages.jsonl. */
  readonly line: number;
  /** The raw line with its newline. */
  readonly bytes: Buffer;
  readonly view: MessageView;
}

export interface ExtractedFact {
  readonly line: number;
  readonly text: string;
}
export interface ExtractedDecision {
  readonly line: number;
  readonly decision: string;
}
/** `done` closes the open item with the same text. `planned`: from a planning tool, which sends its whole list each time. */
export interface ExtractedTodo {
  readonly line: number;
  readonly text: string;
  readonly done: boolean;
  readonly planned?: true;
}
export interface ExtractedRef {
  readonly line: number;
  readonly path: string;
  readonly kind: 'file' | 'artifact' | 'tool_output';
  readonly summary: string;
}

/** A tool result whose text has at least OUTPUT_MIN_BYTES. */
export interface OutputRecord {
  readonly line: number;
  readonly callId: string;
  /** sha256-… of the decoded text (dedup identity; `dedup/blob/<digest>` holds that text). */
  readonly digest: string;
  /** Bytes of the decoded text. */
  readonly bytes: number;
  /** sha256-… of the raw line with its newline (`swap/chunk/<lineDigest>`). */
  readonly lineDigest: string;
  readonly lineBytes: number;
  /** One line for people: tool name and the start of the output. */
  readonly summary: string;
}

export interface LargeLine {
  readonly line: number;
  readonly digest: string;
  readonly bytes: number;
}

/** What one block of messages says. Also made for the first part of a block (fewer lines) when a position lies inside it. */
export interface BlockRecord {
  readonly firstLine: number;
  readonly lines: number;
  /** Raw bytes of the lines with their newlines. */
  readonly bytes: number;
  /** sha256-… of those bytes (`swap/chunk/<digest>`). */
  readonly digest: string;
  /** One or a few extractive sentences, at most about 400 characters, one line. */
  readonly summary: string;
  readonly facts: readonly ExtractedFact[];
  readonly decisions: readonly ExtractedDecision[];
  readonly todos: readonly ExtractedTodo[];
  readonly refs: readonly ExtractedRef[];
  readonly outputs: readonly OutputRecord[];
  /** Lines of at least LARGE_LINE_BYTES that have no OutputRecord. */
  readonly large: readonly LargeLine[];
}

/** `mapBlock(lines)`: lines are consecutive, 1 to BLOCK_LINES of them. Pure. Exported by src/context/blocks.ts. */
export type MapBlock = (lines: readonly MessageLine[]) => BlockRecord;

/** Types of events that are contributions. */
export const CONTRIBUTION_TYPES = [
  'context.fact',
  'context.decision',
  'context.todo',
  'context.ref',
  'context.summary',
  'context.retract',
] as const;
export type ContributionType = (typeof CONTRIBUTION_TYPES)[number];

/** One contribution event at its place in the stream. */
export interface Contribution {
  /** 1-based line in events.jsonl. */
  readonly eventLine: number;
  /** Messages recorded before it (so it comes after line `afterLine`). */
  readonly afterLine: number;
  readonly type: ContributionType;
  /** The whole parsed event. */
  readonly event: Readonly<Record<string, unknown>>;
}

export type FoldKind = 'summary' | 'facts' | 'decisions' | 'todo' | 'refs';

/**
 * One derived file as a fold. `S` is plain JSON; add functions mutate it. Blocks come in order, whole ones first and at most
 * one partial block last (on a clone); contributions come at their place between them.
 */
export interface KindFold<S> {
  readonly kind: FoldKind;
  initial(): S;
  addBlock(state: S, block: BlockRecord): void;
  addContribution(state: S, contribution: Contribution): void;
  /**
   * The file's text, UTF-8, ending in a newline unless empty. `limitBytes` bounds it (summary: coarser levels; lists: the
   * rows that matter most, contributions first, then newest), still in the file's order. Without it: all rows kept.
   */
  text(state: S, limitBytes?: number): string;
}

/** Exported by summary.ts, facts.ts, decisions.ts, todo.ts, refs.ts as summaryFold, factsFold, decisionsFold, todoFold, refsFold. */
export type AnyFold = KindFold<unknown>;

/** Rows of swap/index.jsonl for one whole block: its message_range row, then a row for each output and large line. Each ends in a newline. Exported by swap.ts. */
export type SwapRows = (block: BlockRecord) => string;

/** Exported by dedup.ts: the dedup index as a fold of blocks. State may hold Maps (it is rebuilt from blocks, never checkpointed). */
export interface DedupFold<S> {
  initial(): S;
  addBlock(state: S, block: BlockRecord): void;
  /** Rows of dedup/index.jsonl: only what occurs at least twice, in order of first occurrence. */
  text(state: S): string;
  /** Where the text with this digest occurs first; undefined when unknown. */
  find(state: S, digest: string): { readonly line: number; readonly callId: string } | undefined;
  /** Digests that occur at least twice. */
  digests(state: S): readonly string[];
  /** How often each of those occurs. */
  references(state: S): ReadonlyMap<string, number>;
}

/**
 * near-repeat.ts: what `later` is, said by reference to `earlier`; undefined when that is not worth it (not clearly smaller).
 * Readable by a model; `expandDifference(earlier, difference)` gives `later` back byte for byte. Near-linear time.
 */
export type DifferenceFrom = (earlier: string, later: string) => string | undefined;
export type ExpandDifference = (earlier: string, difference: string) => string;
