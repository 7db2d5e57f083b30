// Requests to one registry: authorized, retried, redirected as far as is safe. IMG-57: what a registry may lead us to.
import type { OciDigest } from '../oci.ts';
import { Authorizer } from './authorizer.ts';
import { parseChallenge } from './challenge.ts';
import { findCredentials, type Credentials } from './docker-config.ts';
import { errorWords, registryError } from './failures.ts';
import type { RegistryLimits } from './limits.ts';
import type { Registry } from './remote.ts';
import { askedToWait, pauseOrThrow, retryAfterMs } from './retry.ts';
import { placeOf, Transport, type Exchange, type Outgoing, type TransportOptions } from './transport.ts';

export interface Call {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH';
  /** Below /v2/, or an upload's address ({@link RegistryClient.uploadUrl}). */
  readonly path: string | URL;
  readonly scopes: readonly string[];
  /** Statuses besides 2xx that the caller deals with. */
  readonly expected?: readonly number[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Outgoing['body'];
  readonly headMs?: number;
  /** Once only: the caller knows what to do after a cut. */
  readonly once?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface ClientOptions extends TransportOptions {
  /** Instead of those in the Docker configuration. */
  readonly credentials?: Credentials;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MAX_REDIRECTS = 5;
const MAX_ERROR_BYTES = 64 * 1024;

export class RegistryClient {
  readonly registry: Registry;
  readonly limits: RegistryLimits;
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;

  constructor(registry: Registry, options: ClientOptions = {}) {
    this.registry = registry;
    this.#transport = new Transport(options);
    this.limits = this.#transport.limits;
    const find = (): Promise<Credentials | undefined> =>
      options.credentials === undefined
        ? findCredentials(registry.host, options.environment ?? process.env)
        : Promise.resolve(options.credentials);
    this.#authorizer = new Authorizer(this.#transport, registry, find);
  }

  close(): void {
    this.#transport.close();
  }

  /** The answer, with a status of 2xx or an expected one. Whoever gets it reads or discards its body. */
  async send(call: Call): Promise<Exchange> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#checked(call, await this.#authorized(call));
      } catch (error) {
        if (call.once === true) throw error;
        await pauseOrThrow(error, attempt, this.limits, call.signal);
      }
    }
  }

  /** Where an upload goes on: the registry itself and nowhere else. */
  uploadUrl(location: string | undefined, from: URL): URL {
    const where = placeOf(from);
    let url: URL;
    try {
      url = new URL(location ?? '', from);
    } catch (cause) {
      throw registryError('location', 'EIO', 'says no address to upload to', where, undefined, cause);
    }
    if (location === undefined || location === '') throw registryError('location', 'EIO', 'says no address to upload to', where);
    if (url.origin !== this.registry.base.origin)
      throw registryError(
        'location',
        'EACCES',
        `wants the upload at ${url.origin}, which is another host`,
        where,
        'nothing was sent there',
      );
    url.username = url.password = url.hash = '';
    return url;
  }

  async #authorized(call: Call): Promise<Exchange> {
    const { scopes } = call;
    const url = call.path instanceof URL ? call.path : new URL(call.path, this.registry.base);
    const used = await this.#authorizer.header(scopes);
    const answer = await this.#follow(call, url, used);
    if (answer.status !== 401 || answer.url.origin !== this.registry.base.origin) return answer;
    const challenge = parseChallenge(answer.headers['www-authenticate']);
    if (challenge === undefined) return answer;
    answer.discard();
    await this.#authorizer.challenged(challenge, scopes, answer.public, used);
    return this.#follow(call, url, await this.#authorizer.header(scopes));
  }

  async #follow(call: Call, from: URL, authorization: string | undefined): Promise<Exchange> {
    const seen = new Set<string>();
    let url = from;
    let publicOnly = false;
    for (;;) {
      const own = url.origin === this.registry.base.origin;
      const answer = await this.#transport.exchange(url, {
        method: call.method,
        headers: { ...call.headers, ...(own && authorization !== undefined ? { authorization } : {}) },
        publicOnly,
        ...(call.body === undefined ? {} : { body: call.body }),
        ...(call.headMs === undefined ? {} : { headMs: call.headMs }),
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
      if (!REDIRECTS.has(answer.status) || (call.method !== 'GET' && call.method !== 'HEAD')) return answer;
      answer.discard();
      publicOnly ||= answer.public;
      seen.add(url.href);
      url = this.#redirected(answer, seen);
    }
  }

  #redirected(answer: Exchange, seen: ReadonlySet<string>): URL {
    const where = placeOf(answer.url);
    const { location } = answer.headers;
    let url: URL;
    try {
      url = new URL(location ?? 'none:', answer.url);
    } catch (cause) {
      throw registryError('redirect', 'EIO', 'leads to no address', where, undefined, cause);
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw registryError('redirect', 'EIO', 'leads to no address', where);
    if (answer.url.protocol === 'https:' && url.protocol === 'http:')
      throw registryError('redirect', 'EACCES', `leads from TLS to plain HTTP, at ${url.host}`, where);
    if (seen.has(url.href) || seen.size > MAX_REDIRECTS) throw registryError('redirect', 'ELOOP', 'leads round and round', where);
    url.username = url.password = url.hash = '';
    return url;
  }

  async #checked(call: Call, answer: Exchange): Promise<Exchange> {
    const { status } = answer;
    if ((status >= 200 && status < 300) || call.expected?.includes(status) === true) return answer;
    const where = `${call.method} ${placeOf(answer.url)}`;
    const words = await answer.read(MAX_ERROR_BYTES).then(errorWords, () => '');
    const said = words === '' ? '' : ` (${words})`;
    if (status === 401 || status === 403) {
      const known = await this.#authorizer.hasCredentials();
      const next = known ? 'check what this user may do there' : `run: ctx login ${this.registry.host}`;
      throw registryError('denied', 'EACCES', `is not allowed: ${status}${said}`, where, next);
    }
    if (status === 404) throw registryError('missing', 'ENOENT', `is not there${said}`, where, 'check the name and the tag');
    if (status !== 429 && status < 500) throw registryError('status', 'EIO', `answered ${status}${said}`, where);
    const busy = registryError('busy', 'EAGAIN', `answered ${status}${said}`, where, 'try again later');
    throw askedToWait(busy, retryAfterMs(answer.headers['retry-after']));
  }
}

export function pullScope(repository: string): string {
  return `repository:${repository}:pull`;
}

export function pushScope(repository: string): string {
  return `repository:${repository}:pull,push`;
}

export function blobPath(repository: string, digest: OciDigest): string {
  return `${repository}/blobs/${digest}`;
}

export function manifestPath(repository: string, reference: string): string {
  return `${repository}/manifests/${reference}`;
}
