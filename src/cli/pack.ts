// ctx pack: where the budget goes, drawn from context/pack.json.
import { join } from 'node:path';
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { requireSession } from './mounted.ts';
import { drawPack, type PackRecord } from './pack-picture.ts';
import { rebuilt } from './rebuilt.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly at?: string;
  readonly items?: boolean;
  readonly text?: boolean;
  readonly json?: boolean;
}

export function registerPack(program: Command, shell: Shell): void {
  program
    .command('pack')
    .description('draw where the context budget goes')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .option('--items', 'list every item')
    .option('--at <where>', 'the pack as it was at a message line or a pack digest')
    .option('--text', 'print pack.md instead')
    .option('--json', 'print pack.json instead')
    .addHelpText(
      'after',
      examples(
        ['ctx pack coder/default', 'bars by kind, and what was left out'],
        ['ctx pack . --items', 'every item'],
        ['ctx pack coder/default --at 120 --json', 'what was sent then'],
      ),
    )
    .action(async (reference: string, options: Options) => {
      const { path, directory, mounted } = await requireSession(shell, reference);
      const { terminal } = shell;
      if (options.text === true && options.at === undefined)
        return terminal.write(await rebuilt(shell, join(directory, 'context/pack.md')));
      const record = (
        options.at === undefined
          ? JSON.parse(await rebuilt(shell, join(directory, 'context/pack.json')))
          : await ask(mounted.root, { verb: 'pack-at', session: path, at: options.at })
      ) as PackRecord;
      if (options.json === true) terminal.json(record);
      else for (const line of drawPack(record, terminal, options.items === true)) terminal.line(line);
    });
}
