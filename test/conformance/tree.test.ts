// The tree of abi-spec/tree.md on a real mount, by the programs people use.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { isObjectName, isUidName } from '../../src/abi/names.ts';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT, runProgram, type Outcome } from '../cli/program.ts';

interface NameCase {
  readonly name: string;
  readonly valid: boolean;
}

const NAMES = JSON.parse(readFileSync(join(ROOT, 'abi-spec/cases/names.json'), 'utf8')) as readonly NameCase[];
const NOBODY = 65_534;

let mounted: MountedStore;
const session = 'coder/session/s1';

beforeAll(async () => {
  mounted = await mountStore('tree');
  await mounted.must(`mkdir -p ${mounted.agents}/coder && mkdir ${mounted.agents}/${session}`);
});
afterAll(() => mounted.end());

/** The errno name that each of these python calls ends with, or `ok`. Paths are given as they are: no shell looks at them. */
async function errnosOf(calls: readonly (readonly [expression: string, ...paths: string[]])[]): Promise<readonly string[]> {
  const program = `import errno, json, os, sys
for expression, *a in json.load(sys.stdin):
  try:
    eval(expression)
    print('ok')
  except OSError as e:
    print(errno.errorcode[e.errno])`;
  const { stdout, stderr } = await runProgram('python3', ['-c', program], { input: JSON.stringify(calls) });
  if (stderr !== '') throw new Error(stderr);
  return stdout.trim().split('\n');
}

async function errnoOf(expression: string, ...paths: string[]): Promise<string> {
  return (await errnosOf([[expression, ...paths]]))[0] ?? '';
}

const at = (...parts: string[]): string => join(mounted.agents, session, ...parts);

describe('names', () => {
  it.each(NAMES)('isObjectName($name) is $valid', ({ name, valid }) => {
    expect(isObjectName(name)).toBe(valid);
  });

  it('mkdir of a session, an agent and a shared space follows the same cases: EINVAL outside them', async () => {
    const places = [join(mounted.agents, 'named/session'), join(mounted.root, 'shared'), mounted.agents];
    await mounted.must(`mkdir ${mounted.agents}/named`);
    for (const place of places) {
      const errnos = await errnosOf(NAMES.map(({ name }) => ['os.mkdir(a[0])', join(place, name)]));
      expect(errnos).toEqual(NAMES.map(({ valid }) => (valid ? 'ok' : 'EINVAL')));
    }
  });

  it('a home is named by a uid in decimal', async () => {
    expect(['0', '1000', '01', '+1', 'root', '4294967295', ''].map(isUidName)).toEqual([true, true, false, false, false, false, false]);
    expect(await errnoOf('os.mkdir(a[0])', join(mounted.root, 'home/root'))).toBe('EINVAL');
  });
});

describe('the root', () => {
  it('lists exactly what the ABI names, and answers by name only what it names', async () => {
    const listed = (await mounted.must('ls -A')).trim().split('\n');
    expect(listed.sort()).toEqual(['agent', 'bin', 'home', 'model', 'shared', 'status', 'tool']);
  });

  it('takes nothing new, and gives nothing away', async () => {
    const path = (name: string): string => join(mounted.root, name);
    const errnos = await errnosOf([
      ['os.mkdir(a[0])', path('x')],
      ['open(a[0], "w")', path('x')],
      ['os.unlink(a[0])', path('status')],
      ['os.rmdir(a[0])', path('home')],
      ['os.rename(a[0], a[1])', path('tool'), path('tools')],
      ['open(a[0], "w").write("x")', path('status')],
    ]);
    for (const errno of errnos) expect(errno).toMatch(/^(EPERM|EACCES|EROFS|EXDEV|ENOTEMPTY)$/);
  });

  it('bin/ctx runs the ctx that serves the mount', async () => {
    const { code, stdout } = await runProgram(join(mounted.root, 'bin/ctx'), ['--version']);
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect([code, stdout]).toEqual([0, `${version}\n`]);
  });

  it('the control channel answers by name and is not listed', async () => {
    const line = `exec 3<>.control && echo '{"verb":"status"}' >&3 && cat <&3`;
    const reply = JSON.parse(await mounted.must(line)) as { ok: boolean; result: Record<string, string> };
    expect(reply).toMatchObject({ ok: true, result: { store: mounted.store } });
  });
});

describe('a session', () => {
  it('mkdir makes the whole skeleton', async () => {
    const files = (await mounted.must(`find . -mindepth 1 | sort`, { cwd: at() })).trim().split('\n');
    const expected = `messages.jsonl events.jsonl latest.md updated_at state cwd meta.json created_at context context/budget context/gc.policy
      context/policy.yaml context/tools.json context/pack.json context/pack.md context/prompt.json context/summary.md context/facts.jsonl
      context/decisions.jsonl context/todo.md context/refs.jsonl context/pinned context/child context/swap context/swap/index.jsonl
      context/swap/chunk context/dedup context/dedup/index.jsonl context/dedup/blob context/kv context/kv/manifest.json`;
    expect(files).toEqual(
      expected
        .split(/\s+/)
        .map((name) => `./${name}`)
        .sort(),
    );
  });

  it('starts active, here and now, with an empty history and default control files', async () => {
    const beforeMs = Date.now();
    await mounted.must(`cd /usr && mkdir ${mounted.agents}/coder/session/fresh`);
    const afterMs = Date.now();
    const read = (name: string): Promise<string> => mounted.must(`cat ${mounted.agents}/coder/session/fresh/${name}`);
    expect([await read('state'), await read('cwd'), await read('messages.jsonl'), await read('events.jsonl')]).toEqual([
      'active\n',
      '/usr\n',
      '',
      '',
    ]);
    // It may be told in whole seconds.
    const createdMs = Date.parse((await read('created_at')).trim());
    expect([createdMs > beforeMs - 1000, createdMs <= afterMs]).toEqual([true, true]);
    expect(JSON.parse(await read('meta.json'))).toEqual({});
    expect(await read('context/budget')).toMatch(/^\d+\n$/);
    expect(JSON.parse(await read('context/tools.json'))).toEqual([]);
    for (const key of ['pack_ttl', 'swap_ttl', 'dedup_min_refs', 'keep_messages', 'keep_events'])
      expect(await read('context/gc.policy')).toContain(`${key}=`);
  });

  it('rm -r of a session is refused, and leaves its history whole', async () => {
    await mounted.must(
      `mkdir ${mounted.agents}/coder/session/kept && cd ${mounted.agents}/coder/session/kept && echo '{"role":"user","content":"stay"}' >> messages.jsonl`,
    );
    const { code, stderr } = await mounted.sh(`rm -rf ${mounted.agents}/coder/session/kept`);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/not permitted/);
    expect(await mounted.must(`cat ${mounted.agents}/coder/session/kept/messages.jsonl`)).toBe('{"role":"user","content":"stay"}\n');
    expect(await errnoOf('os.rmdir(a[0])', join(mounted.agents, 'coder/session/kept'))).toBe('EPERM');
  });

  it.each(['messages.jsonl', 'events.jsonl', 'state', 'context/budget', 'context/gc.policy'])(
    '%s may not be removed, renamed away or linked away',
    async (name) => {
      const [removed, linked, moved] = await errnosOf([
        ['os.unlink(a[0])', at(name)],
        ['os.link(a[0], a[1])', at(name), at('context/pinned/linked')],
        ['os.rename(a[0], a[1])', at(name), at('context/pinned/moved')],
      ]);
      expect(removed).toBe('EPERM');
      for (const errno of [linked, moved]) expect(errno).toMatch(/^(EPERM|EXDEV)$/);
      expect(await mounted.sh(`cat ${at(name)}`)).toMatchObject({ code: 0 });
    },
  );

  it.each([
    'pack.json',
    'pack.md',
    'prompt.json',
    'summary.md',
    'facts.jsonl',
    'decisions.jsonl',
    'todo.md',
    'refs.jsonl',
    'swap/index.jsonl',
    'dedup/index.jsonl',
  ])('context/%s may be removed, and comes back with the same bytes on the next read', async (name) => {
    const path = at('context', name);
    const before = await mounted.must(`cat ${path}`);
    await mounted.must(`rm ${path}`);
    expect(await mounted.must(`cat ${path}`)).toBe(before);
  });

  it('may be renamed inside its agent, and not into another', async () => {
    await mounted.must(
      `mkdir ${mounted.agents}/coder/session/old ${mounted.agents}/other && echo '{"role":"user","content":"x"}' >> ${mounted.agents}/coder/session/old/messages.jsonl`,
    );
    const [from, to] = [join(mounted.agents, 'coder/session/old'), join(mounted.agents, 'coder/session/new')];
    expect(await errnoOf('os.rename(a[0], a[1])', from, join(mounted.agents, 'other/session/new'))).toMatch(/^(EPERM|EXDEV)$/);
    expect(await errnoOf('os.rename(a[0], a[1])', from, to)).toBe('ok');
    expect(await mounted.must(`cat ${to}/messages.jsonl`)).toBe('{"role":"user","content":"x"}\n');
    expect(await errnoOf('os.stat(a[0])', from)).toBe('ENOENT');
  });

  it('index/list names sessions newest first, and index/current the newest, as regular files', async () => {
    const agent = join(mounted.agents, 'indexed');
    await mounted.must(
      `mkdir ${agent} && cd ${agent}/session && mkdir a b c && for s in b c a; do sleep 0.05; echo '{"role":"user","content":"x"}' >> $s/messages.jsonl; done`,
    );
    const index = join(agent, 'session/index');
    const names = (await mounted.must(`cat ${index}/list`))
      .trim()
      .split('\n')
      .map((row) => row.split(/\s/)[0]);
    expect(names).toEqual(['a', 'c', 'b']);
    expect((await mounted.must(`cat ${index}/current`)).trim()).toBe('a');
    expect(await mounted.must(`stat -c %F ${index}/list ${index}/current`)).toBe('regular file\nregular file\n');
  });
});

function asNobody(line: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const program = `import os, subprocess, sys
os.setgroups([])
os.setgid(${NOBODY})
os.setuid(${NOBODY})
sys.exit(subprocess.call(['bash', '-c', sys.argv[1]]))`;
  return runProgram('python3', ['-c', program, line], { env });
}

describe('users', () => {
  it('home/<uid> belongs to its uid with mode 0700, and only root makes the home of another', async () => {
    await mounted.must('mkdir home/1234');
    expect(await mounted.must('stat -c "%u %a" home/1234')).toBe('1234 700\n');
    const reach = await asNobody(`ls ${mounted.root}`);
    expect(reach.code).toBe(0);
    for (const home of ['1234', '0']) expect((await asNobody(`ls ${mounted.root}/home/${home}`)).code).not.toBe(0);
    expect((await asNobody(`mkdir ${mounted.root}/home/4321`)).code).not.toBe(0);
    expect(
      (
        await asNobody(
          `mkdir ${mounted.root}/home/${NOBODY} && mkdir ${mounted.root}/home/${NOBODY}/agent/a && mkdir ${mounted.root}/home/${NOBODY}/agent/a/session/s`,
        )
      ).code,
    ).toBe(0);
    expect(await mounted.must(`stat -c "%u %a" home/${NOBODY}`)).toBe(`${NOBODY} 700\n`);
  });

  it('the control channel answers by the uid that the kernel reports: nobody reads or changes the session of another', async () => {
    const path = at('').replace(`${mounted.root}/`, '').replace(/\/$/, '');
    for (const verb of [
      'explain", "file": "pack.json',
      'search", "query": "x", "limit": 1, "x": "',
      'archive',
      'rm", "force": true, "x": "',
      'gc", "dryRun": false, "x": "',
    ]) {
      const request = `{"session": "${path}", "verb": "${verb}"}`;
      const { stdout } = await asNobody(`exec 3<>${mounted.root}/.control && printf "%s\\n" "$REQUEST" >&3 && cat <&3`, {
        REQUEST: request,
      });
      expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { errno: 'EACCES' } });
    }
    expect(await errnoOf('os.stat(a[0])', at())).toBe('ok');
  });

  it('nothing leads out of the store: links stay what they are, and .. ends at the mount', async () => {
    const pinned = at('context/pinned');
    await mounted.must(`ln -s ../../../../../../../../../../etc/passwd ${pinned}/out && ln -s /etc ${pinned}/etc`);
    // The kernel follows a link for its reader, in the reader's own view: the daemon itself must not.
    expect(await mounted.must(`readlink ${pinned}/etc`)).toBe('/etc\n');
    expect(await mounted.must(`cat ${at('context/pack.md')}`)).not.toContain('root:x:0');
    expect(await errnoOf('os.link(a[0], a[1])', '/etc/hostname', `${pinned}/hard`)).toBe('EXDEV');
    expect(await errnoOf('os.rename(a[0], a[1])', `${pinned}/etc`, '/tmp/ctx-test-moved')).toBe('EXDEV');
    await mounted.must(`rm ${pinned}/out ${pinned}/etc`);
  });
});
