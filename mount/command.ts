// Short-lived child processes of the lifecycle. What could block on a mount runs here, under a timeout.
import { spawn, type StdioOptions } from 'node:child_process';

export interface CommandResult {
  /** Exit status; null when killed, timed out or not started. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** The program is not installed. */
  readonly missing: boolean;
}

export interface CommandOptions {
  readonly timeoutMs: number;
  /** A descriptor that the child finds as fd 3. */
  readonly inheritFd?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Runs a program and never waits longer than the timeout, even for a child that cannot be killed (one in
 * uninterruptible sleep inside a hung mount): such a child is left behind, unreferenced, and ends when the
 * connection is aborted.
 */
export function runCommand(program: string, args: readonly string[], options: CommandOptions): Promise<CommandResult> {
  return new Promise((resolve) => {
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
    if (options.inheritFd !== undefined) stdio.push(options.inheritFd);
    const env = { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`, ...options.env };
    // cwd '/': a working directory inside a hung mount would block the child, and mount(8) must not take
    // the source name for a file beside us.
    const child = spawn(program, args, { stdio, cwd: '/', env });
    let stdout = '';
    let stderr = '';
    let missing = false;
    let failure = '';
    let timedOut = false;
    const finish = (status: number | null): void => {
      clearTimeout(timer);
      resolve({ status, stdout, stderr: stderr === '' ? failure : stderr, timedOut, missing });
    };
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
      child.unref();
      child.stdout?.destroy();
      child.stderr?.destroy();
      finish(null);
    }, options.timeoutMs);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      missing = error.code === 'ENOENT';
      failure = error.message;
      finish(null);
    });
    child.on('close', (status) => {
      if (!timedOut) finish(status);
    });
  });
}
