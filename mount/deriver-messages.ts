// Messages between the serving thread and the deriver thread.
import { CtxError } from '../src/abi/errors.ts';
import type { ErrnoName } from '../src/abi/errors.ts';
import type { DeriverRequest } from '../src/tree/deriver-client.ts';
import type { ReplyTicket } from '../src/tree/types.ts';

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
  | {
      readonly op: 'request';
      readonly session: number;
      readonly id: number;
      readonly request: DeriverRequest;
      readonly ticket?: ReplyTicket | undefined;
    };

export type FromDeriver =
  | { readonly op: 'result'; readonly id: number; readonly value: unknown; readonly unchanged: boolean }
  | { readonly op: 'failed'; readonly id: number; readonly error: PlainError }
  /** Something below the session's directory changed outside the mount. */
  | { readonly op: 'changed'; readonly session: number; readonly path: string }
  | { readonly op: 'progress'; readonly lines: readonly string[] };

/** A CtxError across threads. */
export interface PlainError {
  readonly code: string;
  readonly errno: ErrnoName;
  readonly message: string;
  readonly where?: string | undefined;
  readonly next?: string | undefined;
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
