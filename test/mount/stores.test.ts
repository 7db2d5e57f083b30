// Stores as they are met: odd paths, copies that lost their empty directories, a full disk, a read-only one, damage.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

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
});
