// The filesystems that ctxfs is measured against: the directory itself, libfuse's own C examples, bindfs.
// Needs gcc, pkg-config and Debian's libfuse3-dev and fuse3; passthrough_hp is built when its source is given
// (`--fuse-source DIR`: an unpacked `apt-get source fuse3`), bindfs is used when it is installed.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../mount/command.ts';
import { parseMountTable } from '../../mount/mount-table.ts';

/** One mounted peer: everything below `directory` is the backing directory. */
export interface Peer {
  readonly name: string;
  readonly directory: string;
  /** Daemon, or undefined for the native directory. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

const PACKAGED_EXAMPLES = '/usr/share/doc/libfuse3-dev/examples';
const DEFINES = [
  '-D_GNU_SOURCE',
  '-DHAVE_COPY_FILE_RANGE',
  '-DHAVE_UTIMENSAT',
  '-DHAVE_POSIX_FALLOCATE',
  '-DHAVE_SETXATTR',
  '-DHAVE_FDATASYNC',
];

async function must(program: string, args: readonly string[]): Promise<string> {
  const result = await runCommand(program, args, { timeoutMs: 300_000 });
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

/** Builds the load generator and the examples into `out`; returns the names of the examples built. */
export async function buildPrograms(out: string, here: string, fuseSource: string | undefined): Promise<readonly string[]> {
  await mkdir(out, { recursive: true });
  await must('gcc', ['-O2', '-Wall', path.join(here, 'load.c'), '-o', path.join(out, 'load')]);
  const flags = (await must('pkg-config', ['--cflags', '--libs', 'fuse3'])).trim().split(/\s+/);
  const examples = fuseSource === undefined ? PACKAGED_EXAMPLES : path.join(fuseSource, 'example');
  const built: string[] = [];
  for (const name of ['passthrough_ll', 'passthrough_fh', 'passthrough']) {
    const source = path.join(examples, `${name}.c`);
    if (!existsSync(source)) continue;
    await must('gcc', ['-O2', ...DEFINES, `-I${path.dirname(examples)}`, source, '-o', path.join(out, name), ...flags]);
    built.push(name);
  }
  const hp = path.join(examples, 'passthrough_hp.cc');
  if (existsSync(hp)) {
    await must('g++', ['-O2', '-std=c++17', hp, '-o', path.join(out, 'passthrough_hp'), ...flags]);
    built.push('passthrough_hp');
  }
  return built;
}

/** Mounts every available peer over `backing`, each below `root`. */
export async function mountPeers(root: string, backing: string, programs: string, built: readonly string[]): Promise<Peer[]> {
  const peers: Peer[] = [{ name: 'native', directory: backing, pid: undefined, stop: () => Promise.resolve() }];
  const has = (name: string): boolean => built.includes(name);
  const example = (name: string): string => path.join(programs, name);
  if (has('passthrough_ll')) {
    peers.push(
      await start('passthrough_ll never', root, '', example('passthrough_ll'), (at) => ['-f', '-o', `source=${backing},cache=never`, at]),
    );
    peers.push(
      await start('passthrough_ll auto', root, '', example('passthrough_ll'), (at) => ['-f', '-o', `source=${backing},cache=auto`, at]),
    );
  }
  // These two show the whole root directory.
  if (has('passthrough_fh')) peers.push(await start('passthrough_fh', root, backing, example('passthrough_fh'), (at) => ['-f', at]));
  if (has('passthrough_hp')) {
    peers.push(await start('passthrough_hp', root, '', example('passthrough_hp'), (at) => ['--foreground', backing, at]));
    peers.push(
      await start('passthrough_hp nocache', root, '', example('passthrough_hp'), (at) => ['--foreground', '--nocache', backing, at]),
    );
  }
  if (existsSync('/usr/bin/bindfs')) peers.push(await start('bindfs', root, '', '/usr/bin/bindfs', (at) => ['-f', backing, at]));
  return peers;
}

async function start(name: string, root: string, below: string, program: string, args: (at: string) => readonly string[]): Promise<Peer> {
  const at = path.join(root, name.replaceAll(' ', '-'));
  await mkdir(at, { recursive: true });
  const child = spawn(program, args(at), { stdio: ['ignore', 'ignore', 'inherit'] });
  for (let wait = 0; wait < 200; wait++) {
    if (parseMountTable(await readFile('/proc/self/mountinfo', 'utf8')).some((entry) => entry.mountpoint === at)) break;
    if (child.exitCode !== null) throw new Error(`${name} ended with status ${child.exitCode}`);
    await sleep(20);
  }
  return {
    name,
    directory: path.join(at, below),
    pid: child.pid,
    async stop() {
      await runCommand('umount', ['-l', at], { timeoutMs: 10_000 });
      child.kill();
    },
  };
}
