// ctx evict: drop what is compiled of a session, or of an image. The source stays; what is needed is compiled again.
import type { Command } from 'commander';

import type { EngineResults } from '../tree/engine-client.ts';
import { ask } from './control-client.ts';
import { usageError } from './errors.ts';
import { sizeWords } from './figures.ts';
import { evictImage } from './image-evict.ts';
import { imageNamed, requireSessionNamed } from './image-named.ts';
import { examples, type Shell } from './shell.ts';

export function registerEvict(program: Command, shell: Shell): void {
  program
    .command('evict')
    .description('drop the compiled state of a session or an image; the source stays')
    .argument('<session>', 'AGENT/SESSION, a path on the mount, or an image')
    .option('--compiled-state', 'what the engine compiled of it')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx evict coder/default --compiled-state', 'what other sessions use too stays'],
        ['ctx evict quilt/review --compiled-state', 'its digest stays; ctx rebuild makes it again'],
        ['ctx gc', 'what no session uses'],
      ),
    )
    .action(async (reference: string, options: { compiledState?: boolean; json?: boolean }) => {
      if (options.compiledState !== true) throw usageError('evict what?', 'say --compiled-state');
      const named = await imageNamed(shell, reference);
      if (named !== undefined) return evictImage(shell, named, options.json === true);
      const { path, mounted } = await requireSessionNamed(shell, reference);
      const eviction = (await ask(mounted.root, { verb: 'kv.evict', session: path })) as EngineResults['evict'];
      const { terminal } = shell;
      if (options.json === true) return terminal.json(eviction);
      for (const { path: file, bytes, reason } of eviction.removed) terminal.line(`${file}  ${sizeWords(bytes)}  ${reason}`);
      for (const { key, sessions } of eviction.kept) terminal.line(`${key.slice(0, 12)}  kept: ${sessions} other sessions use it`);
      const total = eviction.removed.reduce((sum, { bytes }) => sum + bytes, 0);
      terminal.note(`${sizeWords(total)} removed`);
    });
}
