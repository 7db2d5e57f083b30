// A real llama-server (scripts/build-llama-server) with the tiny model, for as long as a test needs it.
import { spawn, execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { engineDirectory } from '../../src/engine/llama/native.ts';

export const LLAMA_SERVER: string = join(engineDirectory(), 'llama-server', 'llama-server');
/** .ci/run builds it; a machine without it says so by the name of the one test that is left. */
export const HAS_LLAMA_SERVER: boolean = existsSync(LLAMA_SERVER);

const run = promisify(execFile);

export async function temporary(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `ctxfs-${name}-`));
}

export async function tinyModel(directory: string): Promise<string> {
  const path = join(directory, 'tiny.gguf');
  await run(process.execPath, [new URL('../../scripts/make-tiny-model', import.meta.url).pathname, '--out', path]);
  return path;
}

export interface LlamaServer {
  readonly url: string;
  readonly slots: string;
  readonly pid: number;
  /** Ends it and starts it anew at the same address, with an empty slot. */
  restart(): Promise<void>;
  end(): Promise<void>;
}

export async function startLlamaServer(directory: string, contextTokens: number, savesSlots = true): Promise<LlamaServer> {
  const model = await tinyModel(directory);
  const slots = join(directory, 'slots');
  await mkdir(slots, { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const fixed = ['--host', '127.0.0.1', '-np', '1', '-t', '1', '-tb', '1', '--no-warmup', '--jinja', '--cache-ram', '0'];
  const args = [
    '-m',
    model,
    '--port',
    String(port),
    '-c',
    String(contextTokens),
    ...fixed,
    ...(savesSlots ? ['--slot-save-path', `${slots}/`] : []),
  ];
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    child = spawn(LLAMA_SERVER, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => (log = (log + piece.toString()).slice(-4000)));
    for (const startedMs = Date.now(); ;) {
      if (child.exitCode !== null || Date.now() - startedMs > 240_000) throw new Error(`llama-server did not start:\n${log}`);
      if (
        await fetch(`${url}/health`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        return;
      await sleep(50);
    }
  };
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  await start();
  return {
    url,
    slots,
    get pid() {
      return child.pid as number;
    },
    restart: async () => {
      await stop();
      await start();
    },
    end: stop,
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
