// What ctx push and ctx pull share: the client for a remote, its limits, progress, and an interrupt that leaves nothing half done.
import type { Command } from 'commander';

import type { RegistryClient } from '../image/registry/client.ts';
import type { TransferProgress } from '../image/registry/push.ts';
import type { Remote } from '../image/registry/remote.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { shareWords, sizeWords } from './figures.ts';
import type { Shell } from './shell.ts';

export interface TransferOptions {
  readonly insecure?: boolean;
  /** False with --no-compiled. */
  readonly compiled: boolean;
  readonly idle: string;
  readonly json?: boolean;
}

export interface Transfer {
  readonly client: RegistryClient;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: TransferProgress) => void;
}

export function withTransferOptions(command: Command): Command {
  return command
    .option('--no-compiled', 'leave compiled state where it is')
    .option('--insecure', 'allow plain HTTP to another machine: everything can be read and changed on the way')
    .option('--idle <seconds>', 'give a registry up that sends nothing to speak of for so long', '60')
    .option('--json', 'print an object');
}

/** SIGINT, SIGTERM and SIGHUP end the transfer cleanly, with exit code 130. */
export async function transfer(
  shell: Shell,
  remote: Remote,
  options: TransferOptions,
  words: string,
  work: (transfer: Transfer) => Promise<void>,
): Promise<void> {
  const idleMs = Number(options.idle) * 1000;
  if (!(idleMs >= 1 && idleMs <= 86_400_000)) throw usageError('--idle is not a number of seconds up to a day');
  const { RegistryClient } = await import('../image/registry/client.ts');
  const { DEFAULT_LIMITS } = await import('../image/registry/limits.ts');
  const client = new RegistryClient(remote.registry, { environment: shell.env, limits: { ...DEFAULT_LIMITS, idleMs } });
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  const progress = shell.terminal.progress();
  const onProgress = ({ doneBytes, totalBytes }: TransferProgress): void =>
    progress.update(`${words} ${sizeWords(doneBytes)} of ${sizeWords(totalBytes)} (${shareWords(doneBytes, totalBytes)})`);
  try {
    await work({ client, signal: stop.signal, onProgress });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    shell.terminal.note(`ctx: ${words} was interrupted; run it again to go on`);
    shell.exit(EXIT.interrupted);
  } finally {
    progress.done();
    client.close();
  }
}
