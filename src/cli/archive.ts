// ctx archive: take a session out of the tree; its history stays readable in the store's archive.
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { gone } from './gone.ts';
import { requireSession } from './mounted.ts';
import { outline } from './explain.ts';
import { examples, type Shell } from './shell.ts';

export function registerArchive(program: Command, shell: Shell): void {
  program
    .command('archive')
    .description('move a session into the archive of the store')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--json', 'print where it went')
    .addHelpText('after', examples(['ctx archive coder/old', 'history is kept, the name is free again']))
    .action(async (reference: string, options: { json?: boolean }) => {
      const { path, mounted } = await requireSession(shell, reference);
      const result = await ask(mounted.root, { verb: 'archive', session: path });
      await gone(mounted.root, path);
      if (options.json === true) shell.terminal.json(result);
      else for (const line of outline(result ?? 'archived')) shell.terminal.line(line);
    });
}
