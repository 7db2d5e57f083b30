import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  readdirSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ArtifactStore } from '../../src/engine/artifact-store.ts';
import { artifactKey } from '../../src/engine/artifact-files.ts';
import type { Artifact } from '../../src/engine/artifact-shelf.ts';
import { lookOf } from '../../src/engine/state-seal.ts';
import { transpile } from '../mount/transpiled.ts';
import { age, filesBelow, fingerprint, ids, makeDirectory, model, openStore, put } from './artifact-fixture.ts';

let directory: ReturnType<typeof makeDirectory>;
let store: ArtifactStore;
beforeEach(async () => {
  directory = makeDirectory();
  store = await openStore(directory.path);
});
afterEach(() => {
  directory.remove();
});

const exists = (artifact: Artifact): boolean => existsSync(artifact.file.path);
const part = (artifact: Artifact, kind: string): string => artifact.file.path.replace(/kv$/, kind);

describe('finding what was put', () => {
  test('ENG-5 an artifact is found by model and tokens, by nothing else, also by another process', async () => {
    const tokens = ids(3000);
    const artifact = await put(store, tokens, 'a');
    expect(artifact.meta).toMatchObject({ key: artifactKey(model, tokens), tokens: 3000, bytes: 1000, model, fingerprint });
    expect(artifact.file.look).toBe(lookOf(statSync(artifact.file.path, { bigint: true })));
    const again = await openStore(directory.path);
    expect(await again.shelf.find(model, tokens)).toEqual(artifact);
    expect(await again.shelf.find(model, ids(2999))).toBeUndefined();
    expect(await again.shelf.find(`sha256-${'0'.repeat(64)}`, tokens)).toBeUndefined();
    expect(statSync(part(artifact, 'tok')).size).toBe(3000 * 4);
    expect(filesBelow(join(directory.path, '.engine', 'kv')).map((name) => name.slice(17 + 3 + 64))).toEqual(['.json', '.kv', '.tok']);
  });

  test('ENG-5 what the driver wrote is renamed, not copied, and a short file is refused', async () => {
    const path = await store.shelf.temporary(model);
    writeFileSync(path, 'state');
    const { ino } = statSync(path);
    const digest = `sha256-${'1'.repeat(64)}`;
    await expect(store.put(model, fingerprint, ids(5), { path, bytes: 6, digest }, 'a')).rejects.toMatchObject({
      code: 'engine.short_save',
      errno: 'EIO',
    });
    const artifact = await store.put(model, fingerprint, ids(5), { path, bytes: 5, digest, written: 'another' }, 'a');
    expect(statSync(artifact.file.path).ino).toBe(ino);
    expect(artifact.file.look, 'changed since its digest was taken').toBeUndefined();
    expect(existsSync(path)).toBe(false);
  });

  test('ENG-4 the best base is the one with the longest common prefix, a longer one included', async () => {
    await put(store, ids(1200), 'a');
    const longer = await put(store, Uint32Array.of(...ids(2600), 1, 2, 3), 'b');
    await put(store, ids(500, 3), 'c');
    const best = await store.shelf.bestBase(model, ids(3000));
    expect(best?.artifact.meta.key).toBe(longer.meta.key);
    expect(best?.shared).toBe(2600);
    expect(await store.shelf.bestBase(model, Uint32Array.of(999_999))).toBeUndefined();
  });

  test('ENG-5 an artifact whose tokens begin another goes, unless somebody else uses it', async () => {
    const first = await put(store, ids(1500), 'a');
    const second = await put(store, ids(2000), 'a');
    expect([exists(first), exists(second)]).toEqual([false, true]);
    await store.refs.add('fork', { model, key: second.meta.key });
    const third = await put(store, ids(2500), 'a');
    expect([exists(second), exists(third)]).toEqual([true, true]);
    const parted = await put(store, Uint32Array.of(...ids(2400), 7), 'a');
    expect([exists(third), exists(parted)]).toEqual([true, true]);
    expect((await store.refs.of('a')).map(({ key }) => key)).toEqual([parted, third, second].map(({ meta }) => meta.key));
  });
});

describe('damage', () => {
  const damages: readonly (readonly [string, (artifact: Artifact) => void])[] = [
    ['a meta that is not JSON', (artifact) => writeFileSync(part(artifact, 'json'), '{')],
    ['an empty meta', (artifact) => truncateSync(part(artifact, 'json'), 0)],
    [
      'a meta of another key',
      (artifact) => writeFileSync(part(artifact, 'json'), JSON.stringify({ ...artifact.meta, key: '0'.repeat(64) })),
    ],
    ['a meta with negative bytes', (artifact) => writeFileSync(part(artifact, 'json'), JSON.stringify({ ...artifact.meta, bytes: -1 }))],
    ['a meta whose look is no text', (artifact) => writeFileSync(part(artifact, 'json'), JSON.stringify({ ...artifact.meta, look: {} }))],
    ['a meta whose chain lies', (artifact) => writeFileSync(part(artifact, 'json'), JSON.stringify({ ...artifact.meta, chain: [] }))],
    ['a changed token', (artifact) => writeFileSync(part(artifact, 'tok'), Buffer.alloc(artifact.meta.tokens * 4))],
    ['a short token file', (artifact) => truncateSync(part(artifact, 'tok'), 7)],
    ['no token file', (artifact) => rmSync(part(artifact, 'tok'))],
    ['a short state', (artifact) => truncateSync(artifact.file.path, 999)],
    ['no state', (artifact) => rmSync(artifact.file.path)],
  ];
  test.each(damages)('ENG-6 %s is a miss, is removed, and is explained', async (_, damage) => {
    const tokens = ids(1500);
    const artifact = await put(store, tokens, 'a');
    damage(artifact);
    expect(await store.shelf.find(model, tokens)).toBeUndefined();
    expect(filesBelow(join(directory.path, '.engine', 'kv'))).toEqual([]);
    expect(store.shelf.takeDamage()).toHaveLength(1);
    expect(store.shelf.takeDamage()).toEqual([]);
  });

  test.each(damages)('ENG-6 %s is no base; the next best is', async (_, damage) => {
    const worse = await put(store, Uint32Array.of(...ids(1100), 5), 'a');
    damage(await put(store, ids(1500), 'b'));
    const fresh = await openStore(directory.path);
    const best = await fresh.shelf.bestBase(model, ids(2000));
    expect(best).toMatchObject({ shared: 1100, artifact: { meta: { key: worse.meta.key } } });
  });

  test('ENG-6 a flipped bit in a state is seen before it is used, and the artifact is removed', async () => {
    const artifact = await put(store, ids(10), 'a');
    expect(await store.shelf.verify(artifact)).toBe(true);
    const bytes = readFileSync(artifact.file.path);
    bytes[500] = (bytes[500] ?? 0) ^ 1;
    writeFileSync(artifact.file.path, bytes);
    expect(await store.shelf.verify(artifact)).toBe(false);
    expect(exists(artifact)).toBe(false);
    expect(store.shelf.takeDamage()[0]).toContain('the digest differs');
    expect(await store.shelf.verify(artifact)).toBe(false);
    expect(store.shelf.takeDamage()).toEqual([]);
  });

  test('ENG-14 what nobody wrote since its digest was taken is offered unread, anything else only with its digest', async () => {
    const artifact = await put(store, ids(10), 'a');
    const other = { ...artifact, file: { ...artifact.file, digest: `sha256-${'0'.repeat(64)}` } };
    expect(await store.shelf.trust(other)).toBe(true);
    // As a description of an earlier version, or of before the machine started again.
    const { look = '', ...file } = artifact.file;
    expect(look).not.toBe('');
    expect(await store.shelf.trust({ ...artifact, file })).toBe(true);
    expect(await store.shelf.trust({ ...artifact, file: { ...other.file, look: look.replace(/^[^:]+/, 'boot') } })).toBe(false);
    expect(exists(artifact)).toBe(false);
    expect(await store.shelf.trust(artifact)).toBe(false);
  });

  test('ENG-6 a put that fails half way leaves no artifact and no temporary file', async () => {
    const path = join(directory.path, 'gone');
    writeFileSync(path, 'state');
    const key = artifactKey(model, ids(3));
    const blocked = join(directory.path, '.engine', 'kv', model.slice(7, 23), key.slice(0, 2), `${key}.tok`);
    await store.shelf.temporary(model);
    // A directory stands where the token file must go.
    spawnSync('mkdir', ['-p', join(blocked, 'x')]);
    await expect(store.put(model, fingerprint, ids(3), { path, bytes: 5, digest: `sha256-${'1'.repeat(64)}` }, 'a')).rejects.toThrow();
    expect(filesBelow(join(directory.path, '.engine'))).toEqual([]);
  });
});

describe('space', () => {
  test('ENG-7 the bound holds: the longest unused goes first, a used or pinned one stays', async () => {
    const small = await openStore(directory.path, { limitBytes: 7500 });
    const first = await put(small, ids(10, 2), 'a');
    const second = await put(small, ids(10, 3), 'b');
    const third = await put(small, ids(10, 4), 'c');
    age(first, 300);
    age(second, 200);
    age(third, 100);
    const unpin = small.pin(first);
    await small.touch(second);
    const fourth = await put(small, ids(10, 5), 'd', 3000);
    expect([first, second, third, fourth].map(exists)).toEqual([true, true, false, true]);
    unpin();
    unpin();
    age(first, 300);
    await put(small, ids(10, 6), 'e');
    expect([first, second, fourth].map(exists)).toEqual([false, true, true]);
    expect((await small.usage()).bytes).toBeLessThanOrEqual(7500);
  });

  test('ENG-7 room is made before a compile, and none for what can never fit', async () => {
    const small = await openStore(directory.path, { limitBytes: 5000 });
    const first = await put(small, ids(10, 2), 'a');
    const removed = await small.reserve(4500);
    expect(exists(first)).toBe(false);
    expect(removed.every(({ reason }) => reason.includes('more than 5000 bytes'))).toBe(true);
    await expect(small.reserve(5001)).rejects.toMatchObject({ code: 'engine.space', errno: 'ENOSPC' });
  });

  test('ENG-7 nothing is evicted for a disk on which even that is not enough', async () => {
    const greedy = await openStore(directory.path, { reserveBytes: 2 ** 60 });
    const artifact = await put(greedy, ids(10), 'a');
    await expect(greedy.reserve(1)).rejects.toMatchObject({ code: 'engine.space', errno: 'ENOSPC' });
    expect(exists(artifact)).toBe(true);
    await greedy.free(1);
    expect(exists(artifact)).toBe(false);
  });

  test('ENG-7 an evicted state stays readable for who has it open', async () => {
    const artifact = await put(store, ids(10), 'a');
    const fd = openSync(artifact.file.path, 'r');
    await store.evictSession('a');
    expect(exists(artifact)).toBe(false);
    expect(readSync(fd, Buffer.alloc(2000))).toBe(1000);
    closeSync(fd);
  });

  test('ENG-7 files of dead writers and of yesterday are swept, those of a living one stay', async () => {
    const dead = spawnSync('true').pid;
    const shelf = join(directory.path, '.engine', 'kv', model.slice(7, 23));
    const own = await store.shelf.temporary(model);
    const names = { dead: join(shelf, `.tmp-${dead}-x.part`), old: join(shelf, `.tmp-${process.pid}-old`), own: `${own}.part` };
    for (const name of Object.values(names)) writeFileSync(name, 'half a state');
    const yesterday = Date.now() / 1000 - 25 * 3600;
    utimesSync(names.old, yesterday, yesterday);
    await (await openStore(directory.path)).sweep();
    expect(Object.values(names).map((name) => existsSync(name))).toEqual([false, false, true]);
    await store.shelf.discard(own);
    expect(existsSync(names.own)).toBe(false);
  });
});

describe('sessions', () => {
  test('ENG-8 evicting a session removes what only it uses, and names who keeps the rest', async () => {
    const own = await put(store, ids(10, 2), 'a');
    const shared = await put(store, ids(10, 3), 'a');
    await store.refs.add('fork', { model, key: shared.meta.key });
    const { removed, kept } = await store.evictSession('a');
    expect(removed.map(({ path }) => path.replace(/^.*\./, ''))).toEqual(['json', 'kv', 'tok']);
    expect(removed.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(1000);
    expect(kept).toEqual([{ key: shared.meta.key, sessions: ['fork'] }]);
    expect([exists(own), exists(shared)]).toEqual([false, true]);
    expect((await store.evictSession('fork')).kept).toEqual([]);
    expect(exists(shared)).toBe(false);
    expect(filesBelow(join(directory.path, '.engine'))).toEqual([]);
  });

  test('ENG-8 two stores on one cache keep what the other one uses, even of a session of the same name', async () => {
    const ours = await openStore(directory.path, { owner: 'ours' });
    const theirs = await openStore(directory.path, { owner: 'theirs' });
    const artifact = await put(ours, ids(10), 'a');
    await theirs.refs.add('a', { model, key: artifact.meta.key });
    expect((await ours.evictSession('a')).kept).toEqual([{ key: artifact.meta.key, sessions: ['a'] }]);
    expect(await ours.gc(() => false)).toEqual([]);
    expect(exists(artifact)).toBe(true);
  });

  test('ENG-8 gc takes what no living session uses, says so first when asked, and spares what is in use', async () => {
    const living = await put(store, ids(10, 2), 'living');
    const orphan = await put(store, ids(10, 3), 'gone');
    const pinned = await put(store, ids(10, 4), 'gone too');
    store.pin(pinned);
    mkdirSync(join(directory.path, '.engine', 'refs', '00'), { recursive: true });
    writeFileSync(join(directory.path, '.engine', 'refs', '00', `${'0'.repeat(32)}.json`), 'damaged');
    const alive = (session: string): boolean => session === 'living';
    const before = filesBelow(directory.path);
    const plan = await store.gc(alive, true);
    expect(filesBelow(directory.path)).toEqual(before);
    expect(plan.map(({ reason }) => reason)).toEqual(expect.arrayContaining(['no session uses it', 'is not a list of artifacts']));
    const removed = await store.gc(alive);
    expect(removed.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(plan.reduce((sum, { bytes }) => sum + bytes, 0));
    expect([living, orphan, pinned].map(exists)).toEqual([true, false, true]);
    expect(await store.gc(alive)).toEqual([]);
  });

  test('ENG-5 two processes put, find and evict on one cache at once: what is found is whole, and nothing is left over', async () => {
    const out = join(directory.path, 'program');
    mkdirSync(out);
    const modules = ['src/abi', 'src/engine'].flatMap((room) =>
      readdirSync(room)
        .filter((name) => name.endsWith('.ts'))
        .map((name) => `${room}/${name}`),
    );
    symlinkSync(join(process.cwd(), 'node_modules'), join(out, 'node_modules'));
    await transpile(out, [...modules, 'test/engine/artifact-fixture.ts', 'test/engine/cache-storm.ts']);
    const storm = (owner: string): Promise<{ code: number | null; said: string }> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [join(out, 'test/engine/cache-storm.js'), directory.path, owner]);
        let said = '';
        child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString('utf8')));
        child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString('utf8')));
        child.on('close', (code) => resolve({ code, said }));
      });
    const ended = await Promise.all([storm('one'), storm('two')]);
    for (const { code, said } of ended)
      expect({ code, said }).toEqual({ code: 0, said: expect.stringMatching(/^found [1-9][0-9]*\n$/) as string });
    for (const session of ['one', 'two']) await (await openStore(directory.path, { owner: session })).evictSession('session');
    await store.gc(() => false);
    expect(filesBelow(join(directory.path, '.engine', 'kv')).filter((name) => name.endsWith('.json'))).toEqual([]);
  });
});
