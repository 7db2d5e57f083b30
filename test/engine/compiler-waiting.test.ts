import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import type { LlamaDriver } from '../../src/engine/llama/driver.ts';
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

const never = new AbortController().signal;

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no failure',
    (error: unknown) => (error instanceof CtxError ? { code: error.code, errno: error.errno, said: error.message } : error),
  );

describe('waiting for the state', () => {
  test('ENG-13 who waits gets the verified bytes of this pack, as the manifest describes them', async () => {
    const session = new Session('a', message(500));
    const { manifest, artifact, release } = await bench.compiler.waitReady(session.request, never);
    const bytes = readFileSync(artifact.file.path);
    expect(manifest).toMatchObject({
      state: 'ready',
      pack: session.pack,
      bytes: bytes.length,
      digest: artifact.file.digest,
      key: artifact.meta.key,
    });
    expect(artifact.file.tokens).toHaveLength(manifest.tokens ?? -1);
    release();
    const again = await bench.compiler.waitReady(session.request, never);
    again.release();
    expect(session.reads).toBe(1);
  });

  test('ENG-13 who waits while the pack moves on gets the newer state', async () => {
    const session = new Session('a', message(1200));
    const waiting = bench.compiler.waitReady(session.request, never);
    await bench.until(() => bench.states.at(-1) === 'compiling');
    session.epoch += 1;
    session.contents.push('more');
    bench.compiler.request(session.request);
    const { manifest, release } = await waiting;
    release();
    expect(manifest.pack).toEqual(session.pack);
  });

  test('ENG-13 an interrupted reader stops waiting at once; the compile goes on', async () => {
    const session = new Session('a', message(600));
    const reader = new AbortController();
    const waiting = failureOf(bench.compiler.waitReady(session.request, reader.signal));
    await bench.until(() => bench.states.at(-1) === 'compiling');
    reader.abort();
    expect(await waiting).toMatchObject({ code: 'engine.interrupted', errno: 'EINTR' });
    expect((await bench.settled(session)).state).toBe('ready');
  });

  test('ENG-13 who waits for what fails gets the failure, and so does the next one until the engine is asked again', async () => {
    await bench.close();
    bench = await new Bench(directory, driver, { backoffMs: { first: 3_600_000, most: 3_600_000 } }).open();
    const session = new Session('a', message(5000));
    const failure = await failureOf(bench.compiler.waitReady(session.request, never));
    expect(failure).toMatchObject({ code: 'engine.context', errno: 'EMSGSIZE' });
    expect(await failureOf(bench.compiler.waitReady(session.request, never))).toEqual(failure);
    expect(session.reads).toBe(1);
  });

  test('ENG-13 a session that is not active serves what it has and nothing else', async () => {
    const session = new Session('a', message(100));
    await bench.read(session);
    session.active = false;
    const { release } = await bench.compiler.waitReady(session.request, never);
    release();
    session.contents.push('more');
    expect(await failureOf(bench.compiler.waitReady(session.request, never))).toMatchObject({
      errno: 'ENODATA',
      said: expect.stringContaining('not active') as string,
    });
  });

  test('ENG-8 what was evicted is built again for who reads it; an evicted session says so', async () => {
    const session = new Session('a', message(400));
    const before = await bench.read(session);
    expect((await bench.compiler.evict(session.request.session)).removed).toHaveLength(3);
    expect(bench.compiler.manifest(session.request.session)).toMatchObject({
      state: 'absent',
      reason: expect.stringContaining('evicted') as string,
    });
    const { manifest, release } = await bench.compiler.waitReady(session.request, never);
    release();
    expect(manifest).toMatchObject({ key: before.key, digest: before.digest });
  });

  test('ENG-7 what the bound evicted is absent, and is built again at the next read', async () => {
    const first = new Session('a', message(500));
    const { bytes } = await bench.read(first);
    await bench.close();
    bench = await new Bench(directory, driver, { limitBytes: Math.floor((bytes ?? 0) * 1.5) }).open();
    await bench.read(new Session('b', message(500)));
    expect(bench.compiler.manifest(first.request.session, first.pack)).toMatchObject({ state: 'absent' });
    expect((await bench.read(first)).state).toBe('ready');
    const large = await bench.read(new Session('c', message(1500)));
    expect(large).toMatchObject({ state: 'failed', reason: expect.stringContaining('engine.space') as string });
  });

  test('a session that is forgotten leaves nothing but what others use', async () => {
    const session = new Session('a', message(100));
    await bench.read(session);
    await bench.compiler.forget(session.request.session);
    expect(filesBelow(join(directory, '.engine')).filter((name) => !name.startsWith('kv/'))).toEqual([]);
    expect(bench.compiler.manifest(session.request.session).state).toBe('absent');
    await bench.store.gc(() => true);
    expect(filesBelow(join(directory, '.engine'))).toEqual([]);
  });
});
