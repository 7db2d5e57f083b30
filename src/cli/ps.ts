// ctx ps: instances, and the image, layers and divergence point of each.
import type { Command } from 'commander';

import { agoWords } from './figures.ts';
import { requireImages } from './image-store.ts';
import { instances } from './instance.ts';
import { examples, type Shell } from './shell.ts';

export function registerPs(program: Command, shell: Shell): void {
  program
    .command('ps')
    .description('list instances: sessions that came from an image, newest first')
    .argument('[image]', 'only instances of this image name')
    .option('--json', 'print an array')
    .addHelpText('after', examples(['ctx ps', 'all of them'], ['ctx ps quilt/customer-review', 'those of one image']))
    .action(async (name: string | undefined, options: { json?: boolean }) => {
      const found = (await instances(await requireImages(shell))).filter(
        ({ image }) => name === undefined || image.name === name || `${image.name}:${image.tag}` === name,
      );
      const { terminal } = shell;
      if (options.json === true)
        return terminal.json(found.map(({ updatedMs, ...row }) => ({ ...row, updated: new Date(updatedMs).toISOString() })));
      if (found.length === 0)
        return terminal.note(`no instances${name === undefined ? '' : ` of ${name}`}; run: ctx run ${name ?? 'IMAGE'}`);
      const width = Math.max(8, ...found.map(({ reference }) => reference.length));
      const of = Math.max(5, ...found.map(({ image }) => image.name.length + image.tag.length + 1));
      terminal.line(
        terminal.style('bold', `${'INSTANCE'.padEnd(width)}  ${'IMAGE'.padEnd(of)}  DIGEST        LEFT IT AT  LAYERS  STATE   UPDATED`),
      );
      for (const { reference, image, state, updatedMs } of found)
        terminal.line(
          `${reference.padEnd(width)}  ${`${image.name}:${image.tag}`.padEnd(of)}  ${image.digest.slice(7, 19)}  ${String(image.divergence.messages).padStart(10)}  ${String(image.layers.length).padStart(6)}  ${state.padEnd(6)}  ${agoWords(Date.now() - updatedMs)}`,
        );
    });
}
