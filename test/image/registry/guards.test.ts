import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, test } from 'vitest';
import { ImageStore } from '../../../src/image/layout-store.ts';
import { isLoopbackHost, isPublicAddress } from '../../../src/image/registry/addresses.ts';
import { parseChallenge } from '../../../src/image/registry/challenge.ts';
import type { ClientOptions } from '../../../src/image/registry/client.ts';
import { parseRegistry, parseRemote, remoteWords, wanted } from '../../../src/image/registry/remote.ts';
import { pauseMs, retryAfterMs } from '../../../src/image/registry/retry.ts';
import { runProgram } from '../../cli/program.ts';
import { scratchStore } from '../scratch.ts';
import { makeImage, randomLines, type Made } from './image-fixture.ts';
import { end, SmallRegistry, type Meddle } from './small-registry.ts';
import { LIMITS, NOBODY, pull, push } from './transfers.ts';

let registry: SmallRegistry;
let elsewhere: SmallRegistry;
let directory: string;
let source: ImageStore;
let made: Made;
const credentials = { kind: 'password', user: 'u', password: 'p' } as const;
const BASIC = `Basic ${Buffer.from('u:p').toString('base64')}`;

beforeAll(async () => {
  [registry, elsewhere] = await Promise.all([SmallRegistry.start({ referrers: true }), SmallRegistry.start()]);
  directory = await fs.mkdtemp(join(process.env['TMPDIR'] ?? '/tmp', 'ctx-guards-'));
  source = await ImageStore.open(join(directory, 'layout'));
  made = await makeImage(source, 'a/b:v1', [randomLines(50_000), Buffer.from('line\n')]);
  await push(source, 'a/b:v1', `${registry.host}/a/b`);
  for (const [digest, bytes] of registry.blobs) elsewhere.blobs.set(digest, bytes);
});
afterAll(async () => {
  await Promise.all([registry.stop(), elsewhere.stop()]);
  await fs.rm(directory, { recursive: true, force: true });
});
beforeEach(() => {
  for (const one of [registry, elsewhere]) {
    one.meddle = () => false;
    one.seen.length = 0;
  }
});

async function pulled(options: ClientOptions = {}, remote = `${registry.host}/a/b:v1`): Promise<unknown> {
  return pull(await scratchStore(), remote, 'x:latest', { options: { limits: LIMITS, ...options } });
}

const redirectBlobs =
  (to: (digest: string) => string, status = 307): Meddle =>
  ({ url = '', method }, response) => {
    if (method !== 'GET' || !url.includes('/blobs/')) return false;
    end(response, status, { location: to(url.split('/').at(-1) ?? '') });
    return true;
  };

describe('IMG-57 a registry leads nobody astray', () => {
  it('a redirect to another host is followed for blobs, without the password', async () => {
    registry.meddle = (request, response, body) => {
      if (request.headers.authorization !== BASIC) return (end(response, 401, { 'www-authenticate': 'Basic realm="x"' }), true);
      return redirectBlobs((digest) => `http://u:p@${elsewhere.host}/v2/a/b/blobs/${digest}`)(request, response, body);
    };
    await pulled({ credentials });
    expect(elsewhere.seen.length).toBe(3);
    for (const { headers } of elsewhere.seen) expect(headers.authorization).toBeUndefined();
    expect(registry.seen.some(({ headers }) => headers.authorization === BASIC)).toBe(true);
  });

  it.each<[string, () => Meddle]>([
    ['to itself', () => redirectBlobs((digest) => `/v2/a/b/blobs/${digest}`)],
    ['in a chain without end', () => redirectBlobs((digest) => `/v2/a/b/blobs/${digest}?${Math.random()}`, 302)],
  ])('a redirect %s ends', async (_name, meddle) => {
    registry.meddle = meddle();
    await expect(pulled()).rejects.toMatchObject({ code: 'image.registry_redirect', errno: 'ELOOP' });
    expect(registry.count('GET', '/blobs/')).toBeLessThan(10);
  });

  it.each(['file:///etc/passwd', 'data:text/plain,x', 'ftp://127.0.0.1/', 'http://[', ''])('a redirect to %s is none', async (location) => {
    registry.meddle = redirectBlobs(() => location);
    await expect(pulled()).rejects.toMatchObject({ code: expect.stringMatching(/^image\.registry_redirect$/) as string });
  });

  it('a public registry does not lead into a private network, by address or by name', async () => {
    const open = await SmallRegistry.start({ address: '127.0.0.2', referrers: true });
    try {
      for (const [digest, bytes] of registry.blobs) open.blobs.set(digest, bytes);
      for (const [name, manifest] of registry.manifests) open.manifests.set(name, manifest);
      const options = { isPublic: (address: string) => address === '127.0.0.2' };
      const port = elsewhere.host.split(':')[1] ?? '';
      for (const host of [elsewhere.host, `localhost:${port}`, `[::1]:${port}`, `2130706433:${port}`]) {
        open.meddle = redirectBlobs((digest) => `http://${host}/v2/a/b/blobs/${digest}`);
        await expect(pulled(options, `${open.host}/a/b:v1`), host).rejects.toMatchObject({
          code: 'image.registry_redirect',
          errno: 'EACCES',
        });
      }
      open.meddle = (_request, response) => (
        end(response, 401, { 'www-authenticate': `Bearer realm="http://${elsewhere.host}/token"` }),
        true
      );
      await expect(pulled(options, `${open.host}/a/b:v1`)).rejects.toMatchObject({ code: 'image.registry_redirect' });
      expect(elsewhere.seen).toEqual([]);
      // From one that is itself inside, the way is open.
      open.meddle = redirectBlobs((digest) => `http://${elsewhere.host}/v2/a/b/blobs/${digest}`);
      await pulled({}, `${open.host}/a/b:v1`);
    } finally {
      await open.stop();
    }
  });

  it.each([() => `http://${elsewhere.host}/v2/a/b/blobs/uploads/1`, () => '//elsewhere.example/x', () => 'http://', () => ''])(
    'an upload goes nowhere else',
    async (location) => {
      const store = await scratchStore();
      await makeImage(store, 'secret:v1', [Buffer.from('secret\n')]);
      registry.meddle = ({ method }, response) => method === 'POST' && (end(response, 202, { location: location() }), true);
      await expect(push(store, 'secret:v1', `${registry.host}/s/s`)).rejects.toMatchObject({ code: 'image.registry_location' });
      expect(elsewhere.seen).toEqual([]);
      expect(registry.seen.every(({ bodyBytes }) => bodyBytes === 0)).toBe(true);
    },
  );
});

describe('IMG-53 tokens', () => {
  const bearer = (realm: string): string => `Bearer realm="${realm}",service="the \\"registry\\"",scope="repository:a/b:pull"`;
  const guarded =
    (realm: string, token: string): Meddle =>
    ({ headers }, response) =>
      headers.authorization !== `Bearer ${token}` && (end(response, 401, { 'www-authenticate': bearer(realm) }), true);

  it('are asked for at the realm, once for each scope, with the password; and again when one has expired', async () => {
    let token = 'first';
    elsewhere.meddle = (_request, response) => (end(response, 200, {}, JSON.stringify({ token })), true);
    registry.meddle = (...all) => guarded(`http://${elsewhere.host}/token?x=1`, token)(...all);
    const store = await scratchStore();
    await makeImage(store, 'p/q:v1', [Buffer.from('1\n'), Buffer.from('2\n')]);
    await push(store, 'p/q:v1', `${registry.host}/p/q`, { options: { credentials } });
    expect(elsewhere.seen).toHaveLength(1);
    const [asked] = elsewhere.seen;
    expect(asked?.headers.authorization).toBe(BASIC);
    expect([...new URL(asked?.url ?? '', 'http://x').searchParams]).toEqual([
      ['x', '1'],
      ['service', 'the "registry"'],
      ['scope', 'repository:p/q:pull,push'],
    ]);
    // It expires in the middle.
    let left = 2;
    registry.meddle = (request, response, body) => {
      if (request.url?.includes('/blobs/') === true && (left -= 1) === 0) token = 'second';
      return guarded(`http://${elsewhere.host}/token`, token)(request, response, body);
    };
    await pulled({ credentials });
    expect(elsewhere.seen.length).toBe(3);
  });

  it('an identity token is exchanged', async () => {
    let form = '';
    elsewhere.meddle = (_request, response, body) => ((form = body.toString()), end(response, 200, {}, '{"access_token":"t"}'), true);
    registry.meddle = guarded(`http://${elsewhere.host}/token`, 't');
    await pulled({ credentials: { kind: 'identity', token: 'refresh&me' } });
    expect(elsewhere.seen.every(({ method, headers }) => method === 'POST' && headers.authorization === undefined)).toBe(true);
    expect(Object.fromEntries(new URLSearchParams(form))).toMatchObject({ grant_type: 'refresh_token', refresh_token: 'refresh&me' });
  });

  it.each(['http://elsewhere.example/token', 'file:///etc/passwd', 'nothing', 'https://u:p@elsewhere.example/'])(
    'the realm %s gets no password',
    async (realm) => {
      registry.meddle = guarded(realm, 't');
      await expect(pulled({ credentials })).rejects.toMatchObject({ code: 'image.registry_realm' });
    },
  );

  it.each<[string, Meddle, string]>([
    ['a redirect', (_q, response) => (end(response, 307, { location: `http://${'x'}.example/` }), true), 'image.registry_status'],
    ['a refusal', (_q, response) => (end(response, 401), true), 'image.registry_denied'],
    ['a token with a line end', (_q, response) => (end(response, 200, {}, '{"token":"a\\r\\nb"}'), true), 'image.registry_denied'],
    ['a token that is none', (_q, response) => (end(response, 200, {}, '{"token":{}}'), true), 'image.registry_denied'],
    ['no JSON', (_q, response) => (end(response, 200, {}, 'x'), true), 'image.invalid'],
    ['two megabytes', (_q, response) => (end(response, 200, {}, 'x'.repeat(2_000_000)), true), 'image.registry_too_large'],
    ['a token that is refused', (_q, response) => (end(response, 200, {}, '{"token":"wrong"}'), true), 'image.registry_denied'],
  ])('a realm that answers with %s', async (_name, meddle, code) => {
    elsewhere.meddle = meddle;
    registry.meddle = guarded(`http://${elsewhere.host}/token`, 'right');
    await expect(pulled({ credentials })).rejects.toMatchObject({ code });
  });

  it('a challenge is read whatever its order and spacing', () => {
    expect(parseChallenge('Basic realm="a", Bearer realm="https://r/t" , service=s')).toEqual({
      scheme: 'bearer',
      realm: 'https://r/t',
      service: 's',
    });
    expect(parseChallenge('bearer service="a,b",realm="r"')).toEqual({ scheme: 'bearer', realm: 'r', service: 'a,b' });
    expect(parseChallenge('BASIC')).toEqual({ scheme: 'basic' });
    for (const header of [undefined, '', 'Digest realm="x"', 'Bearer', 'Bearer service="x"', `Bearer realm="${'x'.repeat(9000)}"`])
      expect(parseChallenge(header), header).toBeUndefined();
  });
});

test('IMG-53 TLS is verified, its authorities are configured as elsewhere, and it is never left', async () => {
  const key = join(directory, 'key.pem');
  const cert = join(directory, 'cert.pem');
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2', '-nodes'];
  const { code } = await runProgram('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-keyout', key, '-out', cert, ...subject]);
  expect(code).toBe(0);
  const tls = { key: await fs.readFile(key, 'utf8'), cert: await fs.readFile(cert, 'utf8') };
  const secure = await SmallRegistry.start({ tls, referrers: true });
  try {
    for (const [digest, bytes] of registry.blobs) secure.blobs.set(digest, bytes);
    for (const [name, manifest] of registry.manifests) secure.manifests.set(name, manifest);
    const remote = `https://${secure.host}/a/b:v1`;
    await expect(pulled({}, remote)).rejects.toMatchObject({ code: 'image.registry_tls' });
    const environment = { ...NOBODY, SSL_CERT_FILE: cert };
    expect(await pulled({ environment }, remote)).toMatchObject({ digest: made.descriptor.digest });
    secure.meddle = redirectBlobs((digest) => `http://${elsewhere.host}/v2/a/b/blobs/${digest}`);
    await expect(pulled({ environment }, remote)).rejects.toMatchObject({ code: 'image.registry_redirect' });
    secure.meddle = (_request, response) => (end(response, 401, { 'www-authenticate': `Bearer realm="http://${elsewhere.host}/t"` }), true);
    await expect(pulled({ environment, credentials }, remote)).rejects.toMatchObject({ code: 'image.registry_realm' });
    expect(elsewhere.seen).toEqual([]);
    await expect(pulled({}, `https://${registry.host}/a/b:v1`)).rejects.toMatchObject({ code: 'image.registry_tls' });
    await expect(pulled({ environment: { SSL_CERT_FILE: join(directory, 'none') } }, remote)).rejects.toMatchObject({
      code: 'image.registry_tls',
    });
  } finally {
    await secure.stop();
  }
});

test('IMG-50 a remote has a registry in front: a first part with a dot or a port, or localhost', () => {
  const read = (text: string, insecure = false): string => {
    const remote = parseRemote(text, insecure);
    return `${remote.registry.base.href} ${remoteWords(remote, wanted(remote))}`;
  };
  expect(read('registry.example/quilt/customer-review:2026.05')).toBe(
    'https://registry.example/v2/ registry.example/quilt/customer-review:2026.05',
  );
  expect(read('localhost/a')).toBe('http://localhost/v2/ localhost/a:latest');
  expect(read('Registry.Example:5000/a', true)).toBe('http://registry.example:5000/v2/ registry.example:5000/a:latest');
  expect(read('https://127.0.0.1:5000/a')).toBe('https://127.0.0.1:5000/v2/ 127.0.0.1:5000/a:latest');
  expect(read('[::1]:5000/a')).toBe('http://[::1]:5000/v2/ [::1]:5000/a:latest');
  expect(read('docker.io/a')).toBe('https://registry-1.docker.io/v2/ docker.io/library/a:latest');
  expect(read(`a.example/b:c@${made.descriptor.digest}`)).toBe(`https://a.example/v2/ a.example/b@${made.descriptor.digest}`);
  for (const bad of [
    'quilt/customer-review',
    'registry.example',
    'registry.example/',
    'registry.example/A',
    'registry.example/../x',
    'registry.example/a/../../x',
    'registry.example/a?x',
    'registry.example/a%2e%2e/b',
    'régistry.example/a',
    'registry.example/ä',
    'registry.example/а',
    'registry.example:99999/a',
    'registry.example:x/a',
    'u:p@registry.example/a',
    '-x.example/a',
    'a..example/b',
    'registry.example/a:..',
    'registry.example/a:x/y',
    'registry.example/a@sha256:00',
    'registry.example/image:image:a',
    'ftp://registry.example/a',
    '.../a',
    `${'a.'.repeat(5)}/a`,
    '[zz]/a',
  ])
    expect(() => parseRemote(bad, false), bad).toThrow(expect.objectContaining({ code: 'image.remote' }) as Error);
  expect(() => parseRegistry('http://registry.example', false)).toThrow('plain HTTP');
  for (const host of ['localhost', 'a.localhost', '127.1.2.3', '[::1]', '::1']) expect(isLoopbackHost(host), host).toBe(true);
  for (const host of ['localhost.example', '128.0.0.1', 'a', '[::2]']) expect(isLoopbackHost(host), host).toBe(false);
});

test('addresses that are not of the public internet', () => {
  for (const inside of [
    '127.0.0.1',
    '0.0.0.0',
    '169.254.1.1',
    '100.64.0.1',
    '224.0.0.1',
    '::1',
    '::',
    'fe80::1',
    'fc00::1',
    '::ffff:127.0.0.1',
    'x',
    '',
  ])
    expect(isPublicAddress(inside), inside).toBe(false);
  for (const outside of ['8.8.8.8', '2001:4860:4860::8888']) expect(isPublicAddress(outside), outside).toBe(true);
});

test('IMG-61 pauses grow and have a bound', () => {
  const limits = { ...LIMITS, backoffMs: 100, maxPauseMs: 1000 };
  expect([0, 1, 2, 10, 1000].map((attempt) => pauseMs(limits, attempt, undefined, 1))).toEqual([100, 200, 400, 1000, 1000]);
  expect(pauseMs(limits, 0, 500, 0)).toBe(500);
  expect(pauseMs(limits, 0, 86_400_000, 0)).toBe(1000);
  expect(retryAfterMs('7')).toBe(7000);
  expect(retryAfterMs('Fri, 20 Nov 2026 20:00:10 GMT', Date.parse('2026-11-20T20:00:00Z'))).toBe(10_000);
  for (const nothing of [undefined, 'soon', '-1', '1e9']) expect(retryAfterMs(nothing, 0) ?? 0, nothing).toBeGreaterThanOrEqual(0);
});
