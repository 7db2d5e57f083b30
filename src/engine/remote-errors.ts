// Failures of model servers as CtxErrors: what happened, at which address, what to do.
import { CtxError } from '../abi/errors.ts';
import type { ErrnoName } from '../abi/errors.ts';

export function cancelled(): CtxError {
  return new CtxError('engine.cancelled', 'EINTR', 'the caller stopped waiting');
}

/** No reply at all. `tooLateMs`: the limit that ran out. */
export function unreachable(url: string, error: NodeJS.ErrnoException, tooLateMs: number | undefined, connecting: boolean): CtxError {
  const next = 'start the server, or correct the address: ctx model ls';
  if (tooLateMs !== undefined) {
    const what = connecting ? `took no connection in ${tooLateMs} ms` : `gave no reply in ${tooLateMs} ms`;
    return new CtxError('engine.unreachable', 'ETIMEDOUT', what, { where: url, next, cause: error });
  }
  const what = WORDS[error.code ?? ''] ?? `cannot be reached: ${error.message}`;
  return new CtxError('engine.unreachable', 'EIO', what, { where: url, next, cause: error });
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections: nothing listens there',
  ECONNRESET: 'closed the connection without a reply',
  ENOTFOUND: 'has a host name that does not resolve',
  EAI_AGAIN: 'has a host name that does not resolve now',
  EHOSTUNREACH: 'is on a host that cannot be reached',
  ENETUNREACH: 'is on a network that cannot be reached',
};

interface Refusal {
  readonly location: string | undefined;
  readonly keyEnv: string | undefined;
  readonly attempts: number;
}

/** A reply that is not 2xx. A redirect is a refusal too: messages and keys go to no address that nobody configured. */
export function httpFailure(url: string, status: number, said: string, { location, keyEnv, attempts }: Refusal): CtxError {
  const words = serverWords(said);
  const tries = attempts > 1 ? ` (${attempts} attempts)` : '';
  const what =
    status >= 300 && status < 400
      ? `answered ${status} and points elsewhere${location === undefined ? '' : `, to ${location.slice(0, 200)}`}`
      : `answered ${status}${words === '' ? '' : `: ${words}`}${tries}`;
  return new CtxError('engine.http', errnoOf(status), what, { where: url, next: nextOf(status, words, keyEnv) });
}

function errnoOf(status: number): ErrnoName {
  if (status === 401 || status === 403) return 'EACCES';
  if (status === 400 || status === 413 || status === 422) return 'EINVAL';
  return status === 408 || status === 504 ? 'ETIMEDOUT' : 'EIO';
}

function nextOf(status: number, words: string, keyEnv: string | undefined): string {
  if (status >= 300 && status < 400) return 'redirects are not followed; configure the address that is meant: ctx model add';
  if (status === 401 || status === 403)
    return keyEnv === undefined ? 'name the variable that holds the key: ctx model add --key-env NAME' : `check the key in ${keyEnv}`;
  if (status === 404) return "check the address (it ends in /v1 for most servers) and the server's name of the model";
  if (status === 413 || /context|too long|exceed/i.test(words)) return 'lower context/budget, or give the server more context';
  if (status === 429) return 'the server is busy or a quota is used up; try later';
  return status >= 500 ? "look at the server's log, then try again" : 'correct the request or the configuration of the model';
}

/** `error.message` of the usual JSON bodies, else the text itself: one line, at most 300 characters. */
function serverWords(said: string): string {
  let text = said;
  try {
    const { error, message, detail } = JSON.parse(said) as { error?: unknown; message?: unknown; detail?: unknown };
    const inner = typeof error === 'object' && error !== null ? (error as { message?: unknown }).message : error;
    text = [inner, message, detail].find((each): each is string => typeof each === 'string') ?? said;
  } catch {
    // Not JSON: the text as it is.
  }
  return text
    .replace(/[\u0000-\u001f\s]+/g, ' ')
    .trim()
    .slice(0, 300);
}
