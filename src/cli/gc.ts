// ctx gc: remove derived cache as context/gc.policy says; or, of the whole store, compiled state that no session uses and blobs that
// no image names. History is never touched.
import type { Command } from 'commander';

import type { SweepReply } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import { sweepStore } from '../image/gc.ts';
import { ask } from './control-client.ts';
import { sizeWords } from './figures.ts';
import { instances } from './instance.ts';
import { requireImages } from './image-store.ts';
import { requireSession } from './mounted.ts';
import { examples, type Shell } from './shell.ts';

interface Removed {
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

export function registerGc(program: Command, shell: Shell): void {
  program
    .command('gc')
    .description('remove derived cache by context/gc.policy, or what no session and no image uses; history stays')
    .argument('[session]', 'AGENT/SESSION, or a path on the mount; left out: compiled state of the store, and your images')
    .option('-n, --dry-run', 'say what would go, remove nothing')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx gc coder/default --dry-run', 'look first'],
        ['ctx gc coder/default', 'remove'],
        ['ctx gc', 'compiled state that no session uses, blobs that no image names'],
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
    const { mounted, store } = await requireImages(shell);
    const compiled = await sweepCompiled(shell, mounted.root, dryRun);
    const inUse = async (): Promise<string[]> => (await instances({ mounted })).map(({ image }) => image.digest);
    const below = `home/${mounted.uid}/image/.store`;
    const swept = await sweepStore(store, { inUse, dryRun });
    const unfinished = await sweepUnfinished(mounted.root, dryRun);
    return [...compiled, ...unfinished, ...swept.map((one) => ({ ...one, path: `${below}/${one.path}` }))];
  }
  const { path, mounted } = await requireSession(shell, reference);
  return (await ask(mounted.root, { verb: 'gc', session: path, dryRun })) as readonly Removed[];
}

/** Compiled state of sessions belongs to who mounted the store; images, to each user. */
async function sweepCompiled(shell: Shell, root: string, dryRun: boolean): Promise<readonly Removed[]> {
  try {
    return (await ask(root, { verb: 'kv.gc', dryRun })) as readonly Removed[];
  } catch (error) {
    if (!(error instanceof CtxError) || error.code !== 'control.denied') throw error;
    shell.terminal.note('ctx: compiled state of sessions is left to who mounted the store');
    return [];
  }
}

/** Instances that were never whole, and what a daemon that ended was removing. */
async function sweepUnfinished(root: string, dryRun: boolean): Promise<readonly Removed[]> {
  const all: Removed[] = [];
  for (;;) {
    const { removed, more } = (await ask(root, { verb: 'sweep', dryRun })) as SweepReply;
    all.push(...removed);
    if (!more) return all;
  }
}
