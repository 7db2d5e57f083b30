// What another user of the machine could try on a mount that root serves: nothing outside their own reach may come out or change.
import { chmod, lstat, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Outcome } from '../cli/program.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { canMount } from './can-mount.ts';

const EVE = 2801;
const BOB = 2802;
/** Debian's own: what comes first in PATH may lie where only root can read. */
const PYTHON = '/usr/bin/python3';
const SECRET = 'for root only';
const MINE = `home/${EVE}/agent/a/session/mine`;
const ROOTS = 'home/0/agent/coder/session/secret';

const CONTROL = `
import os, sys
fd = os.open('.control', os.O_RDWR)
os.write(fd, (sys.argv[1] + '\\n').encode())
while True:
    piece = os.read(fd, 65536)
    if not piece: break
    os.write(1, piece)
`;

describe.skipIf(!canMount)('other users of a mount', () => {
  let mounted: MountedStore;
  let outside: string;

  const as = (uid: number, line: string): Promise<Outcome> =>
    mounted.sh(`exec setpriv --reuid=${uid} --regid=${uid} --clear-groups bash -c "$LINE"`, { env: { LINE: line } });
  const ask = async (
    uid: number,
    request: unknown,
  ): Promise<{ ok: boolean; result?: unknown; error?: { code: string; errno: string } }> => {
    const line = `exec setpriv --reuid=${uid} --regid=${uid} --clear-groups ${PYTHON} -c "$CONTROL" "$REQUEST"`;
    const { stdout, stderr } = await mounted.sh(line, {
      env: { CONTROL, REQUEST: typeof request === 'string' ? request : JSON.stringify(request) },
    });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as { ok: boolean };
  };

  beforeAll(async () => {
    mounted = await mountStore('security');
    outside = join(mounted.root, '..', 'outside');
    await mkdir(join(outside, 'directory'), { recursive: true });
    await writeFile(join(outside, 'directory/file'), SECRET);
    await writeFile(join(outside, 'secret'), SECRET);
    await chmod(join(outside, 'secret'), 0o600);
    await mounted.must(`ctx new coder/secret && echo '{"role":"user","content":"${SECRET}"}' >> ${ROOTS}/messages.jsonl`);
    const made = await as(EVE, `mkdir -p ${MINE} && echo '{"role":"user","content":"hello"}' >> ${MINE}/messages.jsonl`);
    if (made.code !== 0) throw new Error(made.stderr);
  });
  afterAll(() => mounted.end());

  it('a symbolic link renamed over a file of the session is refused, not read with the rights of the daemon', async () => {
    const line = `cd ${MINE}/context && ln -s ${outside}/secret t && ! mv -T t summary.md && ! mv -T t budget && cat summary.md budget`;
    const { code, stdout, stderr } = await as(EVE, line);
    expect([code, stderr]).toEqual([0, expect.stringContaining('Operation not permitted')]);
    expect(stdout).not.toContain(SECRET);
    expect((await as(EVE, `cd ${MINE} && ln -s ${outside}/secret t && mv -T t cwd`)).code).toBe(1);
  });

  it('a fork copies symbolic links as links, and gives away nothing that they name', async () => {
    await as(EVE, `cd ${MINE}/context/pinned && ln -s ${outside}/directory link && mkdir -p d && echo x > d/f && mkfifo fifo`);
    const reply = await ask(EVE, { verb: 'fork', from: MINE, to: `${MINE}-links` });
    expect(reply).toMatchObject({ ok: true, result: { left_out: ['context/pinned/fifo'] } });
    expect((await stat(join(outside, 'directory/file'))).uid).toBe(0);
    const copied = join(mounted.store, `${MINE}-links/context/pinned`);
    expect((await lstat(join(copied, 'link'))).isSymbolicLink()).toBe(true);
    expect((await lstat(join(copied, 'd/f'))).uid).toBe(EVE);
  });

  it('agent/ of a shared space is made by mkdir only: no link, file or crafted directory takes its place', async () => {
    const tries = [
      'ln -s ../../home/0/agent agent',
      'mv link agent',
      'mv crafted/agent .',
      'echo x > agent',
      'ln file agent',
      'mkfifo agent',
      `${PYTHON} -c "import ctypes; l=ctypes.CDLL(None); exit(1 if l.renameat2(-100, b'crafted/agent', -100, b'agent', 1) else 0)"`,
    ];
    const made = await as(
      EVE,
      'cd shared && mkdir sp && cd sp && ln -s ../../home/0/agent link && echo x > file && mkdir -p crafted/agent',
    );
    expect(made.code).toBe(0);
    for (const line of tries) expect([line, (await as(EVE, `cd shared/sp && ${line}`)).code]).not.toEqual([line, 0]);
    expect((await as(EVE, 'cd shared/sp && mkdir agent && ! mv agent other && mkdir agent/x && rmdir agent/x && rmdir agent')).code).toBe(
      0,
    );
  });

  it('a symbolic link that lies in the store in the place of a directory is not followed', async () => {
    await mounted.must('mkdir shared/planted');
    await symlink('../../home/0/agent', join(mounted.store, 'shared/planted/agent'));
    const session = 'shared/planted/agent/coder/session/secret';
    expect((await as(EVE, `cat ${session}/messages.jsonl`)).stdout).toBe('');
    expect(await ask(EVE, { verb: 'search', session, query: 'root', limit: 5 })).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
    expect(await ask(0, { verb: 'search', session, query: 'root', limit: 5 })).toMatchObject({ ok: false });
  });

  it('seal and digest name the files of a history, to those who may read it', async () => {
    interface Sealed {
      readonly blobs: readonly { journal: string; file: string; bytes: number; file_bytes: number; sha256: string | null }[];
      readonly elapsed_ms: number;
    }
    const session = `home/${EVE}/agent/a/session/sealed`;
    const made = await as(EVE, `mkdir ${session} && seq -f '{"role":"user","content":"%g"}' 300 >> ${session}/messages.jsonl`);
    expect(made.code).toBe(0);
    const sealed = (await ask(EVE, { verb: 'seal', session })).result as Sealed;
    expect(sealed.blobs.map(({ journal }) => journal)).toEqual(expect.arrayContaining(['messages.jsonl', 'order']));
    expect(sealed.elapsed_ms).toBeGreaterThan(0);
    // Nothing is left to seal: the same files again, now with what they hold.
    const known = (await ask(EVE, { verb: 'digest', session })).result as Sealed;
    expect(known.blobs.map(({ file, bytes }) => [file, bytes])).toEqual(sealed.blobs.map(({ file, bytes }) => [file, bytes]));
    const messages = known.blobs[0];
    expect(messages?.bytes).toBe(messages?.file_bytes);
    const sum = await mounted.must(`sha256sum < '${mounted.store}/${session}/${messages?.file}' && sha256sum < ${session}/messages.jsonl`);
    expect(sum.match(/[0-9a-f]{64}/g)).toEqual([messages?.sha256, messages?.sha256]);
    expect(await ask(BOB, { verb: 'seal', session: ROOTS })).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
    expect(await ask(BOB, { verb: 'digest', session: ROOTS })).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
  });

  it('a fork is made only where its maker could make a session', async () => {
    await as(BOB, `mkdir -p home/${BOB}/agent/a`);
    await mounted.must('mkdir -p shared/closed/agent/z/session && mkdir -m 777 shared/open && mkdir -m 777 shared/open/agent');
    const fork = (to: string) => ask(EVE, { verb: 'fork', from: MINE, to });
    for (const to of [
      'shared/closed/agent/z/session/w',
      'shared/closed/agent/new/session/w',
      `home/${BOB}/agent/a/session/w`,
      `${ROOTS}-w`,
    ])
      expect(await fork(to)).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
    expect(await fork(`home/${EVE}/agent/a/session/index`)).toMatchObject({ ok: false, error: { errno: 'EINVAL' } });
    expect(await fork('shared/none/agent/a/session/w')).toMatchObject({ ok: false, error: { errno: 'ENOENT' } });
    expect(await fork('shared/open/agent/a/session/w')).toMatchObject({ ok: true });
    expect((await stat(join(mounted.store, 'shared/open/agent/a/session/w'))).uid).toBe(EVE);
  });

  it('a shared session answers those who may read it, and its owner alone may take it away', async () => {
    await as(EVE, 'mkdir -p shared/team/agent/a/session/s && mkdir -m 700 shared/team/agent/a/session/own');
    for (const name of ['s', 'own'])
      await as(EVE, `echo '{"role":"user","content":"blue port"}' >> shared/team/agent/a/session/${name}/messages.jsonl`);
    const search = (name: string) =>
      ask(BOB, { verb: 'search', session: `shared/team/agent/a/session/${name}`, query: 'blue port', limit: 5 });
    expect(await search('s')).toMatchObject({ ok: true, result: [{ line: 1 }] });
    expect(await search('own')).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
    for (const verb of ['archive', 'rm', 'gc'])
      expect(await ask(BOB, { verb, session: 'shared/team/agent/a/session/s', force: true, dryRun: false })).toMatchObject({
        ok: false,
        error: { errno: 'EACCES' },
      });
    expect(await ask(EVE, { verb: 'archive', session: 'shared/team/agent/a/session/s' })).toMatchObject({ ok: true });
  });

  it('a request that is none is EINVAL, and says what is missing', async () => {
    const wrong: readonly unknown[] = [
      'garbage',
      'null',
      '[]',
      '{}',
      { verb: 'nothing' },
      { verb: 'toString' },
      { verb: 'explain', session: MINE },
      { verb: 'explain', session: 5, file: 'pack.json' },
      { verb: 'search', session: MINE, query: 5, limit: 5 },
      { verb: 'search', session: MINE, query: 'x', limit: -1 },
      { verb: 'pack-at', session: MINE },
      { verb: 'gc', session: MINE, dryRun: 'yes' },
      { verb: 'rm', session: MINE },
      { verb: 'fork', from: MINE },
      { verb: 'fork', from: MINE, to: `${MINE}-x`, at: 'x' },
      { verb: 'fork', from: MINE, to: `${MINE}-x`, at: -1 },
      { verb: 'fork', from: MINE, to: `${MINE}-x`, at: 99 },
      { verb: 'fork', from: MINE, to: `${MINE}/../x` },
    ];
    for (const request of wrong)
      expect([request, await ask(EVE, request)]).toMatchObject([
        request,
        { ok: false, error: { errno: 'EINVAL', next: expect.any(String) } },
      ]);
  });

  it('what a session refuses is left as it was: its history is still the one line', async () => {
    expect((await as(EVE, `cat ${MINE}/messages.jsonl`)).stdout).toBe('{"role":"user","content":"hello"}\n');
  });
});
