// Runs the built ctx as people do: its own process, its own environment, no terminal unless asked for.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url));
export const CTX: string = `${ROOT}bin/ctx`;

/** Against hangs, and shorter than a test may take: what hangs is then said by its line, not by a test that is out of time. */
export const LIMIT_MS = 240_000;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Runs any program; never rejects: a program that is killed by the time limit has code 124. */
export function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((settle) => {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], TMPDIR: process.env['TMPDIR'], LC_ALL: 'C.UTF-8', ...options.env };
    const limits = { timeout: options.timeoutMs ?? LIMIT_MS, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 } as const;
    const child = execFile(program, args, { ...limits, env, cwd: options.cwd ?? '/' }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 124;
      settle({ code, stdout, stderr });
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input ?? '');
  });
}

export function ctx(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return runProgram(process.execPath, [CTX, ...args], options);
}
