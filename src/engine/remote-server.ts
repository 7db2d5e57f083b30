// HTTP to a model server. Node's own http: nothing follows a redirect, takes a proxy or keeps a connection behind our back.
// RMT-3: bounded in every direction: connecting, the first byte, silence in between, bytes of a reply, retries.
import { request as requestHttp } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { CtxError } from '../abi/errors.ts';
import { cancelled, httpFailure, unreachable } from './remote-errors.ts';

export interface RemoteLimits {
  readonly connectMs: number;
  /** Until the headers of the reply: a server that does not stream prefills before them. */
  readonly firstByteMs: number;
  /** Longest silence inside a reply. */
  readonly idleMs: number;
  readonly attempts: number;
  /** Doubled with each attempt; a server's Retry-After is waited for, at most this 60 times. */
  readonly backoffMs: number;
  readonly replyBytes: number;
  /** Until the headers of what a server answers without a model: what it serves, templates, tokens. */
  readonly quickMs: number;
}

export const REMOTE_LIMITS: RemoteLimits = {
  connectMs: 10_000,
  firstByteMs: 15 * 60_000,
  idleMs: 120_000,
  attempts: 4,
  backoffMs: 500,
  replyBytes: 64 << 20,
  quickMs: 30_000,
};

/** The server is busy or broken for the moment; everything else is an answer. */
const RETRIED: ReadonlySet<number> = new Set([429, 500, 502, 503, 504]);
const MOST_ERROR_BYTES = 4096;

export interface RemoteOptions {
  /** Name of the environment variable that holds the key. */
  readonly keyEnv?: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly limits?: Partial<RemoteLimits>;
}

export class RemoteServer {
  readonly base: string;
  readonly limits: RemoteLimits;
  readonly #keyEnv: string | undefined;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(base: string, options: RemoteOptions = {}) {
    this.base = base.replace(/\/+$/, '');
    this.limits = { ...REMOTE_LIMITS, ...options.limits };
    this.#keyEnv = options.keyEnv;
    this.#environment = options.environment ?? process.env;
  }

  /** For questions that need no model: a server that hangs is known for it soon. */
  get quick(): RemoteServer {
    const { quickMs, firstByteMs } = this.limits;
    const keyEnv = this.#keyEnv === undefined ? {} : { keyEnv: this.#keyEnv };
    return new RemoteServer(this.base, {
      ...keyEnv,
      environment: this.#environment,
      limits: { ...this.limits, firstByteMs: Math.min(quickMs, firstByteMs) },
    });
  }

  /** The JSON value of a 2xx reply. `once`: a failure is not tried again. */
  async json(method: 'GET' | 'POST', path: string, body: unknown, signal?: AbortSignal, once = false): Promise<unknown> {
    const url = `${this.base}${path}`;
    const response = await this.#reply(method, url, body, signal, once);
    const text = await this.#text(response, url, signal);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new CtxError('engine.http', 'EIO', `answered ${response.statusCode} with what is not JSON`, {
        where: url,
        next: 'check that the address is that of a model server',
        cause,
      });
    }
  }

  /** Pieces of text of a 2xx reply as they come. Leaving early closes the connection, which stops the server's work. */
  async *stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<string, void, void> {
    const url = `${this.base}${path}`;
    const response = await this.#reply('POST', url, body, signal, false);
    yield* this.#pieces(response, url, signal);
  }

  async #reply(method: string, url: string, body: unknown, signal: AbortSignal | undefined, once: boolean): Promise<IncomingMessage> {
    const { attempts, backoffMs } = this.limits;
    for (let attempt = 1; ; attempt += 1) {
      const response = await this.#send(method, url, body, signal);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return response;
      const said = await this.#said(response, url, signal);
      if (once || attempt >= attempts || !RETRIED.has(status)) {
        throw httpFailure(url, status, said, { location: response.headers.location, keyEnv: this.#keyEnv, attempts: attempt });
      }
      const asked = Number(response.headers['retry-after']) * 1000;
      const wait = Math.min(asked > 0 ? asked : backoffMs * 2 ** (attempt - 1), backoffMs * 60);
      await sleep(wait, undefined, signal === undefined ? {} : { signal }).catch(() => {
        throw cancelled();
      });
    }
  }

  #send(method: string, url: string, body: unknown, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    if (signal?.aborted === true) return Promise.reject(cancelled());
    const key = this.#key(url);
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = {
      accept: 'application/json, text/event-stream',
      ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': payload.length }),
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    };
    const { connectMs, firstByteMs } = this.limits;
    return new Promise((resolve, reject) => {
      const send = url.startsWith('https:') ? requestHttps : requestHttp;
      // A connection of its own: one that a server closed meanwhile is never used again.
      const request = send(url, { method, headers, agent: false, ...(signal === undefined ? {} : { signal }) });
      let late: 'connect' | 'first' = 'connect';
      const timer = (waitMs: number): NodeJS.Timeout => setTimeout(() => request.destroy(new Error('too late')), waitMs);
      let clock = timer(connectMs);
      const connected = (): void => {
        clearTimeout(clock);
        late = 'first';
        clock = timer(firstByteMs);
      };
      request.once('socket', (socket) => socket.once(url.startsWith('https:') ? 'secureConnect' : 'connect', connected));
      request.once('response', (response) => {
        clearTimeout(clock);
        resolve(response);
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(clock);
        if (signal?.aborted === true) return reject(cancelled());
        const tooLate = error.message === 'too late' ? (late === 'connect' ? connectMs : firstByteMs) : undefined;
        reject(unreachable(url, error, tooLate, late === 'connect'));
      });
      request.end(payload);
    });
  }

  async #text(response: IncomingMessage, url: string, signal: AbortSignal | undefined): Promise<string> {
    const pieces: string[] = [];
    for await (const piece of this.#pieces(response, url, signal)) pieces.push(piece);
    return pieces.join('');
  }

  /** What a refusal says, for people: short, and never with the key in it. */
  async #said(response: IncomingMessage, url: string, signal: AbortSignal | undefined): Promise<string> {
    let text = '';
    try {
      for await (const piece of this.#pieces(response, url, signal)) {
        text += piece;
        if (text.length > MOST_ERROR_BYTES) break;
      }
    } catch {
      // The status says enough.
    }
    const key = this.#keyEnv === undefined ? undefined : this.#environment[this.#keyEnv];
    return key === undefined || key === '' ? text : text.replaceAll(key, '[key]');
  }

  async *#pieces(response: IncomingMessage, url: string, signal: AbortSignal | undefined): AsyncGenerator<string, void, void> {
    const { idleMs, replyBytes } = this.limits;
    response.setEncoding('utf8');
    const source = (response as AsyncIterable<string>)[Symbol.asyncIterator]();
    let silent = false;
    let bytes = 0;
    try {
      for (;;) {
        const clock = setTimeout(() => {
          silent = true;
          response.destroy();
        }, idleMs);
        const step = await source.next().finally(() => clearTimeout(clock));
        if (silent) throw new Error(`said nothing for ${idleMs} ms`);
        if (step.done === true) break;
        bytes += step.value.length;
        if (bytes > replyBytes) throw new Error(`sent more than ${replyBytes} bytes`);
        yield step.value;
      }
      if (!response.complete) throw new Error('closed the connection inside its reply');
    } catch (error) {
      if (signal?.aborted === true) throw cancelled();
      const what = silent ? `said nothing for ${idleMs} ms` : cutWords(error);
      throw new CtxError('engine.stream', silent ? 'ETIMEDOUT' : 'EIO', what, {
        where: url,
        next: "look at the server's log, then try again",
        cause: error,
      });
    } finally {
      response.destroy();
    }
  }

  #key(url: string): string | undefined {
    if (this.#keyEnv === undefined) return undefined;
    const key = this.#environment[this.#keyEnv];
    if (key !== undefined && /^[\x21-\x7e]+$/.test(key)) return key;
    const what = key === undefined || key === '' ? 'is not set' : 'holds no key (a space or a control character is in it)';
    throw new CtxError('engine.key', 'EACCES', `the environment variable ${this.#keyEnv} ${what}`, {
      where: url,
      next: `export ${this.#keyEnv} where this runs`,
    });
  }
}

function cutWords(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' ? 'closed the connection inside its reply' : message;
}
