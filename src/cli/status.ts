// ctx status: the daemon's own KEY=VALUE lines.
import type { Command } from 'commander';

import { requireMount } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

export function registerStatus(program: Command, shell: Shell): void {
  program
    .command('status')
    .description('show what the mount says about itself')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(['ctx status', 'pid, version, driver, store, open sessions'], ['ctx status --json | jq -r .store', 'one value']),
    )
    .action(async (options: { json?: boolean }) => {
      const { root, status } = await requireMount(shell);
      if (options.json === true) {
        shell.terminal.json({ mountpoint: root, ...Object.fromEntries(status) });
        return;
      }
      for (const [key, value] of new Map([['mountpoint', root], ...status]))
        shell.terminal.line(`${shell.terminal.style('bold', `${key}=`)}${value}`);
    });
}
