// The second driver, over the same tree and the same POSIX suite. What it cannot do is listed in docs/drivers.md and is
// asserted here as such: each listed case must really fail.
import { createRequire } from 'node:module';
import { readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { prepareStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';
import { canMount } from './can-mount.ts';
import { posixSuite, SECOND_USER } from './posix-suite.ts';

const loads = ((): boolean => {
  try {
    createRequire(import.meta.url)('fuse-native');
    return true;
  } catch {
    return false;
  }
})();
if (!loads) console.warn('skipped: fuse-native does not load here (optional package, or libfuse2 missing)');

describe.runIf(canMount && loads)('driver fuse-native', () => {
  let mounted: MountedStore;
  const session = (): string => join(mounted.agents, 'coder/session/s');
  beforeAll(async () => {
    mounted = await prepareStore('fuse-native');
    // A missing mount point is made.
    await rmdir(mounted.root);
    const { code, stderr } = await mounted.ctx(['mount', '--driver', 'fuse-native']);
    expect([code, stderr]).toEqual([0, '']);
    await mounted.must(`mkdir ${mounted.agents}/coder && mkdir ${session()}`);
  });
  afterAll(() => mounted.end());

  test('the status names the driver', async () => {
    expect(await mounted.must('cat status')).toMatch(/^driver=fuse-native$/m);
  });

  test('appended lines from four shells are all there, whole; the pack follows', async () => {
    await mounted.must(`cd ${session()}
      for w in 1 2 3 4; do
        ( for n in $(seq 25); do printf '{"role":"user","content":"%s %s %0*d"}\\n' $w $n $((n * 300)) 0 >> messages.jsonl; done ) &
      done; wait`);
    const lines = (
      await readFile(join(mounted.store, 'home', String(process.getuid?.() ?? 0), 'agent/coder/session/s/messages.jsonl'), 'utf8')
    )
      .trimEnd()
      .split('\n');
    const seen = lines.map((line) => (JSON.parse(line) as { content: string }).content.split(' ').slice(0, 2).join(' '));
    expect(new Set(seen).size).toBe(100);
    expect(lines).toHaveLength(100);
    const pack = await mounted.must(`cat ${session()}/context/pack.json`);
    expect((JSON.parse(pack) as { messages: number }).messages).toBe(100);
  });

  test('journals refuse what ext4 with chattr +a refuses', async () => {
    for (const attempt of ['echo x > messages.jsonl', 'truncate -s 0 messages.jsonl', 'rm -f messages.jsonl', 'mv messages.jsonl gone']) {
      const { code, stderr } = await mounted.sh(`cd ${session()}; ${attempt}`);
      expect([attempt, code !== 0, /not permitted/.test(stderr)]).toEqual([attempt, true, true]);
    }
    const { stderr } = await mounted.sh(`cd ${session()}; echo 'not json' >> messages.jsonl`);
    expect(stderr).toContain('Invalid argument');
  });

  test('IMG-31 a session becomes an image, is browsed, and becomes a session again', async () => {
    const image = `home/${process.getuid?.() ?? 0}/image/native/one/1`;
    await mounted.must(`ctx build coder/s --tag native/one:1 && ctx run native/one:1 --name coder/again --detach`);
    await mounted.must(`cmp ${image}/source/transcript.jsonl ${session()}/messages.jsonl && jq -e .name ${image}/manifest.json`);
    await mounted.must(`cmp ${mounted.agents}/coder/session/again/messages.jsonl ${session()}/messages.jsonl`);
    await mounted.must(`echo '{"role":"user","content":"only here"}' >> ${mounted.agents}/coder/session/again/messages.jsonl`);
    await mounted.must('ctx commit coder/again native/one:2 && ctx gc && ctx fsck');
    expect(await mounted.must('ctx images --names | sort')).toBe('native/one:1\nnative/one:2\n');
  });

  test('limit: only the user who mounted gets in', async () => {
    const { code } = await mounted.sh(`setpriv --reuid 65534 --regid 65534 --clear-groups ls ${mounted.root}`, { cwd: '/' });
    expect(code).not.toBe(0);
  });

  posixSuite('context/pinned through fuse-native', () => join(session(), 'context/pinned'), {
    without: SECOND_USER,
    refused: [
      [/^open: O_TMPFILE /, 'EOPNOTSUPP'],
      [/^fallocate: (KEEP_SIZE|PUNCH_HOLE)/, 'EOPNOTSUPP'],
      [/^rename: RENAME_(NOREPLACE of|EXCHANGE swaps) /, 'EINVAL'],
    ],
    limits: [
      /^unlinked: (an open file|fchmod)/,
      /^mmap: (a shared map|what a shared|two processes|a map outlives|the map of)/,
      /^rmdir: a removed directory/,
      /^names: (any bytes|of bytes that are no UTF-8)/,
      /^link: both names/,
      /^symlink: readlink gives/,
      /^utimens: (sets nano|times before|of a link|a time set)/,
      /^xattr: set, get/,
      /^readdir: every entry/,
    ],
    sometimes: [[/^racing: a name that is renamed over/, 'a name was missing']],
    // Each operation walks its path anew: thousands of names would take minutes.
    fewer: 20,
  });

  test('limit: a mount taken away from outside is noticed, and the daemon ends', async () => {
    const pid = Number(/^pid=(\d+)$/m.exec(await mounted.must('cat status'))?.[1]);
    await mounted.must(`umount -l '${mounted.root}'`, { cwd: '/' });
    // A second or so; the test's own limit says when it never does.
    while (await isRunning(pid)) await sleep(100);
    expect(await isRunning(pid)).toBe(false);
  });
});

test('docs/drivers.md lists every limit of fuse-native that is asserted here', async () => {
  const page = await readFile(join(ROOT, 'docs/drivers.md'), 'utf8');
  for (const word of [
    'mmap',
    'milliseconds',
    'allow_other',
    'UTF-8',
    'RENAME_EXCHANGE',
    '.fuse_hidden',
    'inode',
    'FALLOC_FL_PUNCH_HOLE',
    'lock owner',
    'xattr',
  ])
    expect(page).toContain(word);
});

async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) Z/.test(stat);
}
