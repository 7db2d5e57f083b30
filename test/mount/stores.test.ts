// Stores as they are met: odd paths, copies that lost their empty directories, a full disk, a read-only one, damage.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import type { Outcome } from '../cli/program.ts';
import { mountStore, prepareStore, type MountedStore } from '../cli/mounted-store.ts';
import { canMount } from './can-mount.ts';

const LINE = '{"role":"user","content":"x"}';

describe.skipIf(!canMount)('stores', () => {
  const open: MountedStore[] = [];
  afterEach(async () => {
    for (const mounted of open.splice(0)) await mounted.end();
  });
  const keep = (mounted: MountedStore): MountedStore => {
    open.push(mounted);
    return mounted;
  };

  it('a store and a mount point may have spaces and letters beyond ASCII in their paths', async () => {
    const mounted = keep(await mountStore('stö re'));
    const lines = [
      'ctx new a/s',
      `cd '${mounted.agents}/a/session/s' && echo '${LINE}' >> messages.jsonl`,
      'cat context/pack.md && echo pinned > context/pinned/ü && sed -i s/32000/3000/ context/budget && cat context/budget',
      `mkdir -p '${mounted.root}/shared/t/agent/b/session/r' && echo w > '${mounted.root}/home/0/wiki/é'`,
      'ctx fork a/s a/t && cat ../t/messages.jsonl && ls ../t/context/pinned',
    ];
    const stdout = await mounted.must(lines.join(' && '));
    expect(stdout).toContain(`3000\n`);
    expect(stdout.endsWith(`/a/session/t\n${LINE}\nü\n`)).toBe(true);
    expect(await readFile(join(mounted.store, 'home/0/wiki/é'), 'utf8')).toBe('w\n');
  });

  it('directories that a copy of the store dropped because they were empty come back', async () => {
    const mounted = keep(await prepareStore('restored'));
    await mounted.must(
      `ctx mount && ctx new a/s && cd '${mounted.agents}/a/session/s' && echo '${LINE}' >> messages.jsonl; cd / && ctx umount`,
    );
    const home = join(mounted.store, 'home/0');
    for (const path of ['wiki', 'image', 'agent/a/session/s/context/pinned', 'agent/a/session/s/context/child'])
      await rm(join(home, path), { recursive: true });
    await mkdir(join(home, 'agent/b'));
    await mounted.must('ctx mount');
    const lines = [
      'echo p > a/session/s/context/pinned/p',
      'mkdir a/session/s/context/child/c',
      'echo w > ../wiki/w',
      'mkdir b/session/new',
    ];
    await mounted.must(lines.join(' && '), { cwd: mounted.agents });
  });

  it('a control file that was deleted in the store is back at the next look, with its default', async () => {
    const mounted = keep(await mountStore('controls'));
    await mounted.must('ctx new a/s && echo 7000 > a/session/s/context/budget && cat a/session/s/context/pack.md', { cwd: mounted.agents });
    const session = join(mounted.store, 'home/0/agent/a/session/s');
    const files = [
      'state',
      'cwd',
      'meta.json',
      'created_at',
      'context/budget',
      'context/gc.policy',
      'context/policy.yaml',
      'context/tools.json',
    ];
    for (const file of files) await rm(join(session, file));
    const at = { cwd: `${mounted.agents}/a/session/s` };
    expect(await mounted.must('cat state cwd meta.json context/budget context/tools.json', at)).toBe('active\n/\n{}\n32000\n[]\n');
    await mounted.must(`ls -l ${files.join(' ')} && echo 500 > context/budget && grep -q '^20' created_at && cat context/gc.policy`, at);
    expect(await mounted.must('jq .budget_tokens context/pack.json', at)).toBe('500\n');
    for (const file of files) await rm(join(session, file));
    // What a write or a rename meets is the default too, and a pack of the default budget follows.
    await mounted.must('echo done > state && jq -e ".budget_tokens == 32000" context/pack.json', at);
    expect(await readFile(join(session, 'state'), 'utf8')).toBe('done\n');

    // CTF-1, CTF-4: a shell writes line by line; a refused line takes those before it back, and an event says why.
    const policy = `${session}/context/policy.yaml`;
    await mounted.must(`printf 'low_water: 0.6\\n' > context/policy.yaml; printf 'pack_ttl=2d\\n' > context/gc.policy`, at);
    const refused = [
      `printf 'low_water: 0.7\\nlow_watr: 0.8\\n' > context/policy.yaml`,
      `printf 'pack_ttl=1d\\npack_ttl=9d\\n' > context/gc.policy`,
      `printf 'idle\\nidle\\n' > state`,
      // bash does not ask what close(2) says.
      `printf 'x: 1' > context/policy.yaml`,
      `printf '{"scope":"all"}' > meta.json`,
    ];
    for (const line of refused) expect([line, (await mounted.sh(line, at)).code]).toEqual([line, 1]);
    expect(await mounted.must('cat state context/policy.yaml context/gc.policy', at)).toBe('done\nlow_water: 0.6\npack_ttl=2d\n');
    expect(await mounted.must(`jq -r 'select(.type == "error") | .target + ": " + .reason' events.jsonl`, at)).toBe(
      'context/policy.yaml: unknown key low_watr (known: tokenizer, shares, low_water, max_line_bytes, compact, remote, memory, gate)\n' +
        'context/gc.policy: pack_ttl is given twice\nstate: holds more than one line\n' +
        'context/policy.yaml: unknown key x (known: tokenizer, shares, low_water, max_line_bytes, compact, remote, memory, gate)\n' +
        'meta.json: scope is not private, shared or temp\n',
    );
    await mounted.must(`(printf 'low_wa'; printf 'ter: 0.65') > context/policy.yaml && grep -q 0.65 ${policy}`, at);
    await mounted.must(`printf 'shares: {\\n  recall: 0.2\\n}\\n' > context/policy.yaml && grep -q recall ${policy}`, at);

    // TRE-20: nothing that is no control file is read, waited for, or followed.
    for (const make of ['mkfifo', 'ln -s /etc/passwd', 'mkdir', 'truncate -s 4G', 'ln -s /dev/zero']) {
      for (const file of ['state', 'cwd', 'context/policy.yaml']) {
        await rm(join(session, file), { recursive: true });
        await mounted.must(`${make} '${join(session, file)}'`, at);
        const line = `cat ${file}; chmod 600 ${file}; echo x > ${file}; cat ../index/by-cwd/* ../index/current; ls . context`;
        const { stdout, stderr } = await mounted.sh(line, at);
        expect([make, file, stderr.match(/Input\/output error/g)?.length ?? 0]).toEqual([
          make,
          file,
          expect.toSatisfy((count: number) => count >= 3),
        ]);
        expect(stdout).toMatch(/^s\n(?:s\n)?\.:\ncontext\n[^]*\ncontext:\nbudget\n/);
      }
      for (const file of ['state', 'cwd', 'context/policy.yaml']) await rm(join(session, file), { recursive: true });
      await mounted.must('cat state cwd context/policy.yaml context/pack.md', at);
    }
  });

  it('a full disk refuses lines whole, says so, ends no daemon, and is over when space returns', async () => {
    const mounted = await prepareStore('full');
    const shell = (line: string): Promise<Outcome> => mounted.sh(line, { cwd: '/' });
    const must = async (line: string): Promise<string> => mounted.must(line, { cwd: '/' });
    await must(`mkdir ${mounted.store} && mount -t tmpfs -o size=3m ctxfs-test ${mounted.store}`);
    try {
      await must('ctx mount && ctx new a/s && ctx new a/b');
      const session = join(mounted.agents, 'a/session/s');
      const built = join(mounted.agents, 'a/session/b');
      await must(`echo '${LINE}' >> ${built}/messages.jsonl && cat ${built}/context/pack.json`);
      const fill = `
import os
fd = os.open('${session}/messages.jsonl', os.O_WRONLY | os.O_APPEND)
stored = 0
try:
    while True:
        line = (b'{"role":"user","content":"%d ' % stored) + b'y' * (4000 if stored < 500 else 1) + b'"}\\n'
        assert os.write(fd, line) == len(line)
        stored += 1
except OSError as error:
    print(stored, error.errno)
`;
      const [stored = 0, errno] = (await must(`python3 -c "$FILL"`.replace('$FILL', fill.replaceAll('"', '\\"'))))
        .trim()
        .split(' ')
        .map(Number);
      expect(errno).toBe(28);
      for (const line of [`echo 5 > ${session}/context/budget`, `mkdir ${session}2`])
        expect([line, (await shell(line)).stderr]).toEqual([line, expect.stringContaining('No space left on device')]);
      // DRV-16: what has to be built is built in memory, is the same later, and the session can go.
      const looks = await Promise.all([1, 2, 3].map(() => must(`cat ${built}/context/pack.md`)));
      for (const look of looks) expect(look).toContain('<user messages:1>');
      const sums = async (): Promise<string> =>
        must(`cd ${session}/context && sha256sum pack.json pack.md prompt.json summary.md swap/index.jsonl refs.jsonl`);
      const inMemory = await sums();
      const spare = async (): Promise<string> => must(`ls /dev/shm | grep ctxfs-spare-$(sed -n s/^pid=//p $CTX_ROOT/status)- || true`);
      expect((await spare()).split('\n').length).toBeGreaterThan(1);
      await must('ctx rm a/b --force --yes');
      expect(await must(`wc -l < ${session}/messages.jsonl; cat ${session}/context/budget; ls -A ${session}/..`)).toBe(
        `${stored}\n32000\nindex\ns\n`,
      );
      // Not a byte left: it can be mounted all the same, to be read and to make room.
      await must(`ctx umount && ! cat /dev/zero > ${mounted.store}/fill 2>&1 && ctx mount`);
      expect(await must(`wc -l < ${session}/messages.jsonl && rm ${mounted.store}/fill`)).toBe(`${stored}\n`);
      await must(`mount -o remount,size=60m ${mounted.store}`);
      expect(await sums()).toBe(inMemory);
      await must(`echo '${LINE}' >> ${session}/messages.jsonl && cat ${session}/context/pack.md && ctx fsck`);
      expect(await must(`wc -l < ${session}/messages.jsonl`)).toBe(`${stored + 1}\n`);
      while ((await spare()) !== '') await must(`sleep 0.2; cat ${session}/context/pack.md ${built}/context/pack.md; true`);
      expect(await sums()).not.toBe(inMemory);
    } finally {
      await mounted.end();
      await must(`umount -l ${mounted.store}`);
    }
  });

  it('a read-only store is refused in words, and stays readable without a mount', async () => {
    const mounted = await prepareStore('read-only');
    const must = async (line: string): Promise<string> => mounted.must(line, { cwd: '/' });
    await must(`mkdir ${mounted.store} && mount -t tmpfs ctxfs-test ${mounted.store}`);
    try {
      await must(`ctx mount && ctx new a/s && echo '${LINE}' >> ${mounted.agents}/a/session/s/messages.jsonl && ctx umount`);
      await must(`mount -o remount,ro ${mounted.store}`);
      const refused = await mounted.ctx(['mount']);
      expect([refused.code, refused.stderr]).toEqual([1, `ctx: cli.erofs: ${mounted.store} is read-only; name another place\n`]);
      expect(await must('ctx cat a/s --store $CTX_STORE && ctx fsck --store $CTX_STORE')).toBe(`${LINE}\n`);
    } finally {
      await must(`umount -l ${mounted.store}`);
    }
  });

  it('a damaged session can still be read where it is whole, and be taken away', async () => {
    const mounted = keep(await mountStore('damaged'));
    await mounted.must(
      `ctx new a/s && ctx new a/t && cd ${mounted.agents}/a/session && echo '${LINE}' | tee -a s/messages.jsonl t/messages.jsonl; cat s/context/pack.md`,
    );
    await mounted.must('ctx umount', { cwd: '/' });
    const session = join(mounted.store, 'home/0/agent/a/session');
    await writeFile(join(session, 's/segments.json'), 'damaged');
    const header = await readFile(join(session, 's/order.log'));
    header.writeUInt16BE(9, 8);
    await writeFile(join(session, 't/order.log'), header);
    await mounted.must('ctx mount', { cwd: '/' });
    expect((await mounted.sh(`cat ${mounted.agents}/a/session/t/messages.jsonl`)).stdout).toBe(`${LINE}\n`);
    expect((await mounted.ctx(['explain', 'a/t', 'pack.json'])).stderr).toContain('journal.order_format');
    expect((await mounted.ctx(['explain', 'a/s', 'pack.json'])).stderr).toContain('journal.segments_damaged');
    await mounted.must('ctx archive a/s && ctx archive a/t && ctx new a/s');
  });

  it('a burst of appends to hundreds of sessions: one is read at once, and all are recorded', async () => {
    const mounted = keep(await mountStore('burst'));
    const count = 200;
    const burst = `
import os
d = '${mounted.agents}/a/session'
os.makedirs('${mounted.agents}/a')
for i in range(${count}):
    os.mkdir(f'{d}/s{i}')
for i in range(${count}):
    with open(f'{d}/s{i}/messages.jsonl', 'ab', buffering=0) as file:
        file.write(os.environb[b'LINE'])
open(f'{d}/s${count - 1}/context/pack.md').read()
`;
    await mounted.must('python3 -c "$BURST"', { env: { BURST: burst, LINE: `${LINE}\n` } });
    const logs = `${mounted.store}/home/0/agent/a/session/*/order.log`;
    await mounted.must(`until [ "$(ls ${logs} | wc -l)" = ${count} ]; do sleep 0.05; done`, { cwd: '/' });
    await mounted.must(`ctx fsck && cat a/session/s0/context/pack.md`, { cwd: mounted.agents });
  });
});
