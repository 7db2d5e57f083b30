// Messages between the main thread and the one that keeps the wikis.
import type { WikiRequest, WikiResults } from '../src/tree/wiki-client.ts';
import type { PlainError, ToldChange } from './deriver-messages.ts';

export type ToKeeper =
  | { readonly op: 'changes'; readonly changes: readonly ToldChange[] }
  /** Not answered by then, it is not to be carried out either. */
  | { readonly op: 'request'; readonly id: number; readonly request: WikiRequest; readonly untilMs: number }
  /** A session's events were appended to: so many lines, up to this offset. */
  | {
      readonly op: 'events';
      readonly wiki: string;
      readonly session: string;
      readonly endBytes: number;
      readonly lines: number;
      readonly timeMs: number;
    }
  | { readonly op: 'close' };

export type FromKeeper =
  | { readonly op: 'answer'; readonly id: number; readonly value: WikiResults[WikiRequest['kind']] }
  | { readonly op: 'failed'; readonly id: number; readonly error: PlainError }
  | { readonly op: 'log'; readonly line: string }
  | { readonly op: 'closed' };

export interface KeeperData {
  readonly store: string;
  readonly mountpoint: string;
  /** Nothing was ever known of this store's wikis: they are taken as they are. */
  readonly baseline: boolean;
  /** Every message but changes wakes it. */
  readonly nap: SharedArrayBuffer;
}
