// ctx rm: delete a session and its history for good, or take a name of an image away. Asks first.
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { gone } from './gone.ts';
import { confirm } from './confirm.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { entryNamed, requireSessionNamed } from './image-named.ts';
import { removeImage, type RemoveOptions } from './image-rm.ts';
import { examples, type Shell } from './shell.ts';

export function registerRm(program: Command, shell: Shell): void {
  program
    .command('rm')
    .description('delete a session and its history for good (see also: archive), or a name of an image')
    .argument('<session>', 'AGENT/SESSION, a path on the mount, or an image')
    .option('--force', 'delete even where context/gc.policy keeps history; all names of a digest')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print what was removed')
    .addHelpText(
      'after',
      examples(
        ['ctx rm coder/scratch', 'asks first'],
        ['ctx rm coder/scratch --force --yes', 'in a script'],
        ['ctx rm quilt/review:2026.05', 'the name goes; what nothing else names goes with ctx gc'],
      ),
    )
    .action(async (reference: string, options: RemoveOptions) => {
      const named = await entryNamed(shell, reference);
      if (named !== undefined) return removeImage(shell, named, options);
      const { path, rest, mounted } = await requireSessionNamed(shell, reference);
      if (rest !== '') throw usageError(`${reference} is a file inside a session`, 'use rm(1) for files; ctx rm deletes whole sessions');
      if (options.yes !== true && !(await confirm(shell, `delete ${path} and its history for good?`))) {
        shell.terminal.note('nothing was deleted');
        return shell.exit(EXIT.failed);
      }
      await ask(mounted.root, { verb: 'rm', session: path, force: options.force === true });
      await gone(mounted.root, path);
      if (options.json === true) return shell.terminal.json({ removed: path });
      shell.terminal.note(`deleted ${path}`);
    });
}
