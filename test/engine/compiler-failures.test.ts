import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import type { LlamaDriver } from '../../src/engine/llama/driver.ts';
import { openLlamaDriver } from '../../src/engine/llama/driver.ts';
import { openOpenAiDriver } from '../../src/engine/openai/driver.ts';
import { canMount } from '../mount/can-mount.ts';
import { filesBelow } from './artifact-fixture.ts';
import { Bench, message, openDriver, Session, tinyModel } from './compiler-fixture.ts';
import { scratch } from './tiny.ts';

let directory: string;
let bench: Bench;
let driver: LlamaDriver;
beforeAll(() => {
  driver = openDriver(tinyModel());
});
afterAll(() => driver.close());
beforeEach(async () => {
  directory = scratch();
  bench = await new Bench(directory, driver).open();
});
afterEach(async () => {
  await bench.close();
  rmSync(directory, { recursive: true, force: true });
});

const run = promisify(execFile);
const never = new AbortController().signal;

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no failure',
    (error: unknown) => (error instanceof CtxError ? { code: error.code, errno: error.errno, said: error.message } : error),
  );

describe('an engine that fails', () => {
  test('ENG-10 an engine that is killed while it compiles is asked again once, and the session is ready', async () => {
    const session = new Session('a', message(3000));
    bench.atProgress = (): void => void process.kill(driver.pid ?? 0, 'SIGKILL');
    const manifest = await bench.read(session);
    expect(manifest).toMatchObject({ state: 'ready', evaluated_tokens: manifest.tokens });
    expect(manifest.reason).toMatch(/was ended by SIGKILL.*built again from source/);
    expect(filesBelow(join(directory, '.engine', 'kv'))).toHaveLength(3);
  });

  test('ENG-10 an engine that is killed while it extends a saved state is asked again without it; the state stays good', async () => {
    const session = new Session('a', message(600));
    const first = await bench.read(session);
    const fork = new Session('fork', ...session.contents, message(2500));
    bench.atProgress = (): void => void process.kill(driver.pid ?? 0, 'SIGKILL');
    expect(await bench.read(fork)).toMatchObject({ state: 'ready', reason: expect.stringContaining('built again from source') as string });
    const { artifact, release } = await bench.compiler.waitReady(session.request, never);
    release();
    expect(artifact.meta.key).toBe(first.key);
  });

  test('ENG-12 an engine that cannot start fails with the reason, waits longer after each failure, and is well with another one', async () => {
    await bench.close();
    // Long enough that the next request comes before it is over.
    bench = await new Bench(directory, driver, { backoffMs: { first: 2000, most: 2000 } }).open();
    const broken = openLlamaDriver(tinyModel({ path: join(directory, 'missing.gguf') }));
    bench.compiler.setEngine({ driver: broken, model: 'local/missing' });
    const session = new Session('a', message(50));
    const failed = await bench.read(session);
    expect(failed).toMatchObject({ state: 'failed', model: 'local/missing', reason: expect.stringContaining('missing.gguf') as string });
    expect(bench.compiler.status().lastFailure).toBe(failed.reason);
    bench.compiler.request(session.request);
    expect(bench.compiler.manifest(session.request.session).state).toBe('failed');
    session.contents.push('more');
    bench.compiler.request(session.request);
    expect(bench.compiler.manifest(session.request.session)).toMatchObject({
      state: 'queued',
      reason: expect.stringMatching(/^waits until .* after a failure: .*missing\.gguf/) as string,
    });
    expect((await bench.settled(session)).state).toBe('failed');
    bench.compiler.setEngine({ driver, model: bench.model });
    expect((await bench.read(session)).state).toBe('ready');
    expect(bench.compiler.status()).toMatchObject({ model: 'local/tiny', lastFailure: null });
    await broken.close();
  });

  test.each([
    ['a truncated model', (path: string) => writeFileSync(path, readFileSync(tinyModel().path ?? '').subarray(0, 5000))],
    ['a foreign file', (path: string) => writeFileSync(path, 'this is no model')],
  ])('ENG-12 %s is a clear failure', async (_, make) => {
    const path = join(directory, 'bad.gguf');
    make(path);
    const broken = openLlamaDriver(tinyModel({ path }));
    bench.compiler.setEngine({ driver: broken, model: 'local/bad' });
    const manifest = await bench.read(new Session('a', message(50)));
    expect(manifest).toMatchObject({ state: 'failed', tokens: null });
    expect(manifest.reason).toContain(path);
    await broken.close();
  });

  test('ENG-12 a prompt that is longer than the context fails with both numbers; a shorter pack is compiled at once', async () => {
    await bench.close();
    bench = await new Bench(directory, driver, { backoffMs: { first: 3_600_000, most: 3_600_000 } }).open();
    const session = new Session('a', message(5000));
    session.budgetTokens = 32_000;
    const failed = await bench.read(session);
    expect(failed.reason).toMatch(/^engine\.context: .* has [0-9]+ tokens, the model's context holds 4095; lower context\/budget/);
    session.contents[0] = message(100);
    const ready = await bench.read(session);
    expect(ready).toMatchObject({ state: 'ready', reason: expect.stringContaining('context/budget (32000) is more than') as string });
  });

  test('ENG-12 a prompt that cannot be read is a failure of this compile only', async () => {
    const session = new Session('a', message(50));
    session.gate = Promise.reject(new CtxError('context.policy', 'EINVAL', 'the pack cannot be built'));
    session.gate.catch(() => undefined);
    expect((await bench.read(session)).reason).toBe('context.policy: the pack cannot be built');
    expect((await bench.read(new Session('b', message(50)))).state).toBe('ready');
  });

  test('ENG-11 without remote.allow a server is never asked; with it, its failure is the manifest', async () => {
    let asked = 0;
    const server = createServer((_, response) => {
      asked += 1;
      response.writeHead(404, { 'content-type': 'application/json' }).end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    const remote = openOpenAiDriver({ provider: 'lab', name: 'big', driver: 'openai', url, model: 'big' });
    bench.compiler.setEngine({ driver: remote, model: 'lab/big' });
    const session = new Session('a', message(50));
    expect(await bench.read(session)).toMatchObject({ state: 'absent', reason: expect.stringContaining('remote.allow') as string });
    expect(await failureOf(bench.compiler.waitReady(session.request, never))).toMatchObject({ code: 'engine.no_state', errno: 'ENODATA' });
    expect(asked).toBe(0);
    session.remoteAllowed = true;
    expect(await bench.read(session)).toMatchObject({ state: 'failed', driver: 'openai', model: 'lab/big' });
    expect(asked).toBeGreaterThan(0);
    await remote.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test('ENG-12 without an engine every manifest is absent and says what to do; what was compiled is there again with it', async () => {
    const session = new Session('a', message(100));
    const ready = await bench.read(session);
    bench.compiler.setEngine(undefined);
    expect(await bench.read(session)).toMatchObject({ state: 'absent', reason: expect.stringContaining('ctx model add') as string });
    expect(await failureOf(bench.compiler.waitReady(session.request, never))).toMatchObject({ errno: 'ENODATA' });
    bench.compiler.setEngine({ driver, model: bench.model });
    expect(await bench.read(session)).toMatchObject({ state: 'ready', key: ready.key, evaluated_tokens: 0 });
  });

  test('an engine that is exchanged while it compiles begins again with the other one', async () => {
    const session = new Session('a', message(1500));
    const other = openDriver(tinyModel({ kvKeyType: 'Q8_0' }));
    bench.atProgress = (): void => bench.compiler.setEngine({ driver: other, model: 'local/other' });
    expect(await bench.read(session)).toMatchObject({ state: 'ready', model: 'local/other', fingerprint: { kv_key_type: 'Q8_0' } });
    bench.compiler.setEngine({ driver, model: bench.model });
    expect(bench.compiler.manifest(session.request.session)).toMatchObject({
      state: 'stale',
      reason: 'it was compiled for local/other; the engine is local/tiny now',
    });
    await other.close();
  });

  test('closing gives up what runs and what waits, and the next daemon starts where the last compile ended', async () => {
    const session = new Session('a', message(100));
    const ready = await bench.read(session);
    session.contents.push(message(1500));
    const waiting = failureOf(bench.compiler.waitReady(session.request, never));
    await bench.until(() => bench.states.at(-1) === 'compiling');
    await bench.close();
    expect(await waiting).toMatchObject({ code: 'engine.closed', errno: 'EINTR' });
    bench = await new Bench(directory, driver).open();
    expect(bench.compiler.manifest(session.request.session)).toEqual(ready);
    expect(bench.compiler.manifest(session.request.session, session.pack).state).toBe('stale');
  });
});

describe('a program that ends while it compiles', () => {
  /** Ends it once so much is evaluated, and compiles the same with another process. */
  async function afterTheEnd(keepMs: number): Promise<{ readonly reused: number; readonly files: number }> {
    const ending = await new Bench(directory, tinyModel(), { keepMs }).open();
    const session = new Session('a', message(3000));
    let closing: Promise<void> | undefined;
    const look = (): void => {
      ending.atProgress = () => {
        if ((ending.seen.at(-1)?.progress?.done ?? 0) >= 512) closing ??= ending.close();
        else queueMicrotask(look);
      };
    };
    look();
    ending.compiler.request(session.request);
    await ending.until(() => closing !== undefined);
    await closing;
    expect(ending.states).not.toContain('ready');
    const files = filesBelow(join(directory, '.engine')).filter((path) => path.endsWith('.kv')).length;
    const next = await new Bench(directory, tinyModel()).open();
    const manifest = await next.read(session);
    await next.close();
    expect(manifest.state).toBe('ready');
    return { reused: manifest.reused_tokens ?? 0, files };
  }

  test('ENG-19 what was evaluated when the program ends is saved, and is what the next compile begins with', async () => {
    const { reused, files } = await afterTheEnd(200_000);
    expect(reused).toBeGreaterThanOrEqual(512);
    expect(files).toBe(1);
  });

  test('ENG-19 what cannot be saved in time is dropped', async () => {
    expect(await afterTheEnd(0)).toEqual({ reused: 0, files: 0 });
  });
});

describe('two daemons on one cache', () => {
  test('ENG-5 each uses what the other one compiled, at once and later, and evicts only its own', async () => {
    const otherDriver = openDriver(tinyModel());
    const other = await new Bench(directory, otherDriver, { owner: 'other' }).open();
    try {
      const shared = message(600);
      const [ours, theirs] = await Promise.all([
        bench.read(new Session('ours', shared, message(200))),
        other.read(new Session('theirs', shared, message(200))),
      ]);
      expect([ours.state, theirs.state]).toEqual(['ready', 'ready']);
      const same = new Session('same', message(500));
      const both = await Promise.all([bench.read(same), other.read(same)]);
      expect(both.map(({ reason }) => reason)).toEqual([null, null]);
      expect(both[0]).toMatchObject({ state: 'ready', digest: both[1].digest, key: both[1].key });
      const extended = new Session('extended', ...same.contents, message(100));
      expect((await other.read(extended)).evaluated_tokens).toBeLessThan(200);
      await bench.compiler.evict(same.request.session);
      const { release } = await other.compiler.waitReady(same.request, never);
      release();
      expect(filesBelow(join(directory, '.engine', 'kv')).some((name) => name.includes('.tmp-'))).toBe(false);
    } finally {
      await other.close();
      await otherDriver.close();
    }
  });
});

describe.skipIf(!canMount)('a full disk', () => {
  test('ENG-7 older state gives way to newer; a disk full of other things fails the compile with the reason, and is over when space returns', async () => {
    const disk = scratch();
    const probe = new Session('probe', message(1000));
    const { bytes } = await bench.read(probe);
    await bench.close();
    const sizeBytes = Math.floor((bytes ?? 0) * 2.5);
    await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'ctxfs-test', disk]);
    try {
      bench = await new Bench(disk, driver).open();
      const sessions = [1, 2, 3].map((index) => new Session(`s${index}`, message(1000)));
      for (const session of sessions) expect((await bench.read(session)).state).toBe('ready');
      expect((await bench.store.usage()).artifacts).toBeLessThan(3);
      for (const { request } of sessions) await bench.compiler.evict(request.session);
      writeFileSync(join(disk, 'other'), Buffer.alloc(Math.floor(sizeBytes * 0.8)));
      const session = new Session('a', message(1000));
      const failed = await bench.read(session);
      expect(failed).toMatchObject({ state: 'failed', reason: expect.stringMatching(/engine\.space: .*the disk lacks/) as string });
      expect(filesBelow(join(disk, '.engine', 'kv'))).toEqual([]);
      rmSync(join(disk, 'other'));
      session.contents.push('more');
      expect((await bench.read(session)).state).toBe('ready');
    } finally {
      await bench.close();
      await run('umount', [disk]);
    }
  });
});
