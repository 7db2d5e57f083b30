// ctx rm: delete a session and its history for good. Asks first; refused unless gc.policy allows it, or --force.
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { confirm } from './confirm.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { requireSession } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

export function registerRm(program: Command, shell: Shell): void {
  program
    .command('rm')
    .description('delete a session and its history for good (see also: archive)')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--force', 'delete even where context/gc.policy keeps history')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', examples(['ctx rm coder/scratch', 'asks first'], ['ctx rm coder/scratch --force --yes', 'in a script']))
    .action(async (reference: string, options: { force?: boolean; yes?: boolean }) => {
      const { path, rest, mounted } = await requireSession(shell, reference);
      if (rest !== '') throw usageError(`${reference} is a file inside a session`, 'use rm(1) for files; ctx rm deletes whole sessions');
      if (options.yes !== true && !(await confirm(shell, `delete ${path} and its history for good?`))) {
        shell.terminal.note('nothing was deleted');
        return shell.exit(EXIT.failed);
      }
      await ask(mounted.root, { verb: 'rm', session: path, force: options.force === true });
      shell.terminal.note(`deleted ${path}`);
    });
}
