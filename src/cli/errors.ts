// Failures as one line: `ctx: code: where what; next`.
import { CtxError, type ErrnoName } from '../abi/errors.ts';

export function usageError(what: string, next?: string): CtxError {
  return new CtxError('cli.usage', 'EINVAL', what, next === undefined ? {} : { next });
}

const ERRNO_WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EEXIST: 'exists already',
  EACCES: 'may not be used by this user',
  EPERM: 'is not permitted',
  EINVAL: 'was refused as invalid',
  EFBIG: 'is too long',
  ENOTDIR: 'is not a directory',
  EISDIR: 'is a directory',
  ENOSPC: 'has no space left',
  EROFS: 'is read-only',
  EIO: 'failed in the daemon (see its log)',
  ENOTCONN: 'has no daemon behind it',
  ECONNABORTED: 'lost its daemon',
  ETIMEDOUT: 'is still being built',
  EAGAIN: 'is still being built',
};

const NEXT: Readonly<Record<string, string>> = {
  ENOENT: 'check the name',
  EEXIST: 'choose another name',
  EACCES: 'ask its owner, or name another place',
  EPERM: 'check what it is: history only grows, and derived files are written by ctx',
  EINVAL: 'see docs/cli.md for what it may be',
  EFBIG: 'write less at once',
  ENOTDIR: 'check the name',
  EISDIR: 'name a file in it',
  EROFS: 'name another place',
  ENOTCONN: 'run: ctx mount',
  ECONNABORTED: 'run: ctx mount, then try again',
  ETIMEDOUT: 'run it again, or watch: ctx status',
  ENOSPC: 'free space in the store, then run: ctx gc',
  EIO: 'run: ctx doctor',
};

/** Gives a system error words; anything else is passed on. */
export function asCtxError(error: unknown, where?: string): unknown {
  if (error instanceof CtxError || !(error instanceof Error)) return error;
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error;
  const place = where ?? path;
  const next = NEXT[code] ?? 'run: ctx doctor';
  return new CtxError(`cli.${code.toLowerCase()}`, code as ErrnoName, ERRNO_WORDS[code] ?? `failed with ${code}`, {
    cause: error,
    ...(place === undefined ? {} : { where: place }),
    next,
  });
}

/** One line for people. An error that nobody expected keeps its stack (CTX_DEBUG=1). */
export function describeFailure(error: unknown, debug: boolean): string {
  const known = asCtxError(error);
  if (known instanceof CtxError) return debug ? `${known.describe()}\n${known.stack ?? ''}` : known.describe().replaceAll('\n', ' ');
  if (known instanceof Error)
    return debug ? (known.stack ?? known.message) : `cli.unexpected: ${known.message}; run it again with CTX_DEBUG=1 for the stack`;
  return `cli.unexpected: ${String(known)}`;
}
