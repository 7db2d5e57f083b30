import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ociDigest } from '../../../src/image/oci.ts';
import { scratchStore } from '../scratch.ts';
import { makeImage, randomLines } from './image-fixture.ts';
import { end, SmallRegistry } from './small-registry.ts';
import { LIMITS, push } from './transfers.ts';

const limits = { ...LIMITS, chunkBytes: 100_000, attempts: 3 };
const BIG = randomLines(450_000);
let registry: SmallRegistry;

beforeAll(async () => {
  registry = await SmallRegistry.start({ referrers: true });
});
afterAll(() => registry.stop());
beforeEach(() => {
  registry.meddle = () => false;
  registry.seen.length = 0;
  registry.blobs.clear();
  registry.manifests.clear();
});

async function image(): Promise<(options?: { readonly attempts: number }) => ReturnType<typeof push>> {
  const store = await scratchStore();
  await makeImage(store, 'big:v1', [BIG]);
  return (more) => push(store, 'big:v1', `${registry.host}/x/big`, { options: { limits: { ...limits, ...more } } });
}
const kept = (): boolean => registry.blobs.get(ociDigest(BIG))?.equals(BIG) === true;

it('a large blob goes in pieces, a small one whole, and what is there is not sent', async () => {
  const run = await image();
  expect(await run()).toMatchObject({ blobs: { sent: 2, there: 0 }, resumedBytes: 0 });
  expect(kept()).toBe(true);
  const pieces = registry.seen.filter(({ method }) => method === 'PATCH');
  expect(pieces.map(({ headers }) => headers['content-range'])).toEqual([
    '0-99999',
    '100000-199999',
    '200000-299999',
    '300000-399999',
    '400000-449999',
  ]);
  // The state that the registry put into its Location comes back as it was.
  expect(pieces.every(({ url }) => url.endsWith('?state=a%2Bb'))).toBe(true);
  registry.seen.length = 0;
  expect(await run()).toMatchObject({ blobs: { sent: 0, there: 2 }, sentBytes: 0 });
  expect(registry.count('POST', '')).toBe(0);
});

it('IMG-54 an upload whose pieces are cut, lost or half taken ends up whole', async () => {
  const run = await image();
  let n = 0;
  registry.meddle = ({ method, url = '' }, response, body) => {
    if (method !== 'PATCH') return false;
    n += 1;
    const id = /uploads\/(\d+)/.exec(url)?.[1] ?? '';
    const held = registry.uploads.get(id);
    // Taken, and the answer lost; half of it taken; nothing of it taken.
    if (n === 2 && held !== undefined) registry.uploads.set(id, Buffer.concat([held, body]));
    if (n === 4 && held !== undefined) registry.uploads.set(id, Buffer.concat([held, body.subarray(0, 1234)]));
    if (n % 2 === 0 && n <= 6) return (response.destroy(), true);
    return false;
  };
  expect(await run()).toMatchObject({ blobs: { sent: 2 } });
  expect(kept()).toBe(true);
  expect(registry.count('POST', '')).toBe(2);
  expect(registry.count('GET', '/uploads/')).toBe(3);
});

it('IMG-54 an upload that the registry has forgotten is begun again, and given up after as many attempts as there are', async () => {
  const run = await image();
  let left = 1;
  registry.meddle = ({ method }, response) => method === 'PATCH' && left-- === 0 && (end(response, 404), true);
  await run();
  expect(kept()).toBe(true);
  registry.blobs.clear();
  registry.seen.length = 0;
  registry.meddle = ({ method }, response) => method === 'PATCH' && (end(response, 416), true);
  await expect(run()).rejects.toMatchObject({ code: 'image.registry_upload' });
  expect(registry.count('PATCH', '')).toBe(3);
});

it('IMG-54 a registry that takes no pieces gets the blob whole', async () => {
  const run = await image();
  registry.meddle = ({ method }, response) => method === 'PATCH' && (end(response, 405), true);
  expect(await run()).toMatchObject({ blobs: { sent: 2 } });
  expect(kept()).toBe(true);
  expect(registry.count('PATCH', '')).toBe(1);
});

it('an answer that is lost at the end is looked up', async () => {
  const run = await image();
  let left = 2;
  registry.meddle = ({ method, url = '' }, response, body) => {
    if (method !== 'PUT' || !url.includes('/uploads/') || left === 0) return false;
    left -= 1;
    const id = /uploads\/(\d+)/.exec(url)?.[1] ?? '';
    const whole = Buffer.concat([registry.uploads.get(id) ?? Buffer.alloc(0), body]);
    registry.blobs.set(ociDigest(whole), whole);
    response.destroy();
    return true;
  };
  await run();
  expect(registry.count('PUT', '/uploads/')).toBe(2);
});

it.each([
  ['keeps something else', 201, { 'docker-content-digest': ociDigest('else') }, 'image.registry_upload'],
  ['refuses the digest', 400, {}, 'image.registry_status'],
] as const)('a registry that %s at the end is named', async (_name, status, headers, code) => {
  const run = await image();
  registry.meddle = ({ method, url = '' }, response) =>
    method === 'PUT' && url.includes('/uploads/') && (end(response, status, headers), true);
  await expect(run()).rejects.toMatchObject({ code });
  expect(registry.manifests.size).toBe(0);
});

it('IMG-55 a blob that is damaged here reaches no registry whole, and no manifest follows it', async () => {
  const store = await scratchStore();
  const { manifest } = await makeImage(store, 'big:v1', [BIG]);
  const path = store.blobPath(manifest.layers[0]?.digest ?? manifest.config.digest);
  await fs.chmod(path, 0o600);
  await fs.writeFile(path, Buffer.alloc(BIG.length));
  await expect(push(store, 'big:v1', `${registry.host}/x/big`, { options: { limits } })).rejects.toMatchObject({
    code: 'image.blob_damaged',
  });
  expect(registry.manifests.size).toBe(0);
  expect(await fs.readdir(join(store.directory, 'tmp'))).toEqual([]);
});
