// What the pack's fold asks of history. The session implements it; everything is synchronous and deterministic.
import type { Steps } from '../abi/steps.ts';
import type { TokenCounter } from '../tokens/types.ts';
import type { ChosenPage, ChosenWiki } from './memory-choice.ts';
import type { PackPolicy } from './pack-policy.ts';
import type { MessageLine } from './types.ts';

/** A place in the stream: messages up to `line` and contributions up to `eventLine` have been seen. */
export interface StreamPosition {
  readonly line: number;
  readonly eventLine: number;
  /** Order-log records seen. */
  readonly order: number;
}

export interface PinnedFile {
  readonly path: string;
  readonly digest: string;
  readonly text: string;
}

export interface ChildResult {
  /** Path below the session directory. */
  readonly path: string;
  readonly kind: 'child_result' | 'child_refs';
  readonly digest: string;
  readonly text: string;
}

/** A choice from the session's wikis, as of an order-log position. */
export interface RecordedMemory {
  /** Order-log records that were there. */
  readonly order: number;
  /** The user message that was asked with; 0: there was none. */
  readonly asked: number;
  readonly wikis: readonly ChosenWiki[];
  /** The whole file as it was recorded; undefined when its bytes are lost. */
  text(wiki: ChosenWiki, page: ChosenPage): string | undefined;
}

export type SectionKind = 'summary' | 'facts' | 'decisions' | 'todo' | 'refs';

/** Lines that a user message needs from swapped-out history, best first, each range at most a few lines. */
export interface RecallAnswer {
  readonly picks: readonly RecallPick[];
  /** What ranked next but did not fit. */
  readonly next: readonly { readonly line: number; readonly score: number }[];
}

export interface RecallPick {
  readonly first: number;
  readonly last: number;
  readonly body: string;
}

export interface PackSource {
  readonly counter: TokenCounter;
  readonly policy: PackPolicy;
  /** context/tools.json as recorded. */
  readonly toolsJson: string | undefined;
  readonly pinned: readonly PinnedFile[];
  message(line: number): MessageLine;
  /** Newest user message at or before a line; 0 when there is none. */
  lastUserLine(line: number): number;
  /** Text of a section: blocks below the cut, contributions up to the position; at most about `limitBytes`. */
  section(kind: SectionKind, cut: number, position: StreamPosition, limitBytes: number): string;
  /** sha256-… of one raw line of events.jsonl with its newline. */
  eventDigest(eventLine: number): string;
  children(position: StreamPosition): readonly ChildResult[];
  /** The newest choice before the position; undefined when nothing was chosen. */
  memory(position: StreamPosition): RecordedMemory | undefined;
  /** History below `cut` only, without the lines in `except`; at most `limitTokens` in all picks. */
  recall(query: MessageLine, cut: number, limitTokens: number, except: ReadonlySet<number>): Steps<RecallAnswer>;
}
