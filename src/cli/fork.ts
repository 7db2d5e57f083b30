// ctx fork: a new session with the same history, without copying a byte.
import type { Command } from 'commander';
import { join } from 'node:path';

import { ask } from './control-client.ts';
import { usageError } from './errors.ts';
import { requireSession } from './mounted.ts';
import { parseReference } from './reference.ts';
import { examples, type Shell } from './shell.ts';

export function registerFork(program: Command, shell: Shell): void {
  program
    .command('fork')
    .description('make a session that shares the history of another')
    .argument('<from>', 'the session to fork')
    .argument('<to>', 'the new session')
    .option('--at <line>', 'share history up to this line of messages.jsonl (default: all)')
    .option('--json', 'print the new session')
    .addHelpText(
      'after',
      examples(
        ['ctx fork coder/default coder/try', 'both go on separately'],
        ['ctx fork coder/default coder/back --at 120', 'from an earlier message'],
      ),
    )
    .action(async (from: string, to: string, options: { at?: string; json?: boolean }) => {
      const at = options.at === undefined ? undefined : Number(options.at.replace(/^messages:/, ''));
      if (at !== undefined && (!Number.isInteger(at) || at < 0))
        throw usageError(`--at ${options.at ?? ''} is not a line number`, 'use a line of messages.jsonl, such as 120');
      const { path, mounted } = await requireSession(shell, from);
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
