// IMG-63: the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for an address; loopback is always spoken to directly.
// A tunnel (CONNECT) for https, so a proxy sees nothing of it but the host; the absolute form for plain http.
import { setMaxListeners } from 'node:events';
import type * as http from 'node:http';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { bareHost, isLoopbackHost } from './addresses.ts';
import { plainText, registryError } from './failures.ts';

export interface ProxyRoute {
  /** Host and port, for errors. */
  readonly words: string;
  /** Of a request to the address. */
  readonly request: {
    readonly agent: http.Agent;
    readonly ca?: string[];
    readonly checkServerIdentity?: (name: string, certificate: PeerCertificate) => Error | undefined;
  };
}

export interface ProxyOptions {
  readonly ca?: string[];
  readonly maxSockets: number;
}

export class Proxies {
  readonly #options: ProxyOptions;
  readonly #closing = new AbortController();
  readonly #agents = new Map<string, http.Agent>();

  constructor(options: ProxyOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal);
  }

  /** Ends every connection, those on which a proxy has not answered too. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#closing.abort();
  }

  /** Undefined where the address is spoken to directly. */
  async routeTo(url: URL): Promise<ProxyRoute | undefined> {
    const host = bareHost(url.hostname);
    if (isLoopbackHost(host)) return undefined;
    const { getProxyForUrl } = await import('proxy-from-env');
    const text = getProxyForUrl(url.href);
    if (text === '') return undefined;
    const proxy = parseProxy(text, url);
    const agent = await this.#agent(proxy, url.protocol);
    const { ca } = this.#options;
    const end = {
      // The tunnel's own name is not the registry's: an address in a certificate is compared with where we want to be.
      checkServerIdentity: (_name: string, certificate: PeerCertificate): Error | undefined => checkServerIdentity(host, certificate),
      ...(ca === undefined ? {} : { ca }),
    };
    return { words: proxy.host, request: { agent, ...(url.protocol === 'https:' ? end : {}) } };
  }

  async #agent(proxy: URL, protocol: string): Promise<http.Agent> {
    const key = `${protocol} ${proxy.href}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const options = { ...this.#options, keepAlive: true, signal: this.#closing.signal };
    const agent =
      protocol === 'https:'
        ? new (await import('https-proxy-agent')).HttpsProxyAgent(proxy, options)
        : new (await import('http-proxy-agent')).HttpProxyAgent(proxy, options);
    this.#agents.set(key, agent);
    return agent;
  }
}

/** What a proxy answers to CONNECT instead of opening the way: never taken for an answer of the registry. */
export function refusedByProxy(status: number, where: string): Error {
  const said = `the proxy opens no way to it (${status})`;
  if (status === 407)
    return registryError('proxy', 'EACCES', said, where, 'give a user that the proxy knows: HTTPS_PROXY=http://USER:PASSWORD@PROXY');
  if (status === 429 || status >= 500) return registryError('busy', 'EAGAIN', said, where, 'try again later, or see NO_PROXY');
  return registryError('proxy', 'EACCES', said, where, 'ask whoever runs the proxy, or name the host in NO_PROXY');
}

/** Behind a proxy the address is not seen: a name counts as public, so that it leads nobody inside. */
export function isPublicByName(url: URL, isPublic: (address: string) => boolean): boolean {
  const host = bareHost(url.hostname);
  return isIP(host) === 0 || isPublic(host);
}

function parseProxy(text: string, url: URL): URL {
  const variable = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  let proxy: URL | undefined;
  try {
    proxy = new URL(text);
  } catch {
    proxy = undefined;
  }
  if (proxy !== undefined && (proxy.protocol === 'http:' || proxy.protocol === 'https:') && proxy.hostname !== '') return proxy;
  // Not shown whole: it may hold a password.
  const shown = plainText(text.replace(/^[a-z0-9+.-]*:\/\/[^/]*@/i, '…@'));
  throw registryError('proxy', 'EINVAL', `is no HTTP proxy: ${shown}`, variable, 'write http://HOST:PORT, or unset it');
}
