import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ImageStore } from '../../../src/image/layout-store.ts';
import type { ClientOptions } from '../../../src/image/registry/client.ts';
import { runProgram } from '../../cli/program.ts';
import { scratchStore } from '../scratch.ts';
import { makeImage, randomLines, type Made } from './image-fixture.ts';
import { end, SmallRegistry } from './small-registry.ts';
import { LIMITS, NOBODY, pull, push } from './transfers.ts';

/** A forward proxy: CONNECT and the absolute form, to whatever `hosts` says a name is. */
class SmallProxy {
  readonly hosts = new Map<string, string>();
  readonly seen: { readonly method: string; readonly url: string; readonly headers: IncomingHttpHeaders }[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  /** The head that CONNECT is answered with instead; '' for silence. */
  answer: string | undefined;

  private constructor() {
    this.#server = createServer((request, response) => {
      const { method = '', url = '', headers } = request;
      this.seen.push({ method, url, headers });
      const to = new URL(url);
      const real = this.hosts.get(to.host);
      if (real === undefined) return end(response, 502);
      const onward = httpRequest(`http://${real}${to.pathname}${to.search}`, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      request.pipe(onward);
    });
    this.#server.on('connect', ({ method = '', url = '', headers }, socket: Socket) => {
      this.seen.push({ method, url, headers });
      this.#keep(socket);
      const real = this.hosts.get(url)?.split(':');
      if (this.answer !== undefined || real === undefined)
        return socket
          .on('end', () => socket.destroy())
          .resume()
          .write(this.answer ?? 'HTTP/1.1 502 No\r\n\r\n');
      const onward = connect(Number(real[1]), real[0], () => {
        socket.write('HTTP/1.1 200 Open\r\n\r\n');
        socket.pipe(onward).pipe(socket);
      });
      this.#keep(onward);
    });
  }

  static async start(): Promise<SmallProxy> {
    const proxy = new SmallProxy();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get open(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

let directory: string;
let proxy: SmallProxy;
let secure: SmallRegistry;
let plain: SmallRegistry;
let source: ImageStore;
let made: Made;
let environment: NodeJS.ProcessEnv;
/** A name, and an address of a documentation network, that only the proxy knows. */
const NAMED = 'registry.test:5001';
const NUMBERED = '192.0.2.7:5001';

beforeAll(async () => {
  directory = await fs.mkdtemp(join(process.env['TMPDIR'] ?? '/tmp', 'ctx-proxies-'));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const names = ['-subj', '/CN=registry.test', '-addext', 'subjectAltName=DNS:registry.test,IP:192.0.2.7'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-days', '2', '-nodes'];
  const { code } = await runProgram('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...names]);
  expect(code).toBe(0);
  const tls = { key: await fs.readFile(key, 'utf8'), cert: await fs.readFile(cert, 'utf8') };
  [proxy, secure, plain] = await Promise.all([
    SmallProxy.start(),
    SmallRegistry.start({ tls, referrers: true }),
    SmallRegistry.start({ referrers: true }),
  ]);
  environment = { ...NOBODY, SSL_CERT_FILE: cert };
  source = await ImageStore.open(join(directory, 'layout'));
  made = await makeImage(source, 'a/b:v1', [randomLines(50_000), Buffer.from('line\n')]);
});
afterAll(async () => {
  await Promise.all([proxy.stop(), secure.stop(), plain.stop()]);
  await fs.rm(directory, { recursive: true, force: true });
});
beforeEach(() => {
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY']) {
    vi.stubEnv(name, undefined);
    vi.stubEnv(name.toLowerCase(), undefined);
  }
  proxy.answer = undefined;
  proxy.seen.length = 0;
  proxy.hosts.clear();
  for (const host of [NAMED, NUMBERED, 'other.test:5001']) proxy.hosts.set(host, secure.host);
  for (const registry of [secure, plain]) registry.meddle = () => false;
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const fetched = async (remote: string, options: ClientOptions = {}): Promise<unknown> =>
  pull(await scratchStore(), remote, 'x:latest', { options: { environment, limits: LIMITS, ...options } });

test('IMG-63 TLS goes through a tunnel, checked end to end; the proxy gets its own password and no other', async () => {
  vi.stubEnv('HTTPS_PROXY', `http://me:s%40cret@${proxy.host}`);
  const credentials = { kind: 'password', user: 'u', password: 'p' } as const;
  secure.meddle = ({ headers }, response) =>
    headers.authorization === undefined && (end(response, 401, { 'www-authenticate': 'Basic realm="x"' }), true);
  await push(source, 'a/b:v1', `${NAMED}/a/b`, { options: { environment, limits: LIMITS, credentials } });
  expect(await fetched(`${NAMED}/a/b:v1`, { credentials })).toMatchObject({ digest: made.descriptor.digest });
  expect(proxy.seen.length).toBeGreaterThan(0);
  for (const { method, url, headers } of proxy.seen) {
    expect([method, url]).toEqual(['CONNECT', NAMED]);
    expect(headers['proxy-authorization']).toBe(`Basic ${Buffer.from('me:s@cret').toString('base64')}`);
    expect(headers.authorization).toBeUndefined();
  }
  for (const { headers } of secure.seen) expect(headers['proxy-authorization']).toBeUndefined();
  // By an address too: its own name counts, not that of the proxy.
  expect(await fetched(`https://${NUMBERED}/a/b:v1`, { credentials })).toMatchObject({ digest: made.descriptor.digest });
  await expect(fetched('other.test:5001/a/b:v1')).rejects.toMatchObject({ code: 'image.registry_tls' });
  proxy.hosts.set('192.0.2.8:5001', secure.host);
  await expect(fetched('https://192.0.2.8:5001/a/b:v1')).rejects.toMatchObject({ code: 'image.registry_tls' });
  await expect(fetched(`${NAMED}/a/b:v1`, { environment: NOBODY })).rejects.toMatchObject({ code: 'image.registry_tls' });
});

test('IMG-63 plain HTTP goes through HTTP_PROXY; loopback and NO_PROXY go directly', async () => {
  vi.stubEnv('http_proxy', `http://${proxy.host}`);
  vi.stubEnv('HTTPS_PROXY', 'http://192.0.2.1:1');
  proxy.hosts.set('plain.test', plain.host);
  const { parseRemote } = await import('../../../src/image/registry/remote.ts');
  const { RegistryClient } = await import('../../../src/image/registry/client.ts');
  const client = new RegistryClient(parseRemote('plain.test/a/b:v1', true).registry, { environment, limits: LIMITS });
  try {
    const answer = await client.send({ method: 'GET', path: '', scopes: [] });
    expect(answer.status).toBe(200);
    answer.discard();
  } finally {
    client.close();
  }
  expect(proxy.seen.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET http://plain.test/v2/']);
  proxy.seen.length = 0;
  await push(source, 'a/b:v1', `${plain.host}/a/b`, { options: { environment, limits: LIMITS } });
  expect(await fetched(`${plain.host}/a/b:v1`)).toMatchObject({ digest: made.descriptor.digest });
  vi.stubEnv('HTTPS_PROXY', `http://${proxy.host}`);
  for (const spared of ['registry.test', '*', '.test', 'x.example, registry.test:5001']) {
    vi.stubEnv('NO_PROXY', spared);
    const limits = { ...LIMITS, attempts: 1 };
    await expect(fetched(`${NAMED}/a/b:v1`, { limits }), spared).rejects.toMatchObject({ code: 'image.registry_unreachable' });
  }
  expect(proxy.seen).toEqual([]);
});

test.each([
  ['HTTP/1.1 407 Who\r\n\r\n', 'image.registry_proxy', /registry\.test.*through the proxy 127\.0\.0\.1.*407/],
  // What a proxy says in place of the registry is not the registry's: no realm, no redirect of it is followed.
  ['HTTP/1.1 401 No\r\nwww-authenticate: Bearer realm="https://registry.test:5001/t"\r\n\r\n', 'image.registry_proxy', /401/],
  ['HTTP/1.1 307 There\r\nlocation: https://other.test:5001/\r\n\r\n', 'image.registry_proxy', /307/],
  ['HTTP/1.1 502 No\r\n\r\n', 'image.registry_busy', /502/],
  ['not HTTP at all\r\n\r\n', 'image.registry_proxy', /through the proxy/],
])('IMG-63 a proxy that answers %j opens no way', async (answer, code, what) => {
  vi.stubEnv('HTTPS_PROXY', `http://${proxy.host}`);
  proxy.answer = answer;
  const before = secure.seen.length;
  const credentials = { kind: 'password', user: 'u', password: 'p' } as const;
  const error = await fetched(`${NAMED}/a/b:v1`, { credentials, limits: { ...LIMITS, attempts: 2 } }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code });
  expect(`${(error as { where: string }).where} ${(error as Error).message}`).toMatch(what);
  expect(secure.seen.length).toBe(before);
});

test('IMG-63 a proxy that says nothing, is not there or is none has a bound, and nothing stays open', async () => {
  vi.stubEnv('HTTPS_PROXY', `http://${proxy.host}`);
  proxy.answer = '';
  const limits = { ...LIMITS, idleMs: 100, attempts: 2 };
  await expect(fetched(`${NAMED}/a/b:v1`, { limits })).rejects.toMatchObject({ code: 'image.registry_stalled' });
  await vi.waitUntil(() => proxy.open === 0, { timeout: 60_000 });
  vi.stubEnv('HTTPS_PROXY', 'http://127.0.0.1:1');
  await expect(fetched(`${NAMED}/a/b:v1`, { limits })).rejects.toMatchObject({
    code: 'image.registry_unreachable',
    where: expect.stringContaining('through the proxy 127.0.0.1:1') as string,
  });
  for (const none of ['socks5://me:secret@127.0.0.1:1', 'http://', '://']) {
    vi.stubEnv('HTTPS_PROXY', none);
    const error = await fetched(`${NAMED}/a/b:v1`).catch((thrown: unknown) => thrown);
    expect(error, none).toMatchObject({ code: 'image.registry_proxy', where: 'HTTPS_PROXY' });
    expect(String(error)).not.toContain('secret');
  }
});

test('IMG-57 a registry behind a proxy counts as public: it leads nobody inside', async () => {
  vi.stubEnv('HTTPS_PROXY', `http://${proxy.host}`);
  proxy.hosts.set('10.0.0.1', secure.host);
  for (const inside of ['https://10.0.0.1/x', `https://${secure.host}/x`, 'https://localhost/x']) {
    secure.meddle = ({ url = '' }, response) => url.includes('/blobs/') && (end(response, 307, { location: inside }), true);
    await expect(fetched(`${NAMED}/a/b:v1`), inside).rejects.toMatchObject({ code: 'image.registry_redirect' });
  }
  expect(proxy.seen.every(({ url }) => url === NAMED)).toBe(true);
});
