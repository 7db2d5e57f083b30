// What the server thread asks of a session's deriver. One SessionDeriver per session, on the deriver thread.
import type { CommitNote, OrderLog } from '../journal/types.ts';
import type { Content } from '../derive/types.ts';

/** What the server thread knew when it asked: the deriver first brings its order log up to exactly this. */
export interface Revision {
  readonly messagesBytes: number;
  readonly eventsBytes: number;
}

export interface PackStatus {
  readonly building: boolean;
  /** 0..1 */
  readonly progress: number;
  readonly note: string;
}

export interface SessionDeriver {
  /** Commits of the server thread, in order. Cheap; may coalesce. */
  committed(notes: readonly CommitNote[]): void;
  /** A pinned, control, tool-schema or child file may have changed (path below the session directory; '' = look at all). */
  inputChanged(path: string): void;
  /** Whether its policy has packs counted by the engine's tokenizer: another model makes them stale (TOK-9). */
  readonly countedByEngine: boolean;
  /** Set by whoever keeps what was read: its pack may be another one now, though nobody wrote (MEM-7). */
  onMemory: () => void;
  /** Everything up to the revision is in the order log, which it gives. */
  settle(revision: Revision): Promise<Pick<OrderLog, 'sync' | 'seal'>>;
  /**
   * The current content of a derived file, by path below `context/` (`pack.json`, `swap/index.jsonl`,
   * `swap/chunk/sha256-…`, `dedup/blob/sha256-…`). Single flight per file; ENOENT for unknown ids.
   */
  fetch(name: string, revision: Revision): Promise<Content>;
  /** Names in `swap/chunk` or `dedup/blob`. */
  list(directory: 'swap/chunk' | 'dedup/blob', revision: Revision): Promise<readonly string[]>;
  /** `ctx explain`: why the last rebuild of a file happened, from which inputs, what it cost. */
  explain(name: string, revision: Revision): Promise<Record<string, unknown>>;
  /** `ctx search` */
  search(
    query: string,
    limit: number,
    revision: Revision,
  ): Promise<readonly { line: number; score: number; role: string; excerpt: string }[]>;
  /** `ctx pack --at`: the pack as it was at a message line or digest. */
  packAt(at: string, revision: Revision): Promise<Record<string, unknown>>;
  /** `ctx gc`: what would be (or was) removed. */
  gc(options: { dryRun: boolean; nowMs: number }): Promise<readonly { path: string; bytes: number; reason: string }[]>;
  /** `rm` of a derived file: its cached output is dropped; it comes back on the next fetch. */
  drop(name: string): void;
  status(): PackStatus;
  close(): Promise<void>;
}
