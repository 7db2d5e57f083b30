import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { createServer, request as forward, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ImageStore, REF_NAME } from '../../../src/image/layout-store.ts';
import { MEDIA, ociDigest } from '../../../src/image/oci.ts';
import { scratch, scratchStore } from '../scratch.ts';
import { blobsOnDisk, startDockerRegistry, type RunningRegistry } from './docker-registry.ts';
import { makeImage, randomLines } from './image-fixture.ts';
import { SmallRegistry } from './small-registry.ts';
import { LIMITS, pull, push } from './transfers.ts';

const dist = (path: string): string => JSON.stringify(new URL(`../../../dist/src/image/${path}`, import.meta.url).href);
const COMMON = `
import { ImageStore } from ${dist('layout-store.js')};
import { RegistryClient } from ${dist('registry/client.js')};
import { DEFAULT_LIMITS } from ${dist('registry/limits.js')};
import { parseRemote } from ${dist('registry/remote.js')};
import { pushImage } from ${dist('registry/push.js')};
import { pullImage } from ${dist('registry/pull.js')};
import { canonicalBytes, MEDIA } from ${dist('oci.js')};
const [directory, host, chunkBytes] = process.argv.slice(1);
const limits = { ...DEFAULT_LIMITS, chunkBytes: Number(chunkBytes) };
const clientOf = (remote) => new RegistryClient(remote.registry, { limits, environment: {} });
const push = (store, image, name, place) => {
  const remote = parseRemote(host + '/' + place, false);
  const reference = { name, tag: 'v1', digest: undefined };
  return pushImage({ store, client: clientOf(remote), image, reference, remote, compiled: true, redact: false, notesDirectory: directory + '/uploads' });
};
`;
const PUSH_ONE = `${COMMON}
const store = await ImageStore.open(directory + '/layout');
await push(store, await store.resolve('big:v1'), 'big', 'x/big:v1');
`;

function run(script: string, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', script, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

let registry: RunningRegistry;
beforeAll(async () => {
  registry = await startDockerRegistry();
});
afterAll(() => registry.stop());

const portOf = (server: Server | TcpServer): number => (server.address() as AddressInfo).port;
const CHUNK = 200_000;
const LIMITED = { ...LIMITS, chunkBytes: CHUNK };

test('IMG-54 an upload that was killed is gone on with by the next push: what was acknowledged is not sent again', async () => {
  const directory = await scratch();
  const store = await ImageStore.open(join(directory, 'layout'));
  await makeImage(store, 'big:v1', [randomLines(CHUNK * 5 + 7)]);
  // As most registries are reached: a proxy that takes a request whole before it passes it on.
  let sentBytes = 0;
  let pieces = 0;
  let onFourth: () => void = () => undefined;
  const fourth = new Promise<void>((resolve) => {
    onFourth = resolve;
  });
  const proxy = createServer((incoming, outgoing) => {
    const held: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => {
      sentBytes += piece.length;
      held.push(piece);
    });
    incoming.on('end', () => {
      if (incoming.method === 'PATCH' && (pieces += 1) === 4) return onFourth();
      const { method, url, headers } = incoming;
      const [address, port] = registry.host.split(':');
      const passed = forward({ host: address, port, method, path: url, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
      });
      passed.on('error', () => outgoing.destroy());
      passed.end(Buffer.concat(held));
    });
    incoming.on('error', () => undefined);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  try {
    const host = `127.0.0.1:${portOf(proxy)}`;
    const child = run(PUSH_ONE, directory, host, String(CHUNK));
    await fourth;
    await kill(child);
    sentBytes = 0;
    const pushed = await push(store, 'big:v1', `${host}/x/big:v1`, { options: { limits: LIMITED } });
    expect(pushed.resumedBytes).toBe(3 * CHUNK);
    expect(sentBytes).toBeLessThan(3 * CHUNK);
    expect(pushed.sentBytes).toBe(2 * CHUNK + 7 + (pushed.blobs.sent === 2 ? (await store.manifest(await tagged(store))).config.size : 0));
    expect(await fs.readdir(join(directory, 'uploads'))).toEqual([]);
    const second = await scratchStore();
    await pull(second, `${registry.host}/x/big:v1`, 'big:v1');
    expect(await blobsOnDisk(second.directory)).toEqual(await blobsOnDisk(store.directory));
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

async function tagged(store: ImageStore): Promise<{ readonly digest: `sha256:${string}`; readonly size: number }> {
  const found = await store.resolve('big:v1');
  if (found === undefined) throw new Error('big:v1 is there');
  return found;
}

test('IMG-54 an upload that was killed inside a piece is begun again where the registry cannot go on, and ends up whole', async () => {
  const directory = await scratch();
  const store = await ImageStore.open(join(directory, 'layout'));
  await makeImage(store, 'big:v1', [randomLines(CHUNK * 20)]);
  let sentBytes = 0;
  let onEnough: () => void = () => undefined;
  const enough = new Promise<void>((resolve) => {
    onEnough = resolve;
  });
  let closed = false;
  // Byte for byte to the registry; shut in the middle of a piece.
  const proxy = createTcpServer((from) => {
    const to = connect(Number(registry.host.split(':')[1]), '127.0.0.1');
    for (const socket of [from, to]) socket.on('error', () => undefined);
    from.on('data', (piece: Buffer) => {
      sentBytes += piece.length;
      if (closed || sentBytes < CHUNK * 3.5) to.write(piece);
      else onEnough();
    });
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
    to.pipe(from, { end: false });
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  try {
    const host = `127.0.0.1:${portOf(proxy)}`;
    const child = run(PUSH_ONE, directory, host, String(CHUNK));
    await enough;
    await kill(child);
    closed = true;
    await push(store, 'big:v1', `${host}/y/big:v1`, { options: { limits: LIMITED } });
    await push(store, 'big:v1', `${host}/x/big:v1`, { options: { limits: LIMITED } });
    const second = await scratchStore();
    await pull(second, `${registry.host}/x/big:v1`, 'big:v1');
    expect(await blobsOnDisk(second.directory)).toEqual(await blobsOnDisk(store.directory));
  } finally {
    proxy.close();
  }
});

const PULLS = `${COMMON}
for (let n = 0; ; n++) {
  const store = await ImageStore.open(directory + '/' + n);
  const remote = parseRemote(host + '/a/b:v1', false);
  await pullImage({ store, client: clientOf(remote), remote, tag: 'x:v1', compiled: true });
}
`;
const PUSHES = `${COMMON}
import { randomBytes } from 'node:crypto';
import { sourceHash } from ${dist('config.js')};
const store = await ImageStore.open(directory + '/layout');
const { config: about, ...rest } = await store.manifest(await store.resolve('a:v1'));
const config = JSON.parse((await store.read(about)).toString());
for (let n = 0; ; n++) {
  const parts = [{ mediaType: MEDIA.messages, ...(await store.put(Buffer.from(randomBytes(230_000).toString('base64') + '\\n'))) }];
  const layers = [{ name: 'l', role: 'base', parts, files: [] }];
  const source = { ...config.source, source_hash: sourceHash(layers) };
  const written = await store.put(canonicalBytes({ ...config, source, layers }));
  const manifest = { ...rest, config: { mediaType: MEDIA.config, ...written }, layers: parts };
  const image = await store.putManifest(manifest, canonicalBytes(manifest));
  await store.tag('n' + n + ':v1', image);
  await push(store, image, 'n' + n, 'pushed/n' + n + ':v1');
}
`;

async function verify(store: ImageStore): Promise<void> {
  for (const { digest, size } of await store.entries()) {
    const manifest = await store.manifest({ digest, size });
    for (const blob of [manifest.config, ...manifest.layers]) await store.read(blob, blob.size);
  }
  for (const name of await fs.readdir(join(store.directory, 'blobs/sha256')))
    expect(ociDigest(await fs.readFile(join(store.directory, 'blobs/sha256', name)))).toBe(`sha256:${name}`);
}

test('IMG-62 push and pull that are killed at any point leave a store that verifies, and a registry whose tags are whole', async () => {
  const small = await SmallRegistry.start({ referrers: true });
  try {
    const source = await scratchStore();
    const made = await makeImage(source, 'a/b:v1', [randomLines(300_000), randomLines(50_000), Buffer.from('line\n')]);
    await push(source, 'a/b:v1', `${small.host}/a/b`);
    let interrupted = 0;
    for (let round = 0; round < 15; round++) {
      const [pulling, pushing] = await Promise.all([scratch(), scratch()]);
      await makeImage(await ImageStore.open(join(pushing, 'layout')), 'a:v1', [Buffer.from('x\n')]);
      // Both are killed when the registry has answered some number of requests, and a moment more.
      const target = small.seen.length + 1 + Math.floor(Math.random() * 40);
      const reached = new Promise<void>((resolve) => {
        small.meddle = () => {
          if (small.seen.length >= target) setTimeout(resolve, Math.random() * 3);
          return false;
        };
      });
      const children = [run(PULLS, pulling, small.host, '100000'), run(PUSHES, pushing, small.host, '100000')];
      await reached;
      await Promise.all(children.map(kill));
      const pushed = await ImageStore.open(join(pushing, 'layout'));
      await verify(pushed);
      const last = (await pushed.entries()).at(-1)?.annotations?.[REF_NAME] ?? '';
      await push(pushed, last, `${small.host}/pushed/${last.replace(':', `-${round}:`)}`);
      for (const name of await fs.readdir(pulling)) {
        const store = await ImageStore.open(join(pulling, name));
        await verify(store);
        if ((await store.resolve('x:v1')) !== undefined) continue;
        interrupted += 1;
        expect(await pull(store, `${small.host}/a/b:v1`, 'x:v1')).toMatchObject({ digest: made.descriptor.digest });
        await verify(store);
      }
    }
    expect(interrupted).toBeGreaterThan(0);
    const tags = [...small.manifests].filter(
      ([name, { type }]) => name.startsWith('pushed/') && !name.includes('sha256:') && type === MEDIA.manifest,
    );
    expect(tags.length).toBeGreaterThan(0);
    for (const [name] of tags.slice(-10)) {
      const at = name.lastIndexOf('/');
      await pull(await scratchStore(), `${small.host}/${name.slice(0, at)}:${name.slice(at + 1)}`, 'x:v1');
    }
  } finally {
    await small.stop();
  }
});
