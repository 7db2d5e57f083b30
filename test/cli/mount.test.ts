import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';

import { mountAt } from '../../mount/mount-table.ts';
import { mountStore, prepareStore, type MountedStore } from './mounted-store.ts';
import { CTX } from './program.ts';

let mounted: MountedStore;

afterEach(() => mounted.end());

const SESSION = 'coder/default';
const line = '{"role":"user","content":"hello"}\n';

/** Holds what it is given open for reading, and says so. */
const HOLDING = `
import os, sys, time
held = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
print('held', flush=True)
time.sleep(600)`;

async function pidOf(): Promise<number> {
  const { stdout } = await mounted.ctx(['status', '--json']);
  return Number((JSON.parse(stdout) as { pid: string }).pid);
}

async function gone(pid: number, limitMs = 240_000): Promise<boolean> {
  for (const startedMs = Date.now(); ; await new Promise((next) => setTimeout(next, 50))) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (state === '' || / Z /.test(state)) return true;
    if (Date.now() - startedMs >= limitMs) return false;
  }
}

describe('ctx mount and umount', () => {
  it('mount returns when the mount answers, and status names pid, version, abi, driver and store', async () => {
    mounted = await mountStore('status');
    const { stdout } = await mounted.ctx(['status', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      mountpoint: mounted.root,
      store: mounted.store,
      driver: 'kernel',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      abi: expect.stringMatching(/^\d+/),
      pid: expect.stringMatching(/^\d+$/),
    });
    expect(await mounted.must('cat status')).toMatch(/^(?:[a-z_]+=.*\n)+$/);
  });

  it('mounting again is fine and starts no second daemon; another store there is refused', async () => {
    mounted = await mountStore('again');
    const pid = await pidOf();
    const again = await mounted.ctx(['mount']);
    expect([again.code, again.stdout]).toEqual([0, `already mounted: ${mounted.store} on ${mounted.root}\n`]);
    expect(await pidOf()).toBe(pid);
    const other = await mounted.ctx(['mount', '--store', `${mounted.store}-other`]);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('mount.busy');
  });

  it('MNT-16: a new store is closed to others; one that they can reach is mounted with a warning, which doctor repeats', async () => {
    mounted = await mountStore('closed');
    expect((await stat(mounted.store)).mode & 0o777).toBe(0o700);
    expect((await mounted.ctx(['doctor'])).stdout).not.toContain('other users');
    await mounted.ctx(['umount']);
    // Reachable: below directories that anybody may enter.
    const store = await mkdtemp('/var/tmp/ctx-open-');
    try {
      await chmod(store, 0o755);
      const again = await mounted.ctx(['mount', '--store', store]);
      expect([again.code, again.stderr]).toEqual([0, `ctx: other users can reach the store (${store}); close it: chmod 700 ${store}\n`]);
      expect((await mounted.ctx(['doctor'], { env: { CTX_STORE: store } })).stdout).toContain(`other users can reach the store (${store})`);
    } finally {
      await mounted.ctx(['umount']);
      await rm(store, { recursive: true, force: true });
    }
  });

  it('umount waits for the daemon and leaves nothing; history is there after the next mount', async () => {
    mounted = await mountStore('umount');
    await mounted.must(`ctx new ${SESSION} && ctx append ${SESSION} hello`);
    const pid = await pidOf();
    const { code } = await mounted.ctx(['umount']);
    expect(code).toBe(0);
    expect(await gone(pid, 0)).toBe(true);
    expect(await mountAt(mounted.root)).toBeUndefined();
    expect((await mounted.ctx(['umount'])).code).toBe(0);
    expect((await mounted.ctx(['mount'])).code).toBe(0);
    expect(await mounted.must(`ctx cat ${SESSION}`)).toBe(line);
  });

  it('a killed daemon leaves a dead mount that the next mount recovers, with every acknowledged line', async () => {
    mounted = await mountStore('killed');
    await mounted.must(`ctx new ${SESSION} && ctx append ${SESSION} hello`);
    const pid = await pidOf();
    process.kill(pid, 'SIGKILL');
    await gone(pid);
    const dead = await mounted.ctx(['ls']);
    expect(dead.code).toBe(3);
    expect((await mounted.ctx(['mount'])).code).toBe(0);
    expect(await pidOf()).not.toBe(pid);
    expect(await mounted.must(`ctx cat ${SESSION}`)).toBe(line);
  });

  it('umount takes the dead mount of a killed daemon away', async () => {
    mounted = await mountStore('killed-umount');
    const pid = await pidOf();
    process.kill(pid, 'SIGKILL');
    await gone(pid);
    expect((await mounted.ctx(['umount'])).code).toBe(0);
    expect(await mountAt(mounted.root)).toBeUndefined();
  });

  it('a daemon that does not answer hangs nobody: verbs say so, and umount ends it', async () => {
    mounted = await mountStore('hung');
    const pid = await pidOf();
    await mounted.must(`ctx new coder/held && mkdir shared/x && echo held > shared/x/file`);
    // Who only reads tells the daemon nothing when it is killed, whatever it holds open.
    const session = join(mounted.agents, 'coder/session/held');
    const files = ['messages.jsonl', 'latest.md', 'state', 'context/pack.json', '../../../../../../shared/x/file', '.'];
    const reader = spawn('python3', ['-c', HOLDING, ...files.map((file) => join(session, file))]);
    await once(reader.stdout, 'data');
    process.kill(pid, 'SIGSTOP');
    const killed = once(reader, 'exit');
    reader.kill('SIGKILL');
    await killed;
    const status = await mounted.ctx(['status']);
    expect(status.code).toBe(3);
    const { code, stderr } = await mounted.ctx(['umount']);
    expect([code, stderr]).toEqual([0, '']);
    expect(await mountAt(mounted.root)).toBeUndefined();
    expect(await gone(pid)).toBe(true);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s makes the daemon unmount and end', async (signal) => {
    mounted = await mountStore(signal.toLowerCase());
    const pid = await pidOf();
    process.kill(pid, signal);
    expect(await gone(pid)).toBe(true);
    expect(await mountAt(mounted.root)).toBeUndefined();
  });

  it('a mount in use is not taken away, unless lazily', async () => {
    mounted = await mountStore('busy');
    const user = spawn('sleep', ['60'], { cwd: join(mounted.root, 'agent'), stdio: 'ignore' });
    try {
      const busy = await mounted.ctx(['umount']);
      expect(busy.code).toBe(1);
      expect(busy.stderr).toContain('--lazy');
      expect((await mounted.ctx(['status'])).code).toBe(0);
      expect((await mounted.ctx(['umount', '--lazy'])).code).toBe(0);
      expect(await mountAt(mounted.root)).toBeUndefined();
    } finally {
      user.kill('SIGKILL');
    }
  });

  it('--foreground serves until it is told to end, and unmounts', async () => {
    mounted = await prepareStore('foreground');
    const service = spawn(process.execPath, [CTX, 'mount', '--foreground'], {
      env: { ...process.env, ...mounted.env },
      cwd: '/',
      stdio: 'ignore',
    });
    const ended = new Promise<number | null>((settle) => service.on('exit', settle));
    for (let tries = 0; (await mounted.ctx(['status'])).code !== 0; tries += 1)
      if (tries > 100) throw new Error('the service never answered');
    service.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(await mountAt(mounted.root)).toBeUndefined();
  });

  it('a mount point that holds files is refused, and so is a second daemon on one store', async () => {
    mounted = await mountStore('refused');
    const second = await mounted.ctx(['mount', `${mounted.root}2`]);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/store/);
    const full = await mounted.sh(
      `mkdir -p ${mounted.store}-full && touch ${mounted.store}-full/x && ctx mount ${mounted.store}-full --store ${mounted.store}-s2`,
      { cwd: '/' },
    );
    expect(full.code).toBe(1);
    expect(full.stderr).toContain('mount.not_empty');
  });
});
