// Debian's docker-registry on a free loopback port, with its own directory; and skopeo as an independent oracle.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ociDigest } from '../../../src/image/oci.ts';
import { runProgram } from '../../cli/program.ts';

export interface RunningRegistry {
  /** HOST:PORT */
  readonly host: string;
  stop(): Promise<void>;
}

/** USER with PASSWORD, as htpasswd -B writes it. */
export const USER = 'reviewer';
export const PASSWORD = 'pass word:é';
const HTPASSWD = `${USER}:$2b$04$iVeuFgzK85b8LCgBU3oLyO8EiKqZMjvWPkjvvS5gmidIYX9ckJVhq\n`;

export async function startDockerRegistry(options: { readonly password?: boolean } = {}): Promise<RunningRegistry> {
  const directory = await fs.mkdtemp(join(tmpdir(), 'ctx-registry-'));
  await fs.writeFile(join(directory, 'htpasswd'), HTPASSWD);
  const config = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') }, delete: { enabled: true } },
    http: { addr: '127.0.0.1:0', secret: 'test' },
    ...(options.password === true ? { auth: { htpasswd: { realm: 'test', path: join(directory, 'htpasswd') } } } : {}),
  };
  await fs.writeFile(join(directory, 'config.yml'), JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', join(directory, 'config.yml')], { stdio: ['ignore', 'ignore', 'pipe'] });
  return {
    host: await listening(child),
    stop: async () => {
      await stop(child);
      await fs.rm(directory, { recursive: true, force: true });
    },
  };
}

async function listening(child: ChildProcess): Promise<string> {
  if (child.stderr === null) throw new Error('has a stderr');
  const said: string[] = [];
  child.on('error', (error) => said.push(error.message));
  for await (const line of createInterface({ input: child.stderr })) {
    said.push(line);
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.resume();
    return `127.0.0.1:${port}`;
  }
  throw new Error(`docker-registry did not start: ${said.join('\n')}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

export async function skopeo(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram('skopeo', ['--insecure-policy', ...args]);
  if (code !== 0) throw new Error(`skopeo ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** What blobs/sha256 of a layout holds: name → digest of the bytes. */
export async function blobsOnDisk(layout: string): Promise<ReadonlyMap<string, string>> {
  const directory = join(layout, 'blobs/sha256');
  const names = (await fs.readdir(directory)).sort();
  return new Map(await Promise.all(names.map(async (name) => [name, ociDigest(await fs.readFile(join(directory, name)))] as const)));
}
