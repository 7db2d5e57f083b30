// The engine may end at any moment, its model may be anything, its disk may be full: the mount does not notice beyond a
// manifest that says why, and packs are read as ever.
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readModelFacts } from '../../src/engine/gguf.ts';

import { canMount } from './can-mount.ts';
import { ENGINE_CHILD, isReady, mountEngine, prepareEngine, type EngineMount } from './engine-mount.ts';

/** One for all tests but that of the full disk: each leaves local/tiny as the engine, and has a session of its own. */
let mounted: EngineMount;

beforeAll(async () => {
  mounted = await mountEngine('kv-failures');
});
afterAll(() => mounted.end());

async function failed(name: string, on = mounted): Promise<string> {
  await on.read(name);
  const { reason } = await on.until(name, ({ state }) => state === 'failed');
  // The status is told soon after.
  await on.must('until grep -q ^engine_error= status; do sleep 0.05; done');
  // The pack is what it would be without an engine.
  expect(await on.read(name)).toContain(`request 1 of ${name}`);
  return reason ?? '';
}

/** Reads on, through failures and the waits after them (ENG-12); the test's limit bounds it. */
async function readUntilReady(name: string, on = mounted): Promise<void> {
  for (let ready = false; !ready;) {
    await on.read(name);
    ready = isReady(await on.until(name, ({ state }) => state === 'ready' || state === 'failed'));
  }
}

describe.skipIf(!canMount)('other users', () => {
  it('KVT: may not choose models nor collect, nor touch what is compiled of sessions of others', async () => {
    await mounted.session('theirs', 2);
    const as = 'exec setpriv --reuid=2801 --regid=2801 --clear-groups';
    const ask = async (request: object): Promise<unknown> =>
      JSON.parse(
        await mounted.must(`${as} bash -c "$LINE"`, { env: { LINE: `exec 3<>.control; echo '${JSON.stringify(request)}' >&3; cat <&3` } }),
      );
    const session = `home/0/agent/coder/session/theirs`;
    for (const request of [
      { verb: 'model.add', model: { provider: 'a', name: 'b', driver: 'llama', path: mounted.model }, makeDefault: true },
      { verb: 'model.rm', model: 'tiny' },
      { verb: 'model.use', model: 'tiny' },
      { verb: 'kv.gc', dryRun: true },
      { verb: 'kv.evict', session },
      { verb: 'kv.inspect', session },
    ])
      expect(await ask(request)).toMatchObject({ ok: false, error: { code: 'control.denied', errno: 'EACCES' } });
    expect(await ask({ verb: 'model.ls' })).toMatchObject({ ok: true, result: { default: 'local/tiny' } });
  });
});

describe('bad models', () => {
  it('KVT: a missing, cut or foreign file is refused when it is added, and nothing changes', async () => {
    const directory = join(mounted.store, '..');
    await mounted.must(`head -c 300000 ${mounted.model} > ${directory}/cut.gguf; head -c 4096 /bin/sh > ${directory}/foreign.gguf`);
    const said: string[] = [];
    for (const file of ['missing', 'cut', 'foreign']) {
      const add = { verb: 'model.add', model: { provider: 'local', name: file, driver: 'llama', path: `${directory}/${file}.gguf` } };
      const request = JSON.stringify({ ...add, makeDefault: true });
      const reply = await mounted.must(`exec 3<>.control; echo '${request}' >&3; cat <&3`);
      said.push((JSON.parse(reply) as { error: { code: string; message: string; next: string } }).error.message);
      expect(JSON.parse(reply)).toMatchObject({ ok: false, error: { code: 'engine.model', where: expect.any(String) as string } });
      const { code, stderr } = await mounted.ctx(['model', 'add', `${directory}/${file}.gguf`]);
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/^ctx: /);
    }
    expect(said[0]).toContain('does not exist');
    expect(said[1]).toContain('cut short');
    expect(said[2]).toContain('no GGUF file');
    expect(await mounted.must(`ls ${mounted.root}/model/local; grep ^engine= status`)).toBe('tiny.d\nengine=local/tiny\n');
  });

  it('KVT: a model whose context is smaller than the pack says so', async () => {
    await mounted.must(`ctx model add ${mounted.model} --name small --context 256 --default`);
    await mounted.session('small', 40);
    expect(await failed('small')).toMatch(/the prompt has \d+ tokens, the model's context holds 255; lower context\/budget/);
    expect(await mounted.must('cat model/local/small.d/limit status')).toMatch(/^256\n[^]*engine_error=.*the model's context holds 255/);
    expect((await mounted.sh(`cat ${mounted.sessions}/small/context/kv/state.bin`)).stderr).toContain('Message too long');
    await mounted.must('ctx model use local/tiny && ctx model rm local/small');
  });

  it('KVT: a file that is damaged later is said in the manifest, in status and by ctx; mended, it compiles', async () => {
    await mounted.session('damaged', 3);
    await truncate(mounted.model, 300_000);
    expect(await failed('damaged')).toContain('cut short');
    expect(await mounted.must('cat status')).toMatch(/^engine_error=.*cut short/m);
    expect(await mounted.must('cat model/local/tiny.d/status')).toMatch(/^error: .*cut short/);
    expect(await mounted.must('ctx inspect coder/damaged 2>&1 || true')).toContain('cut short');
    expect((await mounted.sh(`cat ${mounted.sessions}/damaged/context/kv/state.bin`)).stderr).toMatch(
      /cat: .*(Invalid argument|Input\/output)/,
    );
    await mounted.must(`"$NODE" "$MAKE" --out ${mounted.model}`, {
      env: { NODE: process.execPath, MAKE: new URL('../../scripts/make-tiny-model', import.meta.url).pathname },
    });
    await mounted.append('damaged', 1);
    await readUntilReady('damaged');
    expect(await mounted.manifest('damaged')).toMatchObject({ state: 'ready' });
    await mounted.must('while grep -q engine_error status; do sleep 0.05; done');
  });

  it('KVT ENG-17: a model whose chat template is missing, broken or fills the memory is refused when it is added; one that is broken later leaves no question behind', async () => {
    const bytes = await readFile(mounted.model, 'latin1');
    const places = ['without', 'broken', 'endless', 'later'].map((name) => join(mounted.store, '..', `${name}.gguf`));
    const [without, broken, endless, later] = places as [string, string, string, string];
    await writeFile(without, bytes.replace('tokenizer.chat_template', 'tokenizer.chat_tampletE'), 'latin1');
    expect(bytes).toContain('{%- for ');
    await writeFile(broken, bytes.replaceAll('{%- for ', '{%- fxr '), 'latin1');
    const template = readModelFacts(mounted.model).chatTemplate as string;
    const filling = '{% for a in range(1000000000) %}{% endfor %}'.padEnd(template.length);
    await writeFile(
      endless,
      bytes.replace(template, () => filling),
      'latin1',
    );
    const before = await mounted.must('ctx model ls');
    for (const [path, why] of [
      [without, 'the model carries no chat template'],
      [broken, 'engine.template: .*broken.gguf .*the chat template cannot be read'],
      [endless, 'engine.template: .*endless.gguf .*it needs more than 256 MB'],
    ] as const) {
      const refused = await mounted.ctx(['model', 'add', path]);
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(why) as string]);
    }
    expect(await mounted.must('ctx model ls')).toBe(before);
    await mounted.must(`cp ${mounted.model} ${later}; ctx model add ${later} --threads 1`);
    const at = await mounted.session('asks');
    for (const [path, why] of [
      [broken, 'the chat template cannot be read'],
      [endless, 'it needs more than 256 MB'],
    ] as const) {
      await mounted.must(`cp ${path} ${later}`);
      const failed = await mounted.ctx(['run', 'coder/asks', '-p', 'Hello?', '--model', 'later']);
      expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(`engine\\.template: .*later.gguf .*${why}`) as string]);
    }
    expect(await mounted.must(`cat ${at}/messages.jsonl ${at}/events.jsonl`)).toBe('');
    await mounted.must('ctx model rm local/later');
  });
});

describe('a server as the engine', () => {
  it('KVT: is asked only by sessions whose policy allows it; one that is not there is said', async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(400).end('broken');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const request = {
        verb: 'model.add',
        model: { provider: 'far', name: 'one', driver: 'openai', url: `http://127.0.0.1:${port}/v1`, model: 'one' },
        makeDefault: true,
      };
      await mounted.must(`exec 3<>.control; echo '${JSON.stringify(request)}' >&3; grep -q '"ok":true' <&3`);
      await mounted.session('remote', 3);
      await mounted.read('remote');
      await mounted.until('remote', ({ reason }) => reason?.includes('policy.yaml of this session does not allow one') === true);
      expect(asked).toEqual([]);
      expect(await mounted.must('cat model/far/one.d/status')).toBe('unknown\n');
      await mounted.must(`printf 'remote:\\n  allow: true\\n' > ${mounted.sessions}/remote/context/policy.yaml`);
      expect(await failed('remote')).toContain('answered 400: broken');
      expect(asked.length).toBeGreaterThan(0);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await mounted.append('remote', 1);
      await mounted.until('remote', ({ state }) => state === 'failed');
      const refused = await mounted.sh(`cat ${mounted.sessions}/remote/context/kv/state.bin`);
      expect(refused.code).not.toBe(0);
      expect(await mounted.must('cat status')).toMatch(/^engine=far\/one\nengine_driver=openai\n[^]*^engine_error=engine\./m);
      await mounted.must('ctx model use local/tiny && ctx model rm far/one');
    } finally {
      server.close();
    }
  });
});

describe('the engine process', () => {
  it('KVT: kill -9 of it, at any time and again and again, costs nothing but time', async () => {
    const at = await mounted.session('killed', 150);
    const waiting = mounted.sh(`sha256sum < ${at}/context/kv/state.bin`);
    for (let round = 0; round < 3; round += 1) {
      const line = `${ENGINE_CHILD}; kill -9 $child; echo '{"role":"assistant","content":"still here ${round}"}' >> ${at}/messages.jsonl; tail -n 1 ${at}/messages.jsonl; wc -c < ${at}/context/pack.json`;
      expect(await mounted.must(line)).toContain(`still here ${round}`);
    }
    // Whoever waited has a state of its pack or is told why not; the newest read ends in one.
    const { code, stderr } = await waiting;
    if (code !== 0) expect(stderr).toMatch(/Input\/output error|No data available/);
    await readUntilReady('killed');
    const manifest = await mounted.manifest('killed');
    expect(manifest).toMatchObject({ state: 'ready' });
    expect(`sha256-${(await mounted.must(`sha256sum < ${at}/context/kv/state.bin`)).slice(0, 64)}`).toBe(
      (await mounted.manifest('killed')).digest,
    );
    // Idle, it may go too: the next compile starts another.
    await mounted.must(`${ENGINE_CHILD}; kill -9 $child`);
    await mounted.append('killed', 1);
    await mounted.read('killed');
    await mounted.until('killed', isReady);
  });

  it('KVT: it ends with the daemon, whichever way the daemon goes', async () => {
    const at = await mounted.session('orphan', 150);
    const line = `cat ${at}/context/pack.md > /dev/null; ${ENGINE_CHILD}; kill -9 "$(sed -n s/^pid=//p status)"; cd /; while test -e /proc/$child; do sleep 0.05; done; ctx mount && ${`cat ${at}/context/kv/state.bin`} | wc -c`;
    const { bytes } = { bytes: Number((await mounted.must(line)).trim().split('\n').at(-1)) };
    expect(await mounted.manifest('orphan')).toMatchObject({ state: 'ready', bytes });
  });
});

describe('a long compile', () => {
  it('KVT: who waits too long is told to come back, and the compile goes on', async () => {
    const at = await mounted.session('late', 60);
    await mounted.must('ctx umount && ctx mount', { cwd: '/', env: { CTX_REBUILD_WAIT_MS: '1' } });
    expect((await mounted.sh(`cat ${at}/context/kv/state.bin`)).stderr).toContain('Connection timed out');
    const { bytes } = await mounted.until('late', isReady);
    expect(bytes).toBeGreaterThan(0);
  });
});

describe('a damaged configuration', () => {
  it('KVT: models.json that is no JSON turns the engine off and says so; it is not written over', async () => {
    await mounted.session('broken', 2);
    await mounted.must('ctx umount', { cwd: '/' });
    await writeFile(join(mounted.store, '.engine/models.json'), '{"version":1,');
    await mounted.must('ctx mount', { cwd: '/' });
    expect(await mounted.must('cat status')).toMatch(/^engine=none\nengine_error=engine.models: .*is not JSON/m);
    expect(await mounted.manifest('broken')).toMatchObject({ state: 'absent', reason: expect.stringContaining('is not JSON') as string });
    expect((await mounted.ctx(['model', 'add', mounted.model])).stderr).toContain('is not JSON');
    expect(await mounted.read('broken')).toContain('request 2 of broken');
  });
});

describe.skipIf(!canMount)('the disk of compiled state', () => {
  it('KVT: is full: the manifest says so, packs are read and history grows; with room again it compiles', async () => {
    const on = await prepareEngine('kv-full');
    const engine = join(on.store, '.engine');
    await on.must(`mkdir -p ${engine} && mount -t tmpfs -o size=256k none ${engine}`, { cwd: '/' });
    try {
      await on.must(`ctx mount && ctx model add ${on.model}`);
      await on.must(`head -c 250k /dev/zero > ${engine}/ballast || true`);
      await on.session('s', 40);
      expect(await failed('s', on)).toMatch(/engine\.space|ENOSPC|disk/);
      await on.append('s', 1);
      expect(await on.read('s', 'pack.json')).toContain('messages');
      await on.must(`mount -o remount,size=16m ${engine} && rm ${engine}/ballast`);
      await readUntilReady('s', on);
      expect(await on.manifest('s')).toMatchObject({ state: 'ready' });
    } finally {
      await on.end();
      await on.must(`umount -l ${engine}`, { cwd: '/' });
    }
  });
});
