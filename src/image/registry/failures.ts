// What goes wrong with a registry, as CtxErrors that name it. Text of a registry is shown short and without control characters.
import { CtxError, type ErrnoName } from '../../abi/errors.ts';

/** May pass: worth another attempt. */
const TRANSIENT = new Set(['image.registry_cut', 'image.registry_stalled', 'image.registry_busy']);

export function isTransient(error: unknown): error is CtxError {
  return error instanceof CtxError && TRANSIENT.has(error.code);
}

export function registryError(reason: string, errno: ErrnoName, what: string, where: string, next?: string, cause?: unknown): CtxError {
  const detail = { where, ...(next === undefined ? {} : { next }), ...(cause === undefined ? {} : { cause }) };
  return new CtxError(`image.registry_${reason}`, errno, what, detail);
}

export function stalled(where: string, waitedMs: number): CtxError {
  return registryError('stalled', 'ETIMEDOUT', `sent nothing to speak of for ${seconds(waitedMs)}`, where, 'try again later');
}

/** Of a connection, from Node. */
export function connectionError(cause: NodeJS.ErrnoException, where: string): CtxError {
  const { code = '' } = cause;
  if (cause instanceof CtxError) return cause;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL'))
    return registryError('tls', 'EIO', 'does not speak TLS as it should', where, 'plain HTTP needs --insecure', cause);
  if (code.startsWith('ERR_TLS') || code.startsWith('CERT') || /CERT|SIGNATURE|ISSUER/.test(code))
    return registryError(
      'tls',
      'EACCES',
      `has a certificate that is not trusted (${code})`,
      where,
      'name its authority in SSL_CERT_FILE or NODE_EXTRA_CA_CERTS',
      cause,
    );
  if (code.startsWith('HPE_')) return registryError('protocol', 'EIO', `does not speak HTTP (${code})`, where, undefined, cause);
  if (code === 'ENOTFOUND') return registryError('unreachable', 'EIO', 'has no address', where, 'check the name', cause);
  if (['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'].includes(code))
    return registryError('unreachable', 'EIO', `cannot be reached (${code})`, where, 'check the name and the network', cause);
  return registryError('cut', 'EIO', `cut the connection (${code === '' ? cause.message : code})`, where, 'try again', cause);
}

/** The messages of an error body of the distribution specification; '' when it is something else. */
export function errorWords(body: Uint8Array): string {
  try {
    const { errors } = JSON.parse(Buffer.from(body).toString('utf8')) as { readonly errors?: unknown };
    if (!Array.isArray(errors)) return '';
    const words = (errors as readonly unknown[]).slice(0, 3).map((entry) => {
      const { code, message } = (entry ?? {}) as { readonly code?: unknown; readonly message?: unknown };
      return [code, message].filter((text): text is string => typeof text === 'string').join(': ');
    });
    return plainText(words.filter((word) => word !== '').join(', '));
  } catch {
    return '';
  }
}

/** For a terminal: one line, no control or direction characters, at most 200 characters. */
export function plainText(text: string): string {
  return text
    .slice(0, 200)
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]+/gu, ' ')
    .trim();
}

export function seconds(elapsedMs: number): string {
  return `${elapsedMs < 10_000 ? (elapsedMs / 1000).toFixed(1) : Math.round(elapsedMs / 1000)} s`;
}
