import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { FOREIGN, ImageStore } from '../../../src/image/layout-store.ts';
import { canonicalBytes, MEDIA, type Descriptor, type OciDigest } from '../../../src/image/oci.ts';
import { scratch, scratchStore } from '../scratch.ts';
import { blobsOnDisk, skopeo, startDockerRegistry, type RunningRegistry } from './docker-registry.ts';
import { makeImage, makeReferrer, randomLines } from './image-fixture.ts';
import { LIMITS, pull, push } from './transfers.ts';

let registry: RunningRegistry;

beforeAll(async () => {
  registry = await startDockerRegistry();
});
afterAll(() => registry.stop());

test('IMG-58 what is pushed, skopeo copies back byte for byte; what skopeo pushes from a layout is pulled', async () => {
  const store = await scratchStore();
  // One blob in many pieces, one small, one empty.
  const made = await makeImage(store, 'quilt/customer-review:2026.05', [randomLines(2_500_000), Buffer.from('line\n'), Buffer.alloc(0)]);
  const limits = { ...LIMITS, chunkBytes: 700_000 };
  const pushed = await push(store, 'quilt/customer-review:2026.05', `${registry.host}/quilt/customer-review`, { options: { limits } });
  expect(pushed).toMatchObject({ digest: made.descriptor.digest, blobs: { sent: 4, there: 0, mounted: 0 }, referrers: [] });
  expect(pushed.remote).toBe(`${registry.host}/quilt/customer-review:2026.05`);

  const copied = join(await scratch(), 'copied');
  const remote = `docker://${registry.host}/quilt/customer-review:2026.05`;
  await skopeo('copy', '--all', '--src-tls-verify=false', remote, `oci:${copied}:x`);
  expect(await blobsOnDisk(copied)).toEqual(await blobsOnDisk(store.directory));

  // The way back: skopeo pushes our layout under another name.
  const layout = `oci:${store.directory}:quilt/customer-review:2026.05`;
  await skopeo('copy', '--all', '--dest-tls-verify=false', layout, `docker://${registry.host}/other/place:v1`);
  const second = await scratchStore();
  const pulled = await pull(second, `${registry.host}/other/place:v1`, 'other/place:v1');
  expect(pulled).toMatchObject({ digest: made.descriptor.digest, blobs: { fetched: 3, there: 1 } });
  expect(await blobsOnDisk(second.directory)).toEqual(await blobsOnDisk(store.directory));
  expect(await fs.readdir(join(second.directory, 'tmp'))).toEqual([]);

  // By digest; and again: nothing is fetched, nothing is sent.
  const again = await pull(second, `${registry.host}/other/place@${made.descriptor.digest}`, 'by/digest:latest');
  expect(again).toMatchObject({ blobs: { fetched: 0, there: 4 }, fetchedBytes: 0 });
  const repeated = await push(store, 'quilt/customer-review:2026.05', `${registry.host}/quilt/customer-review`);
  expect(repeated).toMatchObject({ blobs: { sent: 0, there: 4, mounted: 0 }, sentBytes: 0 });
});

test('IMG-56 referrers travel by the tag of their subject where a registry has no referrers API, also those of referrers', async () => {
  const store = await scratchStore();
  const policy = { exportable: true, allow_compiled_state_export: true, allow_source_export: true, redact_on_export: [] };
  const made = await makeImage(store, 'a/b:latest', [randomLines(1000)], { policy });
  const compiled = await makeReferrer(store, made.descriptor, 'compiled', randomLines(2000));
  const signature = await makeReferrer(store, made.descriptor, 'signature', randomLines(100));
  const nested = await makeReferrer(store, compiled, 'signature', randomLines(101));
  const pushed = await push(store, 'a/b', `${registry.host}/refs/b:v1`);
  const digests = [compiled, signature, nested].map(({ digest }) => digest).sort();
  expect(pushed.referrers.map(({ digest }) => digest).sort()).toEqual(digests);
  const second = await scratchStore();
  const pulled = await pull(second, `${registry.host}/refs/b:v1`, 'a/b:latest');
  expect(pulled.referrers.map(({ digest }) => digest).sort()).toEqual(digests);
  expect(await blobsOnDisk(second.directory)).toEqual(await blobsOnDisk(store.directory));
  expect(await referrersIn(second, made.descriptor.digest)).toEqual([compiled.digest, signature.digest].sort());
  expect(await referrersIn(second, compiled.digest)).toEqual([nested.digest]);

  // Without compiled state its signature does not come either.
  const third = await scratchStore();
  await pull(third, `${registry.host}/refs/b:v1`, 'a/b:latest', { compiled: false });
  expect(await referrersIn(third, made.descriptor.digest)).toEqual([signature.digest]);
  expect(await third.sizeOf(nested.digest)).toBeUndefined();

  // A second writer's referrer is added to the list of the first.
  const later = await makeReferrer(third, made.descriptor, 'signature', randomLines(102));
  await push(third, 'a/b', `${registry.host}/refs/b:v1`);
  const fourth = await scratchStore();
  await pull(fourth, `${registry.host}/refs/b:v1`, 'a/b:latest');
  expect(await referrersIn(fourth, made.descriptor.digest)).toEqual([compiled.digest, signature.digest, later.digest].sort());
});

test('IMG-54 blobs that a neighbouring repository has are mounted, not sent', async () => {
  const store = await scratchStore();
  const shared = randomLines(300_000);
  await makeImage(store, 'quilt/base:latest', [shared]);
  await makeImage(store, 'quilt/fork:latest', [shared, Buffer.from('more\n')]);
  await push(store, 'quilt/base', `${registry.host}/team/quilt/base`);
  const pushed = await push(store, 'quilt/fork', `${registry.host}/team/quilt/fork`);
  expect(pushed.blobs).toEqual({ sent: 2, there: 0, mounted: 1 });
  expect(pushed.sentBytes).toBeLessThan(10_000);
  const second = await scratchStore();
  await pull(second, `${registry.host}/team/quilt/fork`, 'quilt/fork:latest');
});

test('IMG-51 what the policy keeps here stays here', async () => {
  vi.stubEnv('XDG_CONFIG_HOME', await scratch());
  onTestFinished(() => void vi.unstubAllEnvs());
  const store = await scratchStore();
  const open = { exportable: true, allow_compiled_state_export: true, allow_source_export: true, redact_on_export: [] } as const;
  const closed = await makeImage(store, 'closed:latest', [Buffer.from('a\n')], { policy: { ...open, allow_source_export: false } });
  await expect(push(store, 'closed', `${registry.host}/policy/closed`)).rejects.toMatchObject({ code: 'image.not_exportable' });
  await expect(pull(await scratchStore(), `${registry.host}/policy/closed`, 'x:latest')).rejects.toMatchObject({ errno: 'ENOENT' });
  expect(closed.descriptor.size).toBeGreaterThan(0);
  const source = await makeImage(store, 'source:latest', [Buffer.from('b\n')], { policy: { ...open, exportable: false } });
  const compiled = await makeReferrer(store, source.descriptor, 'compiled', Buffer.from('kv'));
  const pushed = await push(store, 'source', `${registry.host}/policy/source`);
  expect(pushed.referrers).toEqual([]);
  expect(pushed.kept.join()).toContain('compiled state stays here');
  const second = await scratchStore();
  await pull(second, `${registry.host}/policy/source`, 'source:latest');
  expect(await second.sizeOf(compiled.digest)).toBeUndefined();
  await makeImage(store, 'secret:latest', [Buffer.from('c\n')], { policy: { ...open, redact_on_export: ['secrets'] } });
  await expect(push(store, 'secret', `${registry.host}/policy/secret`)).rejects.toMatchObject({ code: 'image.cannot_redact' });
  // What is to be taken out before it leaves is not in the registry; the image here stays as it is.
  const secret = Buffer.from('{"role":"user","content":"the word is hunter2"}\n');
  const marked = await makeImage(store, 'secret:v1', [secret], {
    policy: { ...open, redact_on_export: ['secrets'], redact_patterns: ['hunter[0-9]'] },
  });
  await makeReferrer(store, marked.descriptor, 'compiled', Buffer.from('kv'));
  const files = async (): Promise<readonly string[]> => (await fs.readdir(store.directory, { recursive: true })).sort();
  const before = await files();
  const redacted = await push(store, 'secret:v1', `${registry.host}/policy/secret`);
  // IMG-98.
  expect(await files()).toEqual(before);
  expect(redacted.digest).not.toBe(marked.descriptor.digest);
  expect(Object.values(redacted.redacted)).toEqual([1]);
  expect((await store.resolve('secret:v1'))?.digest).toBe(marked.descriptor.digest);
  const third = await scratchStore();
  await pull(third, `${registry.host}/policy/secret:v1`, 'secret:v1');
  for (const name of await fs.readdir(join(third.directory, 'blobs/sha256')))
    expect(await fs.readFile(join(third.directory, 'blobs/sha256', name), 'utf8')).not.toContain('hunter2');
  expect(redacted.referrers.map(({ artifactType }) => artifactType)).not.toContain(MEDIA.compiled);
});

test('IMG-52 an opaque blob is not pushed, and is refused when another program has pushed it', async () => {
  const store = await scratchStore();
  const { manifest, config } = await makeImage(store, 'opaque:v1', [Buffer.from('a\n')]);
  const { rebuild: _gone, ...rest } = config;
  const bytes = canonicalBytes({ ...rest, runtime: {} });
  const about = { ...manifest, config: { mediaType: MEDIA.config, ...(await store.put(bytes)) } };
  await store.tag('opaque:v1', await store.putManifest(about, canonicalBytes(about)));
  const failure = {
    code: 'image.opaque',
    message: expect.stringContaining('no provenance (rebuild), no compatibility metadata (runtime)') as string,
  };
  await expect(push(store, 'opaque:v1', `${registry.host}/opaque/a:v1`)).rejects.toMatchObject(failure);
  await expect(pull(await scratchStore(), `${registry.host}/opaque/a:v1`, 'x:v1')).rejects.toMatchObject({ errno: 'ENOENT' });
  await skopeo('copy', '--dest-tls-verify=false', `oci:${store.directory}:opaque:v1`, `docker://${registry.host}/opaque/a:v1`);
  const second = await scratchStore();
  await expect(pull(second, `${registry.host}/opaque/a:v1`, 'x:v1')).rejects.toMatchObject(failure);
  expect(await fs.readdir(join(second.directory, 'blobs/sha256'))).toEqual([]);
});

async function referrersIn(store: ImageStore, subject: OciDigest): Promise<readonly string[]> {
  return (await store.referrers(subject)).map(({ digest }) => digest).sort();
}

test('IMG-55 an image without the signatures that are asked for is not named, nor is what it brought', async () => {
  const store = await scratchStore();
  const { descriptor } = await makeImage(store, 'signed:v1', [randomLines(1000)]);
  await makeReferrer(store, descriptor, 'signature', randomLines(100));
  await push(store, 'signed:v1', `${registry.host}/trust/signed`);
  const second = await scratchStore();
  const seen: number[] = [];
  const requireTrust = async (image: Descriptor): Promise<void> => {
    seen.push((await second.referrers(image.digest)).length);
    throw new Error('not trusted');
  };
  await expect(pull(second, `${registry.host}/trust/signed:v1`, 'signed:v1', { requireTrust })).rejects.toThrow('not trusted');
  expect(seen).toEqual([1]);
  expect(await second.entries()).toEqual([]);
  // What was there before stays as it was: it is not foreign.
  await pull(store, `${registry.host}/trust/signed:v1`, 'again:v1');
  expect((await store.referrers(descriptor.digest)).map(({ annotations }) => annotations?.[FOREIGN])).toEqual([undefined]);
  await pull(second, `${registry.host}/trust/signed:v1`, 'signed:v1');
  expect((await second.referrers(descriptor.digest)).map(({ annotations }) => annotations?.[FOREIGN])).toEqual(['pull']);
});
