// context/kv and /ctx/model on a real mount: what a read of a pack starts, what the files of compiled state give, and what
// they cost again after an append, a fork and a restart.
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { ROOT } from '../cli/program.ts';
import { ENGINE_CHILD, isReady, mountEngine, prepareEngine, type EngineMount } from './engine-mount.ts';

let mounted: EngineMount;

beforeAll(async () => {
  mounted = await mountEngine('kv');
});
afterAll(() => mounted.end());

const kv = (name: string, file: string): string => `${mounted.sessions}/${name}/context/kv/${file}`;
const states = async (): Promise<readonly string[]> => {
  const root = join(mounted.store, '.engine/kv');
  const names = await readdir(root, { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith('.kv')).map((name) => basename(name));
};

describe('a read of a pack', () => {
  it.each(['pack.json', 'pack.md', 'prompt.json'])('KVT: of %s compiles it', async (file) => {
    const name = `read-${file}`;
    await mounted.session(name, 3);
    expect(await mounted.manifest(name)).toMatchObject({ state: 'absent' });
    await mounted.read(name, file);
    const manifest = await mounted.until(name, isReady);
    expect(manifest).toMatchObject({ model: 'local/tiny', driver: 'llama', reason: null });
    expect((manifest.reused_tokens ?? 0) + (manifest.evaluated_tokens ?? 0)).toBe(manifest.tokens);
  });

  it('KVT: a version that was read before compiles again after its state was evicted', async () => {
    await mounted.session('again', 3);
    await mounted.read('again');
    const { key } = await mounted.until('again', isReady);
    await mounted.must('ctx evict coder/again --compiled-state');
    expect(await mounted.manifest('again')).toMatchObject({ state: 'absent', reason: expect.stringContaining('evicted') as string });
    expect(await states()).not.toContain(`${key}.kv`);
    await mounted.read('again');
    await mounted.until('again', isReady);
    expect(await states()).toContain(`${key}.kv`);
  });

  it('KVT: a look starts nothing: stat, a listing, the manifest itself, and a session that is not active', async () => {
    const at = await mounted.session('looks', 3);
    await mounted.must(`ls -lR ${at}; stat ${at}/context/*.json ${at}/context/kv/state.bin; cat ${kv('looks', 'manifest.json')}`);
    await mounted.session('done', 3);
    await mounted.must(`echo done > ${mounted.sessions}/done/state`);
    await mounted.read('done');
    await mounted.session('later', 1);
    await mounted.read('later');
    // What came after it has been compiled: it would have been before.
    await mounted.until('later', isReady);
    expect(await mounted.manifest('looks')).toMatchObject({ state: 'absent' });
    expect(await mounted.manifest('done')).toMatchObject({ state: 'absent', reason: expect.stringContaining('not active') as string });
    const { stderr } = await mounted.sh(`cat ${kv('done', 'state.bin')}`);
    expect(stderr).toContain('No data available');
  });

  it('KVT: after an append the state is stale, and the next read evaluates only what is new', async () => {
    await mounted.session('grows', 40);
    await mounted.read('grows');
    const first = await mounted.until('grows', isReady);
    await mounted.append('grows', 4);
    expect(await mounted.manifest('grows')).toMatchObject({ state: 'stale', key: first.key });
    await mounted.read('grows');
    const second = await mounted.until('grows', isReady);
    expect(second.tokens).toBeGreaterThan(first.tokens ?? 0);
    // The last chunk has 64 tokens at least.
    expect(second.reused_tokens).toBeGreaterThanOrEqual((first.tokens ?? 0) - 64);
    expect(second.evaluated_tokens).toBe((second.tokens ?? 0) - (second.reused_tokens ?? 0));
    expect(second.pack?.digest).not.toBe(first.pack?.digest);
  });
});

describe('context/kv', () => {
  it('KVT: lists its manifest, which follows its schema; the two others answer by name', async () => {
    await mounted.session('listed', 3);
    await mounted.read('listed');
    const manifest = await mounted.until('listed', isReady);
    const schema = JSON.parse(readFileSync(`${ROOT}abi-spec/schema/kv-manifest.json`, 'utf8')) as object;
    const follows = new Ajv2020({ validateFormats: false, allowUnionTypes: true }).compile(schema);
    expect(follows(manifest) ? [] : follows.errors).toEqual([]);
    expect(await mounted.must(`ls -A ${kv('listed', '')}`)).toBe('manifest.json\n');
    expect((await mounted.sh(`cat ${kv('listed', 'other')}`)).stderr).toContain('No such file');
    expect((await mounted.sh(`echo x > ${kv('listed', 'state.bin')}`)).stderr).toContain('not permitted');
    expect((await mounted.sh(`echo x > ${kv('listed', 'new')}`)).stderr).toContain('not permitted');
  });

  it('KVT: state.bin waits for the artifact and is byte-exact; tokens.bin is the token ids, u32 little-endian', async () => {
    await mounted.session('exact', 30);
    const digest = (await mounted.must(`sha256sum < ${kv('exact', 'state.bin')}`)).slice(0, 64);
    const manifest = await mounted.manifest('exact');
    expect(manifest).toMatchObject({ state: 'ready', digest: `sha256-${digest}` });
    const sizes = `cd ${kv('exact', '')} && stat -c %s state.bin tokens.bin && wc -c < state.bin && wc -c < tokens.bin`;
    const bytes = [manifest.bytes, (manifest.tokens ?? 0) * 4];
    expect((await mounted.must(sizes)).trim().split('\n').map(Number)).toEqual([...bytes, ...bytes]);
    const ids = (await mounted.must(`od -An -v -t u4 --endian=little ${kv('exact', 'tokens.bin')}`)).trim().split(/\s+/).map(Number);
    expect(ids).toHaveLength(manifest.tokens ?? 0);
    // ChatML: a special token, then bytes; all within the vocabulary.
    expect(Math.max(...ids)).toBeLessThan(Number(manifest.fingerprint?.['vocabulary_tokens']));
    // fstat of the open file, which had not been compiled when it was looked up.
    await mounted.session('fstat', 30);
    const program = 'import os,sys; f=open(sys.argv[1],"rb"); print(os.fstat(f.fileno()).st_size, len(f.read()))';
    const sizesNow = async (): Promise<readonly number[]> =>
      (await mounted.must(`python3 -c '${program}' ${kv('fstat', 'state.bin')}`)).trim().split(' ').map(Number);
    const first = (await sizesNow())[0];
    expect(first).toBe((await mounted.manifest('fstat')).bytes);
    // Nor has what an earlier open gave anything to do with the next look.
    await mounted.append('fstat', 2);
    expect(await mounted.must(`stat -c %s ${kv('fstat', 'state.bin')}`)).toBe('0\n');
    const [stated, read] = await sizesNow();
    expect([stated, read]).toEqual([(await mounted.manifest('fstat')).bytes, stated]);
    expect(stated).toBeGreaterThan(first ?? 0);
  });

  it('KVT: an open file of compiled state stays readable when it is evicted', async () => {
    await mounted.session('held', 30);
    const line = `exec 3< ${kv('held', 'state.bin')}; ctx inspect coder/held --json; ctx evict coder/held --compiled-state > /dev/null; sha256sum <&3`;
    const text = await mounted.must(line);
    const end = text.lastIndexOf('}') + 1;
    const { digest } = JSON.parse(text.slice(0, end)) as { digest: string };
    expect(`sha256-${text.slice(end).trim().slice(0, 64)}`).toBe(digest);
    expect(await mounted.manifest('held')).toMatchObject({ state: 'absent' });
  });

  it('KVT: an open for O_NONBLOCK is refused with EAGAIN while the state is not there, and starts it', async () => {
    await mounted.session('nonblock', 3);
    const program = 'import os,sys; print(len(os.read(os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK), 1<<20)))';
    const line = `python3 -c '${program}' ${kv('nonblock', 'state.bin')}`;
    expect((await mounted.sh(line)).stderr).toContain('BlockingIOError: [Errno 11]');
    const { bytes } = await mounted.until('nonblock', isReady);
    expect(Number(await mounted.must(line))).toBe(bytes);
  });

  it('KVT: who waits for state.bin can be interrupted, and the compile goes on', async () => {
    await mounted.session('warm', 3);
    await mounted.must(`wc -c ${kv('warm', 'state.bin')}`);
    await mounted.session('interrupted', 140);
    // The engine is held still: it cannot be done before the reader is gone.
    const state = `'"state": "compiling",' ${kv('interrupted', 'manifest.json')}`;
    const line = `${ENGINE_CHILD}; kill -STOP $child; cat ${kv('interrupted', 'state.bin')} > /dev/null & waiting=$!; until grep -q ${state}; do sleep 0.05; done; kill -INT $waiting; kill -TERM $waiting; wait $waiting; echo $?; grep ${state}; kill -CONT $child`;
    const [status, still] = (await mounted.must(line)).trim().split('\n');
    expect([status, still?.trim()]).toEqual(['143', '"state": "compiling",']);
    expect(await mounted.until('interrupted', isReady)).toMatchObject({ reason: null });
  });
});

describe('what is compiled once', () => {
  it('KVT: a forked session with the same pack is ready with no token evaluated and no byte copied', async () => {
    await mounted.session('parent', 30);
    await mounted.read('parent');
    const parent = await mounted.until('parent', isReady);
    const before = await states();
    await mounted.must('ctx fork coder/parent coder/child');
    await mounted.read('child');
    const child = await mounted.until('child', isReady);
    expect(child).toMatchObject({ key: parent.key, digest: parent.digest, evaluated_tokens: 0, reused_tokens: parent.tokens });
    expect(await states()).toEqual(before);
    // Shared: the one's eviction leaves the other's.
    expect(await mounted.must('ctx evict coder/parent --compiled-state')).toContain('kept: 1 other sessions use it');
    expect(await mounted.manifest('child')).toMatchObject({ state: 'ready' });
  });

  it('KVT: after a restart the state is ready as it was, and nothing is compiled again', async () => {
    await mounted.session('restart', 30);
    await mounted.read('restart');
    const before = await mounted.until('restart', isReady);
    await mounted.must('ctx umount && ctx mount', { cwd: '/' });
    expect(await mounted.manifest('restart')).toEqual(before);
    await mounted.read('restart');
    expect((await mounted.must(`sha256sum < ${kv('restart', 'state.bin')}`)).slice(0, 64)).toBe(before.digest?.slice('sha256-'.length));
    expect(await mounted.manifest('restart')).toMatchObject({ state: 'ready', key: before.key, evaluated_tokens: 0 });
    await mounted.append('restart', 1);
    await mounted.must('ctx umount && ctx mount', { cwd: '/' });
    expect(await mounted.manifest('restart')).toMatchObject({ state: 'stale' });
  });

  it('KVT: what was compiled of a session that is removed goes with it; ctx gc takes what nobody uses', async () => {
    await mounted.session('removed', 5);
    await mounted.read('removed');
    const { key } = await mounted.until('removed', isReady);
    await mounted.must('ctx rm coder/removed --force --yes');
    // Nobody waits for it.
    while ((await states()).includes(`${key}.kv`)) await sleep(50);
    await mounted.session('renamed', 6);
    await mounted.read('renamed');
    const old = await mounted.until('renamed', isReady);
    await mounted.must(`mv ${mounted.sessions}/renamed ${mounted.sessions}/anew`);
    expect(await mounted.must('ctx gc --dry-run')).toContain(`${old.key}.kv`);
    await mounted.read('anew');
    expect(await mounted.until('anew', isReady)).toMatchObject({ key: old.key, evaluated_tokens: 0 });
    expect(await mounted.must('ctx gc')).not.toContain('.kv');
  });
});

describe('ctx inspect', () => {
  it('KVT: explains the four levels field by field', async () => {
    await mounted.session('inspected', 5);
    await mounted.read('inspected');
    await mounted.until('inspected', isReady);
    const fits = await mounted.must('ctx inspect coder/inspected');
    for (const level of ['source', 'rebuild', 'binary', 'runtime']) expect(fits).toContain(`  ${level}: compatible\n`);
    await mounted.append('inspected', 1);
    await mounted.must(`wc -c ${mounted.sessions}/inspected/context/prompt.json`);
    await mounted.until('inspected', isReady);
    await mounted.must(`ctx model add ${mounted.model} --name small --kv Q8_0 --default`);
    const other = await mounted.must('ctx inspect coder/inspected');
    expect(other).toMatch(/state: stale\nreason: it was compiled for local\/tiny; the engine is local\/small now/);
    expect(other).toContain('  rebuild: compatible\n  binary: not compatible\n');
    expect(other).toContain('    kv_key_type: compiled with F16, here Q8_0\n');
    await mounted.must('ctx model use tiny && ctx model rm small');
    expect(await mounted.manifest('inspected')).toMatchObject({ state: 'ready' });
  });
});

describe('/ctx/model and status', () => {
  it('KVT: shows the configured models to everyone, and the engine in status', async () => {
    const at = `${mounted.root}/model/local/tiny.d`;
    expect(await mounted.must(`ls -A ${mounted.root}/model; ls -A ${mounted.root}/model/local; ls -A ${at}`)).toBe(
      'local\ntiny.d\nconfig.json\ndriver\nid\nlimit\nstatus\n',
    );
    expect(await mounted.must(`cat ${at}/id ${at}/driver ${at}/limit ${at}/status`)).toBe('local/tiny\nllama\n32768\nready\n');
    expect(JSON.parse(await mounted.must(`cat ${at}/config.json`))).toMatchObject({ name: 'tiny', path: mounted.model, threads: 1 });
    expect(await mounted.must('cat status')).toMatch(/^engine=local\/tiny\nengine_driver=llama\n/m);
    expect((await mounted.sh(`echo x > ${at}/limit`)).stderr).toMatch(/not permitted/i);
    expect((await mounted.sh(`rm ${at}/limit; rmdir ${at}`)).stderr).toMatch(/not permitted/i);
  });
});

describe('without an engine', () => {
  it('KVT: the manifest says so, compiled state is ENODATA, and the store holds no trace of one', async () => {
    const plain = await prepareEngine('kv-none');
    try {
      await plain.must('ctx mount');
      await plain.session('s', 2);
      await plain.read('s');
      const reason = 'no engine is configured; ctx model add names a model';
      expect(await plain.manifest('s')).toMatchObject({ state: 'absent', reason, model: null, key: null });
      const refused = await plain.sh(`cat ${plain.sessions}/s/context/kv/state.bin`);
      expect(refused.stderr).toContain('No data available');
      expect(await plain.must('cat status')).toMatch(/^engine=none$/m);
      expect(await plain.must(`ls -A ${plain.root}/model; ctx inspect coder/s`)).toBe(`state: absent\nreason: ${reason}\n`);
      expect(await readdir(plain.store)).not.toContain('.engine');
    } finally {
      await plain.end();
    }
  });
});
