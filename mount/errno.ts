// The one place where an errno has a number (Linux). The compiler proves the table complete.
import { CtxError } from '../src/abi/errors.ts';
import type { ErrnoName } from '../src/abi/errors.ts';

const NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EOVERFLOW: 75,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
} as const satisfies Record<ErrnoName, number>;

/** Errno number of any thrown value: a CtxError, a Node file system error, or EIO for everything unknown. */
export function errnoOf(error: unknown): { readonly errno: number; readonly expected: boolean } {
  if (error instanceof CtxError) return { errno: NUMBERS[error.errno], expected: true };
  const code = (error as { code?: unknown } | null)?.code;
  const errno = typeof code === 'string' ? (NUMBERS as Record<string, number | undefined>)[code] : undefined;
  return errno === undefined ? { errno: NUMBERS.EIO, expected: false } : { errno, expected: true };
}

export function errnoNumber(name: ErrnoName): number {
  return NUMBERS[name];
}
