import { execFile } from 'node:child_process';
import { accessSync, statSync } from 'node:fs';
import { chmod, chown, copyFile, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canMount } from './can-mount.ts';
import { transpile } from './transpiled.ts';

const NOBODY = 65_534;
const FUSERMOUNT = '/usr/bin/fusermount3';
const run = promisify(execFile);

const canFusermount = canMount && isThere(FUSERMOUNT);
if (canMount && !canFusermount) console.warn('skipped: the ordinary-user mount needs the package fuse3');

function isThere(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}

describe.runIf(canFusermount)('as an ordinary user, through fusermount3', () => {
  let directory: string;
  let deviceMode: number;

  beforeAll(async () => {
    // The device is open to all on desktop systems; where it is not, it is opened for this file only.
    deviceMode = statSync('/dev/fuse').mode & 0o777;
    if ((deviceMode & 0o006) !== 0o006) await chmod('/dev/fuse', 0o666);
    // A directory of its own: the checkout may lie where nobody may look.
    directory = await mkdtemp(path.join(tmpdir(), 'ctxfs-user-'));
    await transpile(directory, [
      'mount/lifecycle.ts',
      'mount/attach.ts',
      'mount/command.ts',
      'mount/mount-table.ts',
      'mount/received-fd.ts',
      'src/abi/errors.ts',
    ]);
    for (const name of ['koffi', '@koromix']) {
      await cp(fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url)), path.join(directory, 'node_modules', name), {
        recursive: true,
      });
    }
    for (const name of ['ordinary-user.mjs', 'answering-server.mjs']) {
      await copyFile(fileURLToPath(new URL(`./${name}`, import.meta.url)), path.join(directory, name));
    }
    await run('chmod', ['-R', 'a+rX', directory]);
    await chown(directory, NOBODY, NOBODY);
  });

  afterAll(async () => {
    await chmod('/dev/fuse', deviceMode);
    await run('umount', ['-l', path.join(directory, 'mnt')]).catch(() => undefined);
    await rm(directory, { recursive: true });
  });

  test('mounts with a descriptor received over SCM_RIGHTS, unmounts, and recovers dead and hung mounts', async () => {
    const args = [
      path.join(directory, 'ordinary-user.mjs'),
      directory,
      path.join(directory, 'answering-server.mjs'),
      path.join(directory, 'mnt'),
    ];
    const { stdout } = await run(process.execPath, args, { uid: NOBODY, gid: NOBODY, cwd: '/', timeout: 240_000 });
    const seen = JSON.parse(stdout) as Record<string, unknown>;
    expect(seen).toMatchObject({
      uid: NOBODY,
      unprivileged: true,
      live: 'live',
      detached: 'none',
      killed: 'dead',
      recovered: 'none',
      hung: 'dead',
      unhung: 'none',
      entry: { type: 'fuse.ctxfs', source: 'ctxfs' },
    });
    expect((seen['entry'] as { options: string }).options).toContain(`user_id=${NOBODY}`);
  });
});
