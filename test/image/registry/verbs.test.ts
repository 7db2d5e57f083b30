import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CTX } from '../../cli/program.ts';
import { mountStore, type MountedStore } from '../../cli/mounted-store.ts';
import { startDockerRegistry, type RunningRegistry } from './docker-registry.ts';
import { scratchStore } from '../scratch.ts';
import { makeImage, randomLines } from './image-fixture.ts';
import { end, SmallRegistry } from './small-registry.ts';
import { push } from './transfers.ts';

let mounted: MountedStore;
let registry: RunningRegistry;
let directory: string;
const HOME = (): string => join(directory, 'home');

beforeAll(async () => {
  [mounted, registry] = await Promise.all([mountStore('registry'), startDockerRegistry()]);
  directory = join(mounted.store, '..');
  await fs.mkdir(join(directory, 'source'));
  await fs.mkdir(HOME());
  await fs.writeFile(join(directory, 'source/context.yaml'), 'name: quilt/customer-review\nversion: "2026.05"\n');
  await fs.writeFile(join(directory, 'source/transcript.jsonl'), '{"role":"user","content":"hello"}\n');
});
afterAll(async () => {
  await Promise.all([mounted.end(), registry.stop()]);
});

const run = (...args: readonly string[]): ReturnType<MountedStore['ctx']> => mounted.ctx(args, { env: { HOME: HOME() } });

test('ctx push and ctx pull on a mount: what comes back is what was built', async () => {
  const built = await run('build', join(directory, 'source'), '--json');
  expect(built).toMatchObject({ code: 0, stderr: '' });
  const { digest, image } = JSON.parse(built.stdout) as { digest: string; image: string };
  const pushed = await run('push', image, `${registry.host}/team/review`, '--json');
  expect(pushed).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(pushed.stdout)).toMatchObject({ remote: `${registry.host}/team/review:2026.05`, digest, referrers: [] });
  const pulled = await run('pull', `${registry.host}/team/review:2026.05`, '--json');
  expect(pulled).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(pulled.stdout)).toMatchObject({ image: 'team/review:2026.05', digest, fetched_bytes: 0, replaced: null });
  const text = await run('pull', `${registry.host}/team/review:2026.05`, '--as', 'mine');
  expect(text.stdout).toContain(`mine:latest@${digest}\n`);
  const own = join(mounted.root, `home/${process.getuid?.() ?? 0}/image`);
  expect(
    await mounted.must(`diff -r '${own}/quilt/customer-review/2026.05' '${own}/team/review/2026.05' && ls -A '${own}/.store/tmp'`),
  ).toBe('');
});

test('ctx pull brings what is not here onto the mount, and ctx push takes an image by its digest', async () => {
  const store = await scratchStore();
  const { descriptor, manifest } = await makeImage(store, 'fresh:v1', [randomLines(3_000_000), randomLines(5_000)]);
  await push(store, 'fresh:v1', `${registry.host}/fresh/big`);
  const pulled = await run('pull', `${registry.host}/fresh/big:v1`, '--json');
  expect(pulled).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(pulled.stdout)).toMatchObject({ digest: descriptor.digest, blobs: { fetched: 2 }, fetched_bytes: 3_005_000 });
  const blobs = join(mounted.root, `home/${process.getuid?.() ?? 0}/image/.store/blobs/sha256`);
  for (const { digest } of [descriptor, manifest.config, ...manifest.layers]) {
    const hex = digest.slice('sha256:'.length);
    expect(await mounted.must(`sha256sum '${blobs}/${hex}' | cut -c 1-64`)).toBe(`${hex}\n`);
  }
  const again = await run('push', descriptor.digest.slice(0, 20), `${registry.host}/fresh/again:v2`, '--json');
  expect(JSON.parse(again.stdout)).toMatchObject({ remote: `${registry.host}/fresh/again:v2`, digest: descriptor.digest });
  // Another image gets the name, and what it named is told.
  const other = await makeImage(store, 'fresh:v1', [randomLines(100)]);
  await push(store, 'fresh:v1', `${registry.host}/fresh/big`);
  const moved = await run('pull', `${registry.host}/fresh/big:v1`);
  expect(moved.stdout).toContain(`fresh/big:v1@${other.descriptor.digest}\n`);
  expect(moved.stderr).toContain(`fresh/big:v1 was ${descriptor.digest}`);
});

test('IMG-115 a name that ctx build takes from another image is told, with what it was', async () => {
  const place = join(directory, 'moving');
  await fs.mkdir(place);
  await fs.writeFile(join(place, 'context.yaml'), 'name: moving/one\nversion: "1"\n');
  const builtOf = async (text: string): Promise<{ digest: string; moved: readonly unknown[]; stderr: string }> => {
    await fs.writeFile(join(place, 'pinned.md'), text);
    await fs.writeFile(join(place, 'context.yaml'), `name: moving/one\nversion: "1"\nsource: {documents: [pinned.md]}\n`);
    const { stdout, stderr } = await run('build', place, '--json');
    return { ...(JSON.parse(stdout) as { digest: string; moved: readonly unknown[] }), stderr };
  };
  const first = await builtOf('one');
  expect(first).toMatchObject({ moved: [], stderr: '' });
  expect(await builtOf('one')).toEqual({ ...first, elapsed_ms: expect.any(Number) as number });
  const second = await builtOf('two');
  expect(second.moved).toEqual(['moving/one:1', 'moving/one:latest'].map((name) => ({ name, from: first.digest })));
  expect(second.stderr).toBe(`ctx: moved moving/one:1 from ${first.digest}\nctx: moved moving/one:latest from ${first.digest}\n`);
});

test('CLI-10 a verb in the middle of which the daemon stops ends with what, where and the next step, and leaves nothing half done', async () => {
  const slow = await SmallRegistry.start({ referrers: true });
  const store = await scratchStore();
  await makeImage(store, 'held/back:v1', [randomLines(200_000)]);
  await push(store, 'held/back:v1', `${slow.host}/held/back`);
  const pid = Number(/^pid=(\d+)$/m.exec((await run('status')).stdout)?.[1]);
  expect(await run('new', 'held/lines')).toMatchObject({ code: 0 });
  const journal = join(mounted.agents, 'held/session/lines/messages.jsonl');
  const env = { ...process.env, ...mounted.env, HOME: HOME(), CTX_DAEMON_WAIT: '5' };
  const children = [
    ['pull', `${slow.host}/held/back:v1`],
    ['append', 'held/lines', '--lines'],
  ].map((args) => spawn(process.execPath, [CTX, ...args], { stdio: ['pipe', 'ignore', 'pipe'], env, cwd: '/' }));
  const [pulling, appending] = children as [(typeof children)[0], (typeof children)[0]];
  const said = children.map(
    async (child) =>
      new Promise<string>((resolve) => {
        let text = '';
        child.stderr.on('data', (piece: Buffer) => {
          text += piece.toString();
          if (text.endsWith('\n')) resolve(text);
        });
      }),
  );
  const ended = children.map(async (child) => ((await once(child, 'exit')) as [number])[0]);
  try {
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    const asked = new Promise<void>((resolve) => {
      slow.meddle = async ({ url }) => {
        if (url?.includes('/blobs/') !== true) return false;
        resolve();
        await held;
        return false;
      };
    });
    appending.stdin.write('{"role":"user","content":"one"}\n');
    await Promise.all([asked, mounted.must(`until grep -q one '${journal}'; do sleep 0.05; done`)]);
    process.kill(pid, 'SIGSTOP');
    appending.stdin.write('{"role":"user","content":"two"}\n');
    goOn();
    const words = new RegExp(
      `^ctx: cli\\.not_answering: ${mounted.root} has not answered for 5 s: its daemon \\(pid ${pid}\\) is stopped.*kill -CONT ${pid}`,
    );
    for (const text of await Promise.all(said)) expect(text).toMatch(words);
    // Their files of the mount are closed by the kernel, which waits for the daemon.
    process.kill(pid, 'SIGCONT');
    expect(await Promise.all(ended)).toEqual([3, 3]);
  } finally {
    process.kill(pid, 'SIGCONT');
    for (const child of [pulling, appending]) child.kill('SIGKILL');
    await slow.stop();
  }
  expect((await run('images', 'held/back', '--json')).stdout).toBe('[]\n');
  expect(await mounted.must(`jq -rc .content '${journal}'`)).toMatch(/^one\n(two\n)?$/);
  expect(await run('gc')).toMatchObject({ code: 0 });
  const own = join(mounted.root, `home/${process.getuid?.() ?? 0}/image/.store`);
  expect(await mounted.must(`ls -A '${own}/tmp'`)).toBe('');
  expect(await run('append', 'held/lines', 'three')).toMatchObject({ code: 0, stderr: '' });
});

test('ctx push and ctx pull say what is wrong', async () => {
  const fails = async (code: number, words: string, ...args: readonly string[]): Promise<void> => {
    const outcome = await run(...args);
    expect(outcome.stderr).toContain(words);
    expect(outcome).toMatchObject({ code, stdout: '' });
  };
  await fails(2, 'names no registry', 'push', 'quilt/customer-review:2026.05');
  await fails(4, 'is no image here', 'push', 'unknown', `${registry.host}/x`);
  await fails(4, 'is not there', 'pull', `${registry.host}/unknown/x`);
  await fails(2, '--idle', 'pull', `${registry.host}/x/y`, '--idle', 'soon');
  await fails(2, 'not a digest', 'pull', `${registry.host}/x/y`, '--as', `a@sha256:${'0'.repeat(64)}`);
  await fails(2, 'add --as', 'pull', `${registry.host}/x/y@sha256:${'0'.repeat(64)}`);
  await fails(2, 'REGISTRY/NAME:TAG', 'push', 'sha256:01234567', `${registry.host}/x/y`);
  await fails(2, 'plain HTTP', 'pull', 'http://registry.example/x');
});

test('an interrupted pull ends cleanly, with 130', async () => {
  const slow = await SmallRegistry.start();
  try {
    const asked = new Promise<void>((resolve) => {
      slow.meddle = ({ url }, response) => {
        if (url?.includes('/manifests/') !== true) return (end(response, 404), true);
        resolve();
        return true;
      };
    });
    const env = { ...process.env, ...mounted.env, HOME: HOME() };
    const child = spawn(process.execPath, [CTX, 'pull', `${slow.host}/a/b`], { stdio: ['ignore', 'ignore', 'pipe'], env, cwd: '/' });
    let said = '';
    child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
    await asked;
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number];
    expect({ code, said }).toEqual({ code: 130, said: 'ctx: pull was interrupted; run it again to go on\n' });
  } finally {
    await slow.stop();
  }
});
