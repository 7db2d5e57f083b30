// llama-server with any model, as the peer of the benchmarks: prompts by token ids, slots saved and restored by name.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HAS_LLAMA_SERVER, LLAMA_SERVER } from '../engine/llama-server-process.ts';

export const HAS_PEER: boolean = HAS_LLAMA_SERVER;

export interface PeerOptions {
  readonly model: string;
  readonly contextTokens: number;
  readonly directory: string;
  readonly threads: number;
}

export interface Answered {
  readonly status: number;
  readonly reply: Readonly<Record<string, unknown>>;
  readonly ms: number;
  /** Of the server. */
  readonly cpu_ms: number;
}

export interface Peer {
  readonly slots: string;
  readonly alive: boolean;
  prefill(tokens: Uint32Array): Promise<{ ms: number; cpu_ms: number }>;
  /** Rejects where the server does not answer. */
  slot(action: 'save' | 'restore' | 'erase', filename?: string): Promise<Answered>;
  end(): Promise<void>;
}

export async function startPeer({ model, contextTokens, directory, threads }: PeerOptions): Promise<Peer> {
  const slots = join(directory, 'slots');
  mkdirSync(slots, { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const options = { '-m': model, '--host': '127.0.0.1', '--port': port, '-c': contextTokens, '-np': 1, '-t': threads, '-tb': threads };
  const fixed = ['--no-warmup', '--cache-ram', '0', '--slot-save-path', `${slots}/`];
  const child = spawn(LLAMA_SERVER, [...Object.entries(options).flatMap(([name, value]) => [name, String(value)]), ...fixed], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (piece: Buffer) => (log = (log + piece.toString()).slice(-4000)));
  const alive = (): boolean => child.exitCode === null && child.signalCode === null;
  for (;;) {
    if (!alive()) throw new Error(`llama-server did not start:\n${log}`);
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    if (answer?.ok === true) break;
    await sleep(50);
  }
  const ask = async (path: string, body: unknown): Promise<Answered> => {
    const before = processorMs(child);
    const start = performance.now();
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(3_600_000),
    });
    const reply = (await answer.json()) as Record<string, unknown>;
    const ms = performance.now() - start;
    return { status: answer.status, reply, ms: round(ms), cpu_ms: round(processorMs(child) - before) };
  };
  return {
    slots,
    get alive() {
      return alive();
    },
    prefill: async (tokens) => {
      // It always predicts; one token more is nothing beside the prompt.
      const { status, reply, ms, cpu_ms } = await ask('/completion', {
        prompt: Array.from(tokens),
        n_predict: 0,
        id_slot: 0,
        cache_prompt: true,
      });
      if (status !== 200) throw new Error(`llama-server: ${JSON.stringify(reply)}`);
      return { ms, cpu_ms };
    },
    slot: (action, filename) => ask(`/slots/0?action=${action}`, filename === undefined ? {} : { filename }),
    end: async () => {
      if (!alive()) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** Of all threads, by the scheduler's own count. */
function processorMs({ pid }: ChildProcess): number {
  const tasks = `/proc/${pid}/task`;
  try {
    return readdirSync(tasks).reduce(
      (sum, task) => sum + Number(readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ')[0]) / 1e6,
      0,
    );
  } catch {
    return Number.NaN;
  }
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

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
