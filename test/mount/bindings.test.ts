// Memory that a session binds, in the session's own directory: read-only, read-write and ephemeral, as the mount enforces them.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import type { Outcome } from '../cli/program.ts';
import { canMount } from './can-mount.ts';

const EVE = 2821;
const BOB = 2822;
/** Debian's own: what comes first in PATH may lie where only root can read. */
const PYTHON = '/usr/bin/python3';
const MINE = `home/${EVE}/agent/a/session/s`;
const WIKI = `home/${EVE}/wiki`;

const CHANGES = readFileSync(new URL('clients/changes.py', import.meta.url), 'utf8');

/** Programs that go on in an ephemeral mount while others look at the volume. */
const COPY = `
import os, sys
at, volume = sys.argv[1], sys.argv[2]
read = lambda path: open(path).read()
# Who reads goes on reading the file, which is another from its first change on.
reader = os.open(at + '/page.md', os.O_RDONLY)
assert os.pread(reader, 100, 0) == b'as it was\\n'
with open(at + '/page.md', 'a') as file: file.write('and more\\n')
assert os.pread(reader, 100, 0) == b'as it was\\nand more\\n', os.pread(reader, 100, 0)
assert os.fstat(reader).st_size == os.stat(at + '/page.md').st_size == 19
assert os.getxattr(at + '/page.md', 'user.kept') == b'yes'
assert os.stat(at + '/page.md').st_mode & 0o777 == 0o640
assert read(volume + '/page.md') == 'as it was\\n'
# What was removed stays away, also below a directory that was, and when the volume writes it anew.
os.unlink(at + '/topic/deep.md')
os.rmdir(at + '/topic')
assert not os.path.exists(at + '/topic') and 'topic' not in os.listdir(at)
with open(volume + '/topic/deep.md', 'w') as file: file.write('anew')
os.mkdir(at + '/topic')
assert os.listdir(at + '/topic') == []
with open(at + '/topic/deep.md', 'w') as file: file.write('mine')
assert read(volume + '/topic/deep.md') == 'anew'
# A file that lost its name here is still the volume's.
held = os.open(at + '/other.md', os.O_RDONLY)
os.unlink(at + '/other.md')
for change in (lambda: os.fchmod(held, 0o600), lambda: os.open('/proc/self/fd/%d' % held, os.O_WRONLY)):
    try: change()
    except OSError: pass
    else: raise AssertionError('changed')
assert os.pread(held, 100, 0) == b'other\\n'
assert os.stat(volume + '/other.md').st_mode & 0o777 == 0o644
# Renamed, linked, made by rename as editors do.
os.rename(at + '/third.md', at + '/fourth.md')
os.link(at + '/fourth.md', at + '/fifth.md')
with open(at + '/fifth.md', 'a') as file: file.write('!')
assert read(at + '/fourth.md') == 'third\\n!' and not os.path.exists(at + '/third.md')
assert read(volume + '/third.md') == 'third\\n'
with open(at + '/page.md.tmp', 'w') as file: file.write('whole')
os.rename(at + '/page.md.tmp', at + '/page.md')
assert read(at + '/page.md') == 'whole' and read(volume + '/page.md') == 'as it was\\n'
try: os.rename(at + '/kept', at + '/moved')
except OSError as error: assert error.errno == 18, error
else: raise AssertionError('renamed')
# What the view did not touch is the volume's as it is now.
with open(volume + '/late.md', 'w') as file: file.write('late')
assert read(at + '/late.md') == 'late'
os.replace(volume + '/late.md', volume + '/later.md')
assert read(at + '/later.md') == 'late' and not os.path.exists(at + '/late.md')
print('kept apart')
`;

describe.skipIf(!canMount)('memory in a session', () => {
  let mounted: MountedStore;
  const as = (uid: number, line: string): Promise<Outcome> =>
    mounted.sh(`exec setpriv --reuid=${uid} --regid=${uid} --clear-groups bash -o pipefail -c "$LINE"`, { env: { LINE: line } });
  const must = async (uid: number, line: string): Promise<string> => {
    const { code, stdout, stderr } = await as(uid, line);
    if (code !== 0) throw new Error(`${line}\nended with ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  const python = (uid: number, program: string, ...args: readonly string[]): Promise<Outcome> =>
    mounted.sh(`exec setpriv --reuid=${uid} --regid=${uid} --clear-groups ${PYTHON} -c "$PROGRAM" ${args.join(' ')}`, {
      env: { PROGRAM: program },
    });
  const bind = (session: string, ...memory: readonly string[]): string =>
    `printf 'memory:\\n${memory.map((one) => `  - {${one}}\\n`).join('')}' > ${session}/context/policy.yaml`;
  /** Names, modes, times and bytes of the volume, as the store has them, without the queue, which the daemon writes when it may. */
  const volume = (): Promise<string> => {
    const all = `find . -mindepth 1 ! -name '.update-queue*'`;
    return mounted.must(
      `cd ${mounted.store}/${WIKI} && ${all} -printf '%p %y %m %n %T@ %l\\n' | sort && ${all} -type f | sort | xargs sha256sum`,
    );
  };

  beforeAll(async () => {
    mounted = await mountStore('bindings');
    await must(
      EVE,
      `umask 022; mkdir -p ${MINE} ${WIKI}/topic ${WIKI}/empty ${WIKI}/kept && cd ${WIKI} && echo 'as it was' > page.md && echo other > other.md &&
       echo third > third.md && echo deep > topic/deep.md && echo kept > kept/a.md && chmod 640 page.md &&
       ${PYTHON} -c "import os; os.setxattr('page.md', 'user.kept', b'yes')"`,
    );
    await must(
      EVE,
      `${bind(MINE, 'name: ro, path: wiki, mode: read-only', 'name: eph, path: wiki, mode: ephemeral', 'name: rw, path: wiki', 'name: none, path: wiki/none', 'name: theirs, path: home/0/wiki, mode: read-only')}`,
    );
  });
  afterAll(() => mounted.end());

  test('IMG-90 what a session binds is at memory/NAME, and what is bound read-only is changed by nobody in any way', async () => {
    expect(await must(EVE, `ls ${MINE} | grep memory; ls ${MINE}/memory`)).toBe('memory\neph\nro\nrw\n');
    const before = await volume();
    for (const uid of [EVE, 0]) {
      const { stdout, stderr } = await python(uid, CHANGES, `${MINE}/memory/ro`, WIKI, 'page.md', 'other.md', 'empty', 'topic');
      const outcome = JSON.parse(stdout === '' ? stderr : stdout) as Record<string, string>;
      // Across mounts the kernel or either side may be the first to refuse; fallocate needs a descriptor that writes.
      for (const [name, errno] of Object.entries(outcome))
        expect([name, errno]).toEqual([
          name,
          expect.stringMatching(/ (?:in|out)$/.test(name) ? /^(?:EXDEV|EROFS)$/ : name === 'fallocate' ? /^EBADF$/ : /^EROFS$/),
        ]);
      expect(Object.keys(outcome)).toHaveLength(30);
    }
    expect(await volume()).toBe(before);
    // Nothing is made beside the bindings either, and the name is the session's.
    for (const line of [
      `mkdir ${MINE}/memory/more`,
      `ln -s / ${MINE}/memory/more`,
      `rmdir ${MINE}/memory`,
      `mv ${MINE}/memory ${MINE}/m`,
      `mkdir ${MINE}/retrieval`,
    ])
      expect([line, (await as(EVE, line)).code]).not.toEqual([line, 0]);
    // A read-only mount shows what is there now, and a binding that goes takes its name along.
    expect(
      await must(EVE, `echo new > ${WIKI}/now.md && cat ${MINE}/memory/ro/now.md && rm ${WIKI}/now.md && ls ${MINE}/memory/ro`),
    ).not.toContain('now.md');
    await must(EVE, `mkdir -p home/${EVE}/agent/a/session/plain`);
    expect((await as(EVE, `ls home/${EVE}/agent/a/session/plain/memory`)).stderr).toContain('No such file');
  });

  test('IMG-90 what is bound read-write is the volume, and rm -r of a session does not reach it', async () => {
    expect(
      await must(
        EVE,
        `cd ${MINE} && echo written > memory/rw/through.md && cat ../../../../wiki/through.md && rm ../../../../wiki/through.md`,
      ),
    ).toBe('written\n');
    const before = await volume();
    expect((await as(EVE, `rm -rf ${MINE}`)).code).not.toBe(0);
    expect(await volume()).toBe(before);
    await must(EVE, bind(MINE, 'name: ro, path: wiki, mode: read-only', 'name: eph, path: wiki, mode: ephemeral'));
  });

  test('IMG-91 what is written in an ephemeral mount is a copy of its own, name by name, and never reaches the volume', async () => {
    // Another session's: the one above was emptied by rm -rf.
    const session = `home/${EVE}/agent/a/session/copy`;
    await must(
      EVE,
      `mkdir ${session} && ${bind(session, 'name: eph, path: wiki, mode: ephemeral', 'name: topic, path: wiki/kept, mode: ephemeral')}`,
    );
    const { stdout, stderr } = await python(EVE, COPY, `${session}/memory/eph`, WIKI);
    expect(stderr + stdout).toBe('kept apart\n');
    const before = await volume();
    // Git works in it, a directory in the volume may be bound alone, and another session's mount has none of it.
    await must(
      EVE,
      `cd ${session}/memory/eph && export HOME=/nowhere && git init -q . && git add . && git -c user.name=e -c user.email=e@e commit -qm one && git fsck --strict && git status --porcelain && rm -rf .git`,
    );
    expect(await must(EVE, `cd ${session}/memory && echo mine > topic/a.md && cat eph/kept/a.md topic/a.md`)).toBe('kept\nmine\n');
    const other = `home/${EVE}/agent/a/session/other`;
    expect(
      await must(EVE, `mkdir ${other} && ${bind(other, 'name: eph, path: wiki, mode: ephemeral')} && cat ${other}/memory/eph/page.md`),
    ).toBe('as it was\n');
    expect(await volume()).toBe(before);
  });

  test('IMG-92 what an ephemeral mount holds is in no fork, and goes with its session', async () => {
    const session = `home/${EVE}/agent/a/session/brief`;
    await must(
      EVE,
      `mkdir ${session} && ${bind(session, 'name: eph, path: wiki, mode: ephemeral')} && echo 'a secret of the moment' > ${session}/memory/eph/note.md`,
    );
    const places = (): Promise<string> => mounted.must(`grep -rl 'secret of the moment' ${mounted.store} || true`);
    expect(await places()).toContain('.memory/eph-');
    await must(EVE, `ctx fork a/brief a/forked`);
    expect((await as(EVE, `ls home/${EVE}/agent/a/session/forked/memory/eph`)).stdout).not.toContain('note.md');
    expect((await places()).trim().split('\n')).toHaveLength(1);
    await must(EVE, 'ctx archive a/brief');
    expect(await places()).toBe('');
  });

  test('IMG-93 a binding leads nobody where they may not go', async () => {
    // A shared session binds a space that its maker may enter, and others may not.
    await must(
      EVE,
      `mkdir -p shared/team/agent/a/session/s shared/closed/wiki && echo hidden > shared/closed/wiki/a.md && chmod 700 shared/closed`,
    );
    await must(
      EVE,
      bind(
        'shared/team/agent/a/session/s',
        'name: closed, path: shared/closed/wiki, mode: read-only',
        'name: own, path: shared/closed/wiki, mode: ephemeral',
      ),
    );
    const team = 'shared/team/agent/a/session/s/memory';
    expect(await must(EVE, `cat ${team}/closed/a.md ${team}/own/a.md`)).toBe('hidden\nhidden\n');
    // The kernel has just walked there for her; he is asked for himself.
    for (const path of ['closed', 'own', 'closed/a.md', 'own/a.md'])
      expect((await as(BOB, `cat ${team}/${path}`)).stderr).toContain('Permission denied');
    // Of her own links the kernel sees to it; of one that takes the place of a directory that is held open, the view does.
    await mounted.must(`mkdir -p home/${BOB}/wiki; echo his > home/${BOB}/wiki/a.md; chmod 755 home/${BOB}/wiki`);
    const swap = `import os, sys
at, volume = sys.argv[1], sys.argv[2]
os.mkdir(volume + '/door')
open(volume + '/door/a.md', 'w').write('hers')
held = os.open(at + '/door', os.O_RDONLY)
os.rename(volume + '/door', volume + '/was')
os.symlink('../../${BOB}/wiki', volume + '/door')
for look in (lambda: os.listdir(held), lambda: os.open('a.md', os.O_RDONLY, dir_fd=held), lambda: open(at + '/door/a.md').read()):
    try: print('saw', look())
    except OSError as error: print(error.errno in (1, 2, 13, 116))
os.unlink(volume + '/door')`;
    for (const mode of ['ro', 'eph'])
      expect(await python(EVE, swap.replaceAll('/was', `/was-${mode}`), `${MINE}/memory/${mode}`, WIKI)).toMatchObject({
        stdout: 'True\nTrue\nTrue\n',
      });
  });
});
