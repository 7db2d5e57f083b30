// ctx fork: a new session with the same history, without copying a byte.
import type { Command } from 'commander';
import { join } from 'node:path';

import { ask } from './control-client.ts';
import { usageError } from './errors.ts';
import { forkNamed } from './image-fork.ts';
import { imageNamed, refuseForSessions, requireSessionNamed, type NamedImage } from './image-named.ts';
import { shownInstance } from './image-run.ts';
import { parseReference } from './reference.ts';
import { examples, type Shell } from './shell.ts';

interface ForkOptions {
  readonly at?: string;
  readonly name?: string;
  readonly memoryWrites?: string;
  readonly json?: boolean;
}

export function registerFork(program: Command, shell: Shell): void {
  program
    .command('fork')
    .description('make a session that shares the history of another, or a branch of an image')
    .argument('<from>', 'the session, or the image, to fork')
    .argument('<to>', 'the new session, or the new image')
    .option('--at <line>', 'share history up to this line of messages.jsonl (default: all)')
    .option('--name <session>', 'of an image: AGENT/SESSION of the instance (default: by the name of the branch)')
    .option('--memory-writes <policy>', 'of an image: shared, read-only or ephemeral (default: shared)')
    .option('--json', 'print the new session')
    .addHelpText(
      'after',
      examples(
        ['ctx fork coder/default coder/try', 'both go on separately'],
        ['ctx fork coder/default coder/back --at 120', 'from an earlier message'],
        ['ctx fork quilt/customer-review quilt/customer-review-alt', 'a branch of an image, and an instance of it'],
      ),
    )
    .action(async (from: string, to: string, options: ForkOptions) => {
      const digits = options.at?.replace(/^messages:/, '');
      const at = digits === undefined ? undefined : Number(digits);
      if (digits !== undefined && (!/^[0-9]+$/.test(digits) || !Number.isSafeInteger(at)))
        throw usageError(`--at ${options.at ?? ''} is not a line number`, 'use a line of messages.jsonl, such as 120');
      const named = await imageNamed(shell, from);
      if (named !== undefined) return forkOfImage(shell, named, to, at, options);
      const { path, mounted } = await requireSessionNamed(shell, from);
      refuseForSessions(from, { '--memory-writes': options.memoryWrites !== undefined, '--name': options.name !== undefined });
      const target = parseReference(to, mounted);
      const reply = await ask(mounted.root, { verb: 'fork', from: path, to: target.path, ...(at === undefined ? {} : { at }) });
      const { left_out: leftOut = [], elapsed_ms } = reply as { readonly left_out?: readonly string[]; readonly elapsed_ms: number };
      const directory = join(mounted.root, target.path);
      if (options.json === true)
        return shell.terminal.json({ session: target.path, directory, from: path, at: at ?? null, left_out: leftOut, elapsed_ms });
      shell.terminal.line(directory);
      // CHN-10: FIFOs, sockets, devices and files too large for any pack.
      for (const name of leftOut) shell.terminal.note(`ctx: not copied: ${JSON.stringify(name).slice(1, -1)}`);
    });
}

async function forkOfImage(shell: Shell, named: NamedImage, to: string, at: number | undefined, options: ForkOptions): Promise<void> {
  const memory = options.memoryWrites ?? 'shared';
  if (memory !== 'shared' && memory !== 'read-only' && memory !== 'ephemeral')
    throw usageError(`--memory-writes ${memory} is none of shared, read-only, ephemeral`);
  const { image, key, target, elapsedMs } = await forkNamed(named, to, { at, name: options.name, memory });
  const shown = { ...shownInstance({ ...named, key }, target), digest: image.descriptor.digest, parent: named.key };
  if (options.json === true) return shell.terminal.json({ ...shown, at: at ?? null, elapsed_ms: Math.round(elapsedMs * 100) / 100 });
  shell.terminal.line(`${key}@${image.descriptor.digest}`);
  shell.terminal.note(`instance: ${shown.instance}`);
}
