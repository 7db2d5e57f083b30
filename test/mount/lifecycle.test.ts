import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { mkdir, mkdtemp, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attach, detach, mountState, recover } from '../../mount/lifecycle.ts';
import { mountAt, parseMountTable } from '../../mount/mount-table.ts';
import type { Attached } from '../../mount/types.ts';
import { canMount } from './can-mount.ts';

const SERVER = fileURLToPath(new URL('./answering-server.mjs', import.meta.url));
let directory: string;
let mountpoint: string;
let servers: ChildProcess[];

/** Serves the connection from a child; this process keeps no descriptor of it. */
async function serve(attached: Attached, mode = 'answer'): Promise<ChildProcess> {
  const server = spawn(process.execPath, [SERVER, mode], { stdio: ['ignore', 'pipe', 'inherit', attached.fd] });
  servers.push(server);
  closeSync(attached.fd);
  if (server.stdout !== null) await once(server.stdout, 'data');
  return server;
}

async function kill(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = once(server, 'exit');
  server.kill('SIGKILL');
  await ended;
}

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'ctxfs-lifecycle-'));
  mountpoint = path.join(directory, 'mnt');
  servers = [];
});

afterEach(async () => {
  await Promise.all(servers.map(kill));
  await recover(mountpoint);
  await rm(directory, { recursive: true });
});

test('mountinfo: escaped paths, optional fields and stacked mounts are read as proc(5) says', () => {
  const table = parseMountTable(
    [
      '22 1 254:0 / / rw,relatime - ext4 /dev/root rw',
      '40 22 0:51 / /a\\040b\\134c rw,nosuid shared:3 master:1 - fuse.ctxfs ctxfs rw,user_id=0',
      'not a mount',
    ].join('\n'),
  );
  expect(table).toEqual([
    { mountpoint: '/', type: 'ext4', source: '/dev/root', minor: 0, options: 'rw' },
    { mountpoint: '/a b\\c', type: 'fuse.ctxfs', source: 'ctxfs', minor: 51, options: 'rw,user_id=0' },
  ]);
});

describe.runIf(canMount)('as root', () => {
  test('attach creates the mount point and mounts fuse.ctxfs with the options of the design', async () => {
    expect(await mountState(mountpoint)).toBe('none');
    const attached = await attach(mountpoint);
    expect(attached).toMatchObject({ mountpoint, unprivileged: false });
    await serve(attached);
    expect(await mountState(mountpoint)).toBe('live');
    const entry = await mountAt(mountpoint);
    expect(entry).toMatchObject({ type: 'fuse.ctxfs', source: 'ctxfs' });
    expect(entry?.options).toContain('default_permissions');
    expect(entry?.options).toContain('allow_other');
  });

  test('a mount point named through a link is one and the same mount', async () => {
    await symlink(mountpoint, path.join(directory, 'link'));
    await serve(await attach(path.join(directory, 'link')));
    expect(await mountState(mountpoint)).toBe('live');
    await detach(path.join(directory, 'link'));
    expect(await mountState(mountpoint)).toBe('none');
  });

  test('attach over a live mount is EBUSY and leaves it alone', async () => {
    await serve(await attach(mountpoint));
    await expect(attach(mountpoint)).rejects.toMatchObject({ code: 'mount.busy', errno: 'EBUSY' });
    expect(await mountState(mountpoint)).toBe('live');
  });

  test('attach refuses a directory that holds files, and a file', async () => {
    await mkdir(mountpoint);
    await writeFile(path.join(mountpoint, 'note'), 'mine');
    await expect(attach(mountpoint)).rejects.toMatchObject({ code: 'mount.not_empty', errno: 'ENOTEMPTY' });
    await expect(attach(path.join(mountpoint, 'note'))).rejects.toMatchObject({ code: 'mount.mountpoint', errno: 'ENOTDIR' });
    expect(await mountState(mountpoint)).toBe('none');
  });

  test('a mount of something else is other: neither recovered nor mounted over', async () => {
    expect(await mountState('/proc')).toBe('other');
    expect(await recover('/proc')).toBe('other');
    await expect(attach('/proc')).rejects.toMatchObject({ code: 'mount.busy' });
  });

  test('detach unmounts, ends the server, and is safe to repeat', async () => {
    const server = await serve(await attach(mountpoint));
    const ended = once(server, 'exit');
    await detach(mountpoint);
    expect((await ended)[0]).toBe(0);
    expect(await mountState(mountpoint)).toBe('none');
    await detach(mountpoint);
  });

  test('detach of a mount in use is EBUSY; lazily it goes at once', async () => {
    const server = await serve(await attach(mountpoint));
    const user = spawn('sleep', ['60'], { cwd: mountpoint });
    servers.push(user);
    await once(user, 'spawn');
    await expect(detach(mountpoint)).rejects.toMatchObject({ code: 'mount.in_use', errno: 'EBUSY' });
    expect(await mountState(mountpoint)).toBe('live');
    await detach(mountpoint, { lazy: true });
    expect(await mountState(mountpoint)).toBe('none');
    expect(server.exitCode).toBe(null);
    const ended = once(server, 'exit');
    await kill(user);
    await ended;
  });

  test('a killed server leaves a dead mount, which attach recovers', async () => {
    await kill(await serve(await attach(mountpoint)));
    expect(await mountState(mountpoint)).toBe('dead');
    await serve(await attach(mountpoint));
    expect(await mountState(mountpoint)).toBe('live');
    await detach(mountpoint);
    expect(await mountState(mountpoint)).toBe('none');
    await rmdir(mountpoint);
  });

  test('a stopped server is dead within the time limit and recovered', async () => {
    const server = await serve(await attach(mountpoint));
    server.kill('SIGSTOP');
    // Nothing else ends the wait: the server stays stopped.
    expect(await mountState(mountpoint, { timeoutMs: 300 })).toBe('dead');
    expect(await recover(mountpoint, { timeoutMs: 300 })).toBe('none');
  });

  test('a server that swallows requests: recover frees the process that even SIGKILL could not end', async () => {
    const server = await serve(await attach(mountpoint), 'hang');
    const taken = once(server.stdout as Readable, 'data');
    const victim = spawn('stat', ['-f', mountpoint], { stdio: 'ignore' });
    servers.push(victim);
    await taken;
    victim.kill('SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(victim.signalCode).toBe(null);
    const ended = once(victim, 'exit');
    expect(await recover(mountpoint, { timeoutMs: 300 })).toBe('none');
    await ended;
  });
});
