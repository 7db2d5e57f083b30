// One typed error for the whole project. The numeric errno of each code lives in mount/errno.ts only.

/** POSIX errno names used by the ABI (events carry them as `code`). */
export type ErrnoName =
  | 'EPERM'
  | 'ENOENT'
  | 'EINTR'
  | 'EIO'
  | 'ENXIO'
  | 'EBADF'
  | 'EAGAIN'
  | 'ENOMEM'
  | 'EACCES'
  | 'EBUSY'
  | 'EEXIST'
  | 'EXDEV'
  | 'ENODEV'
  | 'ENOTDIR'
  | 'EISDIR'
  | 'EINVAL'
  | 'ENFILE'
  | 'EMFILE'
  | 'ENOTTY'
  | 'EFBIG'
  | 'ENOSPC'
  | 'ESPIPE'
  | 'EROFS'
  | 'EMLINK'
  | 'EPIPE'
  | 'ERANGE'
  | 'ENAMETOOLONG'
  | 'ENOSYS'
  | 'ENOTEMPTY'
  | 'ELOOP'
  | 'ENODATA'
  | 'EOVERFLOW'
  | 'EOPNOTSUPP'
  | 'EMSGSIZE'
  | 'ESTALE'
  | 'EDQUOT'
  | 'ETIMEDOUT'
  | 'ETXTBSY';

/**
 * A failure that names what, where and the next step.
 * `code` is `<room>.<reason>` (for example `journal.invalid_json`); `errno` is what a system call reports.
 */
export class CtxError extends Error {
  readonly code: string;
  readonly errno: ErrnoName;
  readonly where: string | undefined;
  readonly next: string | undefined;

  constructor(code: string, errno: ErrnoName, what: string, detail: { where?: string; next?: string; cause?: unknown } = {}) {
    super(what, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'CtxError';
    this.code = code;
    this.errno = errno;
    this.where = detail.where;
    this.next = detail.next;
  }

  /** One line for people: `code: where what; next`. */
  describe(): string {
    const where = this.where === undefined ? '' : `${this.where} `;
    const next = this.next === undefined ? '' : `; ${this.next}`;
    return `${this.code}: ${where}${this.message}${next}`;
  }
}

const TAKES_NOTHING: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EROFS']);

/** The disk takes nothing now: it is full, a quota is used up, or it can only be read. */
export function isFull(error: unknown): boolean {
  const { code, errno } = (error ?? {}) as { readonly code?: unknown; readonly errno?: unknown };
  return TAKES_NOTHING.has(code) || TAKES_NOTHING.has(errno);
}
