// ctx umount: takes the mount away and waits for its daemon. Never hangs, never leaves a dead mount behind.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';

import { detach, mountState, recover } from '../../mount/lifecycle.ts';
import { resolveMountpoint } from '../../mount/mount-table.ts';
import { CtxError } from '../abi/errors.ts';
import { daemonOf, endDaemon, findDaemons } from './daemon-process.ts';
import { parseStatus, readGuarded } from './mounted.ts';
import { mountRoot } from './roots.ts';
import { examples, type Shell } from './shell.ts';

const GRACE_MS = 10_000;
const [BUSY_TRIES, BUSY_MS] = [20, 100];

export function registerUmount(program: Command, shell: Shell): void {
  program
    .command('umount')
    .description('unmount, and wait for the daemon to end')
    .argument('[mountpoint]', 'default: CTX_ROOT, else /ctx for root and ~/ctx for others')
    .option('--lazy', 'take the name away now, even while programs use the mount')
    .addHelpText('after', examples(['ctx umount', 'the default place'], ['ctx umount ./ctx --lazy', 'while a shell still stands in it']))
    .action(async (mountpoint: string | undefined, options: { lazy?: boolean }) => {
      const target = await resolveMountpoint(mountRoot(shell, mountpoint));
      const said = await take(target, options.lazy === true);
      shell.terminal.line(`${said}: ${target}`);
    });
}

async function take(target: string, lazy: boolean): Promise<string> {
  const state = await mountState(target);
  if (state === 'other') throw new CtxError('umount.not_ours', 'EINVAL', 'is not a ctx mount', { where: target, next: 'use umount(8)' });
  const pids = new Set(await findDaemons(target));
  if (state === 'live') {
    const status = parseStatus((await readGuarded(join(target, 'status'))) ?? '');
    const pid = Number(status.get('pid'));
    if (Number.isInteger(pid) && (await daemonOf(pid)) !== undefined) pids.add(pid);
    await detachBeside(target, lazy, status.has('compact_running'));
  } else if (state === 'dead') {
    await recover(target);
  }
  // After a lazy unmount the daemon serves on until the last file closes; it is told to end now.
  const grace = lazy || state !== 'live' ? 1_000 : GRACE_MS;
  for (const pid of pids) {
    if (!(await endDaemon(pid, grace)))
      throw new CtxError('umount.daemon', 'EBUSY', `the daemon (pid ${pid}) does not end`, { where: target, next: 'run: ctx doctor' });
  }
  if ((await mountState(target)) === 'dead') await recover(target);
  if (state === 'none') return 'not mounted';
  return state === 'dead' ? 'recovered and unmounted' : 'unmounted';
}

/** A compaction in the background opens a file of the mount now and then, for a moment. */
async function detachBeside(target: string, lazy: boolean, compacts: boolean): Promise<void> {
  for (let tries = compacts ? BUSY_TRIES : 1; ; tries -= 1) {
    try {
      return await detach(target, { lazy });
    } catch (error) {
      if (tries <= 1 || !(error instanceof CtxError) || error.code !== 'mount.in_use') throw error;
      await sleep(BUSY_MS);
    }
  }
}
