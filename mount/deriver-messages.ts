// Messages between the serving thread and the deriver thread.
import { CtxError } from '../src/abi/errors.ts';
import type { ErrnoName } from '../src/abi/errors.ts';
import type { SyncWork } from '../src/journal/sync-work.ts';
import type { DeriverRequest } from '../src/tree/deriver-client.ts';
import type { EngineRequest, EngineSession, ShownModel } from '../src/tree/engine-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { WikiChange, WikiRequest } from '../src/tree/wiki-client.ts';

export type ToDeriver =
  | { readonly op: 'open'; readonly session: number; readonly directory: string }
  | { readonly op: 'notes' }
  | { readonly op: 'input'; readonly session: number; readonly path: string }
  | {
      readonly op: 'fsync';
      readonly id: number;
      readonly file: number;
      readonly dataOnly: boolean;
      readonly ticket?: ReplyTicket | undefined;
    }
  | { readonly op: 'sync'; readonly id: number; readonly work: SyncWork; readonly ticket?: ReplyTicket | undefined }
  | {
      readonly op: 'request';
      readonly session: number;
      readonly id: number;
      readonly request: DeriverRequest;
      readonly ticket?: ReplyTicket | undefined;
    };

export type ToEngine =
  | { readonly op: 'engine'; readonly id: number; readonly request: EngineRequest; readonly ticket?: ReplyTicket | undefined }
  | { readonly op: 'pack-read'; readonly of: EngineSession }
  | { readonly op: 'let-go'; readonly file: number };

export interface ToldChange {
  readonly wiki: string;
  readonly change: WikiChange;
}

export type ToWiki =
  | { readonly op: 'wiki-changes'; readonly changes: readonly ToldChange[] }
  | {
      readonly op: 'wiki-change';
      readonly wiki: string;
      readonly change: WikiChange;
      /** Answered with the session of whoever did it. */
      readonly id?: number | undefined;
      readonly ticket?: ReplyTicket | undefined;
    }
  | { readonly op: 'wiki'; readonly id: number; readonly request: WikiRequest; readonly ticket?: ReplyTicket | undefined };

/** What the serving thread shows of the engine without asking. */
export interface EngineShown {
  readonly mark: number | undefined;
  readonly status: readonly string[];
  readonly models: readonly ShownModel[];
}

export type FromDeriver =
  | { readonly op: 'result'; readonly id: number; readonly value: unknown; readonly unchanged: boolean }
  | { readonly op: 'failed'; readonly id: number; readonly error: PlainError }
  /** Something below the session's directory changed outside the mount. */
  | { readonly op: 'changed'; readonly session: number; readonly path: string }
  | { readonly op: 'progress'; readonly lines: readonly string[] }
  | { readonly op: 'engine'; readonly shown: EngineShown };

/** A CtxError across threads. */
export interface PlainError {
  readonly code: string;
  readonly errno: ErrnoName;
  readonly message: string;
  readonly where?: string | undefined;
  readonly next?: string | undefined;
}

const SYSTEM: Readonly<Record<string, readonly [ErrnoName, string, string]>> = {
  ENOSPC: ['ENOSPC', 'the store has no space left for what is derived', 'free space in the store and read again; history is untouched'],
  EROFS: ['EROFS', 'the store is read-only, and something has to be derived', 'make it writable and read again'],
  EMFILE: ['EMFILE', 'the daemon has too many files open', "close files on the mount, or raise the daemon's limit (ulimit -n)"],
};
const SAME_AS: Readonly<Record<string, string>> = {
  SQLITE_FULL: 'ENOSPC',
  EDQUOT: 'ENOSPC',
  SQLITE_READONLY: 'EROFS',
  SQLITE_CANTOPEN: 'EMFILE',
  ENFILE: 'EMFILE',
};

/** What the disk refused, as a failure that names the next step; anything else is passed on. */
export function knownFailure(error: unknown): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof CtxError || typeof code !== 'string') return error;
  const known = SYSTEM[SAME_AS[code] ?? code];
  return known === undefined ? error : new CtxError('deriver.disk', known[0], known[1], { next: known[2], cause: error });
}

export function plainError(error: unknown): PlainError {
  if (error instanceof CtxError)
    return { code: error.code, errno: error.errno, message: error.message, where: error.where, next: error.next };
  const system = error as { code?: unknown; message?: unknown; stack?: unknown };
  return {
    code: 'deriver.failed',
    errno: system.code === 'ENOENT' ? 'ENOENT' : system.code === 'ENOSPC' ? 'ENOSPC' : 'EIO',
    message: String(system.message ?? error),
  };
}

export function revive(error: PlainError): CtxError {
  return new CtxError(error.code, error.errno, error.message, {
    ...(error.where === undefined ? {} : { where: error.where }),
    ...(error.next === undefined ? {} : { next: error.next }),
  });
}
