// One HTTP request and its answer, on Node's own http and https. Follows no redirect, decodes nothing, and bounds every wait:
// for the head of the answer, for each stretch of its body, and for what is sent to be taken.
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { isIP } from 'node:net';
import { bareHost, insideNetwork, isPublicAddress, publicLookup } from './addresses.ts';
import { connectionError, registryError, stalled } from './failures.ts';
import { DEFAULT_LIMITS, type RegistryLimits } from './limits.ts';
import { isPublicByName, Proxies, refusedByProxy, type ProxyRoute } from './proxies.ts';

/** Opened anew for each attempt. */
export interface StreamedBody {
  readonly sizeBytes: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface Outgoing {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | StreamedBody;
  /** For the head of the answer, after everything was sent. */
  readonly headMs?: number;
  /** Connects to public addresses only. */
  readonly publicOnly?: boolean;
  readonly signal?: AbortSignal;
}

export interface Exchange {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly url: URL;
  /** The registry's side of the connection is on the public internet. */
  readonly public: boolean;
  /** The body as it comes; once. */
  pieces(): AsyncGenerator<Buffer>;
  /** A body of at most `maxBytes`, whole. */
  read(maxBytes: number): Promise<Buffer>;
  /** Frees the connection. */
  discard(): void;
}

export interface TransportOptions {
  readonly limits?: RegistryLimits;
  readonly environment?: NodeJS.ProcessEnv;
  readonly isPublic?: (address: string) => boolean;
}

const SLICE = 64 * 1024;
const MAX_HEADER_BYTES = 32 * 1024;
const MAX_SOCKETS = 16;
/** The rest of a body that is not wanted is read only when it is this small. */
const WORTH_READING = 64 * 1024;

export class Transport {
  readonly limits: RegistryLimits;
  readonly #isPublic: (address: string) => boolean;
  readonly #agents: { readonly 'http:': http.Agent; readonly 'https:': https.Agent };
  readonly #proxies: Proxies;

  constructor(options: TransportOptions = {}) {
    this.limits = options.limits ?? DEFAULT_LIMITS;
    this.#isPublic = options.isPublic ?? isPublicAddress;
    const ca = authorities(options.environment ?? process.env);
    const tls = { maxSockets: MAX_SOCKETS, ...(ca === undefined ? {} : { ca }) };
    this.#agents = {
      'http:': new http.Agent({ keepAlive: true, maxSockets: MAX_SOCKETS }),
      'https:': new https.Agent({ keepAlive: true, ...tls }),
    };
    this.#proxies = new Proxies(tls);
  }

  /** Ends every connection; what is still on its way fails. */
  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
    this.#proxies.close();
  }

  async exchange(url: URL, outgoing: Outgoing): Promise<Exchange> {
    const place = placeOf(url);
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw registryError('redirect', 'EINVAL', 'is no http or https address', place);
    if (outgoing.publicOnly === true && isIP(bareHost(url.hostname)) !== 0 && !this.#isPublic(bareHost(url.hostname)))
      throw insideNetwork(place, url.hostname);
    return this.#exchange(url, outgoing, await this.#proxies.routeTo(url));
  }

  #exchange(url: URL, outgoing: Outgoing, route: ProxyRoute | undefined): Promise<Exchange> {
    const where = route === undefined ? placeOf(url) : `${placeOf(url)} through the proxy ${route.words}`;
    return new Promise((resolve, reject) => {
      const request = (url.protocol === 'https:' ? https : http).request(url, {
        method: outgoing.method,
        ...(route?.request ?? { agent: this.#agents[url.protocol as 'http:' | 'https:'] }),
        maxHeaderSize: MAX_HEADER_BYTES,
        headers: { 'user-agent': 'ctxfs', 'accept-encoding': 'identity', ...outgoing.headers, ...lengthOf(outgoing) },
        ...(outgoing.signal === undefined ? {} : { signal: outgoing.signal }),
        ...(outgoing.publicOnly === true ? { lookup: publicLookup(this.#isPublic, where) } : {}),
      });
      let timer: NodeJS.Timeout | undefined;
      let over = false;
      const wait = (waitMs: number): void => {
        clearTimeout(timer);
        if (!over) timer = setTimeout(() => fail(stalled(where, waitMs)), waitMs);
      };
      const end = (): void => {
        over = true;
        clearTimeout(timer);
        outgoing.signal?.removeEventListener('abort', aborted);
      };
      // A request that waits for a proxy has no socket yet, and says nothing when it is destroyed.
      const fail = (error: Error): void => {
        end();
        request.destroy(error);
        reject(outgoing.signal?.aborted === true ? asAborted(outgoing.signal, where) : connectionError(error, where));
      };
      const aborted = (): void => fail(asAborted(outgoing.signal as AbortSignal, where));
      outgoing.signal?.addEventListener('abort', aborted);
      request.on('error', fail);
      let address: string | undefined;
      request.on('socket', (socket) => {
        const note = (): void => {
          address = socket.remoteAddress;
        };
        if (socket.connecting) socket.once('connect', note);
        else note();
      });
      request.on('proxyConnect', ({ statusCode = 200 }: http.IncomingMessage) => {
        if (statusCode !== 200) request.destroy(refusedByProxy(statusCode, where));
      });
      request.on('response', (response) => {
        end();
        // An answer before everything was sent is the answer.
        response.on('error', () => undefined);
        const isPublic = route === undefined ? address === undefined || this.#isPublic(address) : isPublicByName(url, this.#isPublic);
        if (route !== undefined && response.statusCode === 407) return request.destroy(refusedByProxy(407, where));
        resolve(new Answer(url, response, this.limits, isPublic, outgoing.signal));
      });
      wait(this.limits.idleMs);
      const sent = (): void => wait(this.limits.idleMs);
      sendBody(request, outgoing.body, sent).then(
        () => request.end(() => wait(outgoing.headMs ?? this.limits.idleMs)),
        (error: Error) => request.destroy(error),
      );
    });
  }
}

function lengthOf({ method, body }: Outgoing): Record<string, string> {
  if (method === 'GET' || method === 'HEAD') return {};
  return { 'content-length': String(body === undefined ? 0 : 'sizeBytes' in body ? body.sizeBytes : body.length) };
}

/** In slices, each of which moves the deadline when the other side has taken it; ends early when the answer came first. */
async function sendBody(request: http.ClientRequest, body: Outgoing['body'], onSent: () => void): Promise<void> {
  if (body === undefined) return;
  for await (const piece of 'sizeBytes' in body ? body.open() : [body]) {
    for (let at = 0; at < piece.length; at += SLICE) {
      if (request.destroyed) return;
      await new Promise<void>((resolve) => {
        request.once('close', resolve);
        request.write(piece.subarray(at, at + SLICE), () => {
          request.off('close', resolve);
          resolve();
        });
      });
      onSent();
    }
  }
}

class Answer implements Exchange {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly url: URL;
  readonly public: boolean;
  readonly #response: http.IncomingMessage;
  readonly #limits: RegistryLimits;
  readonly #signal: AbortSignal | undefined;

  constructor(url: URL, response: http.IncomingMessage, limits: RegistryLimits, isPublic: boolean, signal: AbortSignal | undefined) {
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.url = url;
    this.public = isPublic;
    this.#response = response;
    this.#limits = limits;
    this.#signal = signal;
  }

  // Counts only the time spent waiting for the registry, never what the reader of the pieces takes.
  async *pieces(): AsyncGenerator<Buffer> {
    const where = placeOf(this.url);
    const { idleMs, minBytes } = this.#limits;
    const source = this.#response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    let waitedMs = 0;
    let bytes = 0;
    try {
      for (;;) {
        const startMs = performance.now();
        const timer = setTimeout(() => this.#response.destroy(stalled(where, idleMs)), Math.max(1, idleMs - waitedMs));
        let step: IteratorResult<Buffer>;
        try {
          step = await source.next();
        } finally {
          clearTimeout(timer);
        }
        if (step.done === true) return;
        waitedMs += performance.now() - startMs;
        bytes += step.value.length;
        if (bytes >= minBytes) waitedMs = bytes = 0;
        yield step.value;
      }
    } catch (error) {
      throw this.#signal?.aborted === true ? asAborted(this.#signal, where) : connectionError(error as NodeJS.ErrnoException, where);
    } finally {
      if (!this.#response.complete) this.#response.destroy();
    }
  }

  async read(maxBytes: number): Promise<Buffer> {
    const where = placeOf(this.url);
    const startMs = performance.now();
    const all: Buffer[] = [];
    let size = 0;
    for await (const piece of this.pieces()) {
      size += piece.length;
      if (size > maxBytes) throw registryError('too_large', 'EFBIG', `sent more than the ${maxBytes} bytes that are read of it`, where);
      if (performance.now() - startMs > 2 * this.#limits.idleMs) throw stalled(where, performance.now() - startMs);
      all.push(piece);
    }
    return Buffer.concat(all);
  }

  discard(): void {
    const length = Number(this.headers['content-length'] ?? (this.status === 204 ? '0' : 'NaN'));
    if (length <= WORTH_READING) this.#response.resume();
    else this.#response.destroy();
  }
}

/** Without what a query may hold: tokens. */
export function placeOf(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`.slice(0, 300);
}

function asAborted(signal: AbortSignal, where: string): Error {
  return signal.reason instanceof Error && signal.reason.name !== 'AbortError'
    ? signal.reason
    : registryError('interrupted', 'EINTR', 'was interrupted', where);
}

/** SSL_CERT_FILE replaces the authorities that Node knows; NODE_EXTRA_CA_CERTS is read by Node itself, except beside it. */
function authorities(environment: NodeJS.ProcessEnv): string[] | undefined {
  const file = environment['SSL_CERT_FILE'] ?? '';
  if (file === '') return undefined;
  const extra = environment['NODE_EXTRA_CA_CERTS'] ?? '';
  return [file, extra].filter((path) => path !== '').map(readAuthority);
}

function readAuthority(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw registryError('tls', 'EINVAL', 'cannot be read', path, 'correct SSL_CERT_FILE or NODE_EXTRA_CA_CERTS', cause);
  }
}
