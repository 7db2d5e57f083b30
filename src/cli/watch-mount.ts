// CLI-10: a daemon that stops answering in the middle of a verb ends the verb. Nothing on the mount may be asked by the thread that
// watches: another asks. (Not a child: it closes our files of the mount before it runs, and we wait for that.) A verb that takes
// less than a probe's pause pays nothing.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { CtxError } from '../abi/errors.ts';
import { describeFailure } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import type { Shell } from './shell.ts';

const DEFAULT_WAIT_S = 60;
const MOST_WAIT_S = 86_400;
const PAUSE_MS = 5_000;

let watched = false;

/** Seconds that a verb waits for a daemon that says nothing: CTX_DAEMON_WAIT. */
export function daemonWaitS(env: NodeJS.ProcessEnv): number {
  const seconds = Number(env['CTX_DAEMON_WAIT'] ?? '');
  return seconds > 0 && seconds <= MOST_WAIT_S ? seconds : DEFAULT_WAIT_S;
}

/** Once a process; keeps nothing alive. */
export function watchMount(shell: Shell, root: string, pid: string | undefined): void {
  if (watched) return;
  watched = true;
  const waitMs = daemonWaitS(shell.env) * 1000;
  const pauseMs = Math.min(PAUSE_MS, waitMs / 4);
  let askedMs: number | undefined;
  let late = 0;
  let asker: Worker | undefined;
  const ask = (): void => {
    askedMs = performance.now();
    late = 0;
    asker ??= startAsker(() => (askedMs = undefined));
    asker.postMessage(join(root, 'status'));
  };
  setInterval(() => {
    if (askedMs === undefined) return ask();
    if (performance.now() - askedMs < waitMs) return;
    // Twice: an answer that came while this process itself did not run is seen before the second time.
    if ((late += 1) < 2) return;
    shell.terminal.note(`ctx: ${describeFailure(silent(root, waitMs, pid), false)}`);
    exitAtOnce(EXIT.notMounted);
  }, pauseMs).unref();
}

/** Whatever it is told: a mount that was taken away answers too. */
function startAsker(answered: () => void): Worker {
  const asker = new Worker(ASKING, { eval: true });
  asker.on('message', answered).on('error', answered);
  asker.unref();
  return asker;
}

const ASKING = `
const { readFileSync } = require('node:fs');
const { parentPort } = require('node:worker_threads');
parentPort.on('message', (path) => {
  try {
    readFileSync(path);
  } catch {}
  parentPort.postMessage('answered');
});`;

function silent(root: string, waitMs: number, pid: string | undefined): CtxError {
  const stopped = pid !== undefined && stateOf(pid) === 'T';
  const who = pid === undefined ? 'its daemon' : `its daemon (pid ${pid})`;
  return new CtxError(
    'cli.not_answering',
    'ETIMEDOUT',
    `has not answered for ${waitMs / 1000} s: ${who} ${stopped ? 'is stopped' : 'says nothing'}; what was not finished has no name, and goes with ctx gc`,
    { where: root, next: stopped ? `run: kill -CONT ${pid}, or ctx umount --lazy and ctx mount` : 'run: ctx doctor' },
  );
}

/** T: stopped by a signal. */
function stateOf(pid: string): string | undefined {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${Number(pid)}/stat`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

/** _exit(2): an orderly end would wait for the threads that wait for the mount. */
function exitAtOnce(code: number): never {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi').default;
  koffi.load(null).func('void _exit(int status)')(code);
  throw new Error('is not reached');
}
