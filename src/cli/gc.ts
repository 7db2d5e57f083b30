// ctx gc: remove derived cache as context/gc.policy says, or compiled state that no session uses. History is never touched.
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { sizeWords } from './figures.ts';
import { requireMount, requireSession } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

interface Removed {
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

export function registerGc(program: Command, shell: Shell): void {
  program
    .command('gc')
    .description('remove derived cache by context/gc.policy, or compiled state that no session uses; history stays')
    .argument('[session]', 'AGENT/SESSION, or a path on the mount; left out: compiled state of the whole store')
    .option('-n, --dry-run', 'say what would go, remove nothing')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx gc coder/default --dry-run', 'look first'],
        ['ctx gc coder/default', 'remove'],
        ['ctx gc', 'compiled state that no session uses'],
      ),
    )
    .action(async (reference: string | undefined, options: { dryRun?: boolean; json?: boolean }) => {
      const dryRun = options.dryRun === true;
      const removed = await collect(shell, reference, dryRun);
      const { terminal } = shell;
      if (options.json === true) return terminal.json(removed);
      for (const { path: file, bytes, reason } of removed) terminal.line(`${file}  ${sizeWords(bytes)}  ${reason}`);
      const total = removed.reduce((sum, { bytes }) => sum + bytes, 0);
      terminal.note(`${removed.length} files, ${sizeWords(total)} ${dryRun ? 'would be removed' : 'removed'}`);
    });
}

async function collect(shell: Shell, reference: string | undefined, dryRun: boolean): Promise<readonly Removed[]> {
  if (reference === undefined) {
    const { root } = await requireMount(shell);
    return (await ask(root, { verb: 'kv.gc', dryRun })) as readonly Removed[];
  }
  const { path, mounted } = await requireSession(shell, reference);
  return (await ask(mounted.root, { verb: 'gc', session: path, dryRun })) as readonly Removed[];
}
