import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore } from '../../../src/image/layout-store.ts';
import { canonicalBytes, MEDIA, ociDigest } from '../../../src/image/oci.ts';
import type { ClientOptions } from '../../../src/image/registry/client.ts';
import type { RegistryLimits } from '../../../src/image/registry/limits.ts';
import { scratchStore } from '../scratch.ts';
import { makeImage, makeReferrer, type Made, randomLines } from './image-fixture.ts';
import { end, SmallRegistry, type Meddle } from './small-registry.ts';
import { LIMITS, pull, push } from './transfers.ts';

const BIG = randomLines(400_000);
const bigDigest = ociDigest(BIG);
const HASTY: RegistryLimits = { ...LIMITS, idleMs: 400, attempts: 2 };

let registry: SmallRegistry;
let source: ImageStore;
let directory: string;
let made: Made;

beforeAll(async () => {
  registry = await SmallRegistry.start({ referrers: true });
  directory = await fs.mkdtemp(join(process.env['TMPDIR'] ?? '/tmp', 'ctx-hostile-'));
  source = await ImageStore.open(join(directory, 'layout'));
  made = await makeImage(source, 'a/b:v1', [BIG, Buffer.from('line\n')]);
  await push(source, 'a/b:v1', `${registry.host}/a/b`);
});
afterAll(async () => {
  await registry.stop();
  await fs.rm(directory, { recursive: true, force: true });
});
beforeEach(() => {
  registry.meddle = () => false;
  registry.seen.length = 0;
});

/** Pulls, expects a failure, and that it left nothing half-imported. */
async function refused(meddle: Meddle, options: ClientOptions = {}, remote = `${registry.host}/a/b:v1`): Promise<Error> {
  registry.meddle = meddle;
  const store = await scratchStore();
  const error = await pull(store, remote, 'x:latest', { options }).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  if (!(error instanceof Error)) throw new Error('the pull worked');
  expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([]);
  expect(await store.entries()).toEqual([]);
  for (const name of await fs.readdir(join(store.directory, 'blobs/sha256')))
    expect(ociDigest(await fs.readFile(join(store.directory, 'blobs/sha256', name)))).toBe(`sha256:${name}`);
  return error;
}

const onBlob =
  (answer: Meddle): Meddle =>
  (request, response, body) =>
    request.method === 'GET' && request.url?.includes(`/blobs/${bigDigest}`) === true && answer(request, response, body);

const onManifest =
  (bytes: Buffer, type: string = MEDIA.manifest): Meddle =>
  ({ url }, response) => {
    if (url?.includes('/manifests/') !== true) return false;
    response.writeHead(200, { 'content-type': type });
    response.end(bytes);
    return true;
  };

/** The image with another config, or another manifest around it. */
function imageWith(config: unknown, change: Record<string, unknown> = {}): Meddle {
  const bytes = canonicalBytes(config);
  registry.blobs.set(ociDigest(bytes), bytes);
  const manifest = { ...made.manifest, config: { mediaType: MEDIA.config, digest: ociDigest(bytes), size: bytes.length }, ...change };
  return onManifest(canonicalBytes(manifest));
}

describe('IMG-60 a registry that stalls ends a pull after the idle time', () => {
  it.each<[string, Meddle]>([
    ['before its answer', onBlob(() => true)],
    [
      'in the middle of a blob',
      onBlob((_request, response) => {
        response.writeHead(200, { 'content-length': BIG.length });
        response.write(BIG.subarray(0, 1000));
        return true;
      }),
    ],
    [
      'with a byte now and then',
      onBlob((_request, response) => {
        response.writeHead(200, { 'content-length': BIG.length });
        const timer = setInterval(() => response.write('x'), 20);
        response.on('close', () => clearInterval(timer));
        return true;
      }),
    ],
  ])('%s', async (_name, meddle) => {
    const error = await refused(meddle, { limits: HASTY });
    expect(error).toMatchObject({ code: 'image.registry_stalled', errno: 'ETIMEDOUT' });
    expect(error).toMatchObject({ where: expect.stringContaining(registry.host) as string });
  });

  it('while it should take an upload', async () => {
    registry.meddle = ({ method }) => method === 'PUT';
    const store = await scratchStore();
    await makeImage(store, 'c:v1', [Buffer.from('fresh\n')]);
    await expect(push(store, 'c:v1', `${registry.host}/c/d`, { options: { limits: { ...HASTY, finishMs: 300 } } })).rejects.toMatchObject({
      code: 'image.registry_stalled',
    });
  });
});

describe('IMG-55 a registry that lies about bytes is found out before anything is named', () => {
  const other = Buffer.from(BIG);
  other[399_999] = (other[399_999] ?? 0) ^ 1;
  it.each<[string, Buffer, string]>([
    ['another blob of the same size', other, 'was said to be'],
    ['a longer one', Buffer.concat([BIG, BIG]), 'is longer than'],
    ['a shorter one', BIG.subarray(1), 'is 399999 bytes'],
    ['nothing', Buffer.alloc(0), 'is 0 bytes'],
  ])('%s', async (_name, bytes, words) => {
    const error = await refused(
      onBlob((_request, response) => {
        response.writeHead(200, { 'content-length': bytes.length });
        response.end(bytes);
        return true;
      }),
    );
    expect(error).toMatchObject({ code: 'image.digest_mismatch' });
    expect(error.message).toContain(words);
    expect(error).toMatchObject({ where: expect.stringContaining(bigDigest) as string });
  });

  it('a body without end', async () => {
    const error = await refused(
      onBlob((_request, response) => {
        const more = (): void => {
          while (!response.destroyed && response.write(BIG));
        };
        response.on('drain', more);
        more();
        return true;
      }),
    );
    expect(error.message).toContain('is longer than the 400000 bytes');
  });

  it('a Content-Length that is too long, and one that is too short', async () => {
    const long = await refused(
      onBlob((_request, response) => {
        response.writeHead(200, { 'content-length': BIG.length * 2 });
        response.write(BIG, () => response.destroy());
        return true;
      }),
      { limits: { ...LIMITS, attempts: 2 } },
    );
    expect(long).toMatchObject({ code: 'image.registry_cut' });
    const short = await refused(
      onBlob((request) => {
        request.socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n'), BIG]));
        return true;
      }),
    );
    expect(['image.digest_mismatch', 'image.registry_protocol', 'image.registry_cut']).toContain((short as { code?: string }).code);
  });

  it('a manifest that is not what its digest or its header says', async () => {
    const fake = canonicalBytes({ ...made.manifest, annotations: { a: 'b' } });
    const byDigest = await refused(onManifest(fake), {}, `${registry.host}/a/b@${made.descriptor.digest}`);
    expect(byDigest).toMatchObject({ code: 'image.digest_mismatch' });
    const byHeader = await refused(({ url }, response) => {
      if (url?.includes('/manifests/') !== true) return false;
      response.writeHead(200, { 'content-type': MEDIA.manifest, 'docker-content-digest': made.descriptor.digest });
      response.end(fake);
      return true;
    });
    expect(byHeader).toMatchObject({ code: 'image.digest_mismatch' });
  });
});

describe('IMG-59 what comes wrong is refused by name', () => {
  it.each<[string, () => Meddle, string, string]>([
    ['a manifest of 5 MiB', () => onManifest(Buffer.alloc(5 * 1024 * 1024, ' ')), 'image.registry_too_large', '4194304'],
    ['a manifest nested deeply', () => onManifest(Buffer.from('{"a":'.repeat(5000) + '1' + '}'.repeat(5000))), 'image.invalid', 'nested'],
    ['a manifest that is no JSON', () => onManifest(Buffer.from('<html>')), 'image.invalid', 'not JSON'],
    ['a page', () => onManifest(Buffer.from('<html>'), 'text/html'), 'image.registry_content_type', 'text/html'],
    ['an index of several', () => onManifest(Buffer.from('{}'), MEDIA.index), 'image.registry_content_type', 'index'],
    ['a config nested deeply', () => imageWith(JSON.parse('{"a":'.repeat(100) + '1' + '}'.repeat(100))), 'image.invalid', 'nested'],
    ['a container image', () => imageWith({ architecture: 'amd64' }, { artifactType: undefined }), 'image.opaque', 'artifactType'],
    ['a config without a source', () => imageWith({ ...made.config, source: {} }), 'image.opaque', 'source.source_hash'],
    ['a config without provenance', () => imageWith({ ...made.config, rebuild: undefined }), 'image.opaque', 'provenance (rebuild)'],
    ['a config without a model', () => imageWith({ ...made.config, model: {} }), 'image.opaque', 'compatibility metadata (model)'],
    ['a config without a runtime', () => imageWith({ ...made.config, runtime: 1 }), 'image.opaque', 'compatibility metadata (runtime)'],
    ['another schema', () => imageWith({ ...made.config, schema: 'x' }), 'image.opaque', 'schema (context-image/v1.0)'],
    ['a config with a field of its own', () => imageWith({ ...made.config, extra: 1 }), 'image.config', 'extra'],
    [
      'a path that leads out',
      () => {
        const files = [{ path: '../../etc/passwd', size: 1, digest: bigDigest }];
        return imageWith({ ...made.config, layers: [{ name: 'l', role: 'base', parts: [], files }] });
      },
      'image.config',
      'path',
    ],
    ['a part that it does not carry', () => imageWith(made.config, { layers: made.manifest.layers.slice(1) }), 'image.opaque', bigDigest],
    [
      'a blob of nine petabytes',
      () =>
        imageWith(made.config, {
          layers: [...made.manifest.layers, { mediaType: MEDIA.order, digest: ociDigest('z'), size: 2 ** 53 - 1 }],
        }),
      'image.no_space',
      'bytes',
    ],
    [
      'a digest that is a path',
      () => imageWith(made.config, { layers: [{ mediaType: 'a/b', digest: '../../x', size: 1 }] }),
      'image.invalid',
      '../../x',
    ],
    [
      'a digest of another kind',
      () => imageWith(made.config, { layers: [{ mediaType: 'a/b', digest: `md5:${'0'.repeat(32)}`, size: 1 }] }),
      'image.invalid',
      'sha256',
    ],
    ['nothing there', () => (_request, response) => (end(response, 404), true), 'image.registry_missing', 'not there'],
    [
      'an encoded answer',
      () => onBlob((_r, response) => (end(response, 200, { 'content-encoding': 'gzip' }), true)),
      'image.registry_protocol',
      'gzip',
    ],
    [
      'headers without end',
      () => (_request, response) => (end(response, 200, { 'x-large': 'x'.repeat(100_000) }), true),
      'image.registry_protocol',
      'HTTP',
    ],
    ['no HTTP', () => (request) => (request.socket.end('SSH-2.0-x\r\n\r\n'), true), 'image.registry_protocol', 'HTTP'],
    ['a refusal', () => (_request, response) => (end(response, 403), true), 'image.registry_denied', '403'],
    ['an odd status', () => (_request, response) => (end(response, 418), true), 'image.registry_status', '418'],
  ])('%s', async (_name, meddle, code, words) => {
    const error = await refused(meddle(), { limits: { ...LIMITS, attempts: 2 } });
    expect(error).toMatchObject({ code });
    expect((error as unknown as { describe(): string }).describe()).toContain(words);
  });

  it('what a registry says is shown on one line, without control characters', async () => {
    const message = 'a\u001b[31mb\r\nc\u202ed\u2028e\u0000f\u{e0041}';
    const error = await refused(
      (_request, response) => (end(response, 400, {}, JSON.stringify({ errors: [{ code: 'X', message }] })), true),
    );
    expect(error.message).toBe('answered 400 (X: a [31mb c d e f)');
  });

  it('referrers without end, about something else, or on another host', async () => {
    const many = Array.from({ length: 300 }, (_, n) => ({ mediaType: MEDIA.manifest, digest: ociDigest(String(n)), size: 1 }));
    const listing =
      (manifests: readonly unknown[], headers: Record<string, string> = {}): Meddle =>
      ({ url }, response) => {
        if (url?.includes('/referrers/') !== true) return false;
        end(response, 200, { 'content-type': MEDIA.index, ...headers }, JSON.stringify({ schemaVersion: 2, manifests }));
        return true;
      };
    expect(await refused(listing(many))).toMatchObject({ code: 'image.registry_too_large' });
    expect(await refused(listing([], { link: '<?n=1>; rel="next"' }))).toMatchObject({ code: 'image.registry_too_large' });
    expect(await refused(listing([], { link: '<http://127.0.0.2/x>; rel="next"' }))).toMatchObject({ code: 'image.registry_location' });
    const stranger = await makeReferrer(source, { ...made.descriptor, digest: ociDigest('else') }, 'compiled', Buffer.from('kv'));
    registry.putManifest('a/b', stranger.digest, await source.read(stranger));
    registry.meddle = listing([{ mediaType: MEDIA.manifest, digest: stranger.digest, size: stranger.size }]);
    const store = await scratchStore();
    expect(await pull(store, `${registry.host}/a/b:v1`, 'x:latest')).toMatchObject({ referrers: [] });
  });
});

describe('IMG-61 what may pass is tried again, with pauses that have a bound', () => {
  it('a blob that is cut at every chunk is gone on with where it was cut', async () => {
    const asked: (string | undefined)[] = [];
    registry.meddle = onBlob(({ headers }, response) => {
      asked.push(headers.range);
      const from = Number(/\d+/.exec(headers.range ?? '0')?.[0]);
      const range = from > 0 ? { 'content-range': `bytes ${from}-399999/400000` } : {};
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': BIG.length - from, ...range });
      response.write(BIG.subarray(from, from + 100_000), () => response.destroy());
      return true;
    });
    const store = await scratchStore();
    const limits = { ...LIMITS, attempts: 50 };
    const pulled = await pull(store, `${registry.host}/a/b:v1`, 'x:latest', { options: { limits } });
    expect(pulled.fetchedBytes).toBe(BIG.length + 5);
    expect(asked.length).toBeGreaterThan(3);
    expect(asked.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ''))).toBe(true);
  });

  it('a registry that ignores ranges sends the front again, and it is skipped', async () => {
    let times = 0;
    registry.meddle = onBlob((_request, response) => {
      response.writeHead(200, { 'content-length': BIG.length });
      times += 1;
      if (times > 2) response.end(BIG);
      else response.write(BIG.subarray(0, 200_000), () => response.destroy());
      return true;
    });
    const store = await scratchStore();
    await pull(store, `${registry.host}/a/b:v1`, 'x:latest');
    expect(times).toBe(3);
  });

  it('a registry that always cuts is given up', async () => {
    const error = await refused(onBlob((_request, response) => (response.destroy(), true)));
    expect(error).toMatchObject({ code: 'image.registry_cut' });
    expect(registry.count('GET', bigDigest)).toBe(LIMITS.attempts);
  });

  it('500 and 429 are tried again, whatever Retry-After asks for', async () => {
    let left = 3;
    registry.meddle = (_request, response) => {
      if (left === 0) return false;
      left -= 1;
      end(response, left === 1 ? 429 : 503, { 'retry-after': '86400' });
      return true;
    };
    const store = await scratchStore();
    await pull(store, `${registry.host}/a/b:v1`, 'x:latest');
    expect(left).toBe(0);
    expect(await refused((_request, response) => (end(response, 500), true))).toMatchObject({ code: 'image.registry_busy' });
  });
});
