// ctx history: the layers of an image, bottom-up, and which image of its lineage brought each.
import type { Command } from 'commander';

import { historyOf, type ImageHistory } from '../image/history.ts';
import { sizeWords } from './figures.ts';
import { requireNamedImage } from './image-named.ts';
import { examples, type Shell } from './shell.ts';

export function registerHistory(program: Command, shell: Shell): void {
  program
    .command('history')
    .description('show the layers of an image, and which image brought each')
    .argument('<image>', 'NAME[:TAG], or a digest')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx history quilt/review', 'layers bottom-up, then the lineage'],
        ['ctx history quilt/review --json | jq .lineage', 'its ancestors'],
      ),
    )
    .action(async (text: string, options: { json?: boolean }) => {
      const { store, image, key } = await requireNamedImage(shell, text);
      const history = await historyOf(store, image, key);
      if (options.json === true) shell.terminal.json({ image: key, digest: image.descriptor.digest, ...history });
      else for (const line of historyLines(history)) shell.terminal.line(line);
    });
}

/** Pure. */
export function historyLines({ layers, lineage }: ImageHistory): readonly string[] {
  const width = (values: readonly string[], least: number): number => Math.max(least, ...values.map(({ length }) => length));
  const [roles, names] = [
    width(
      layers.map(({ role }) => role),
      4,
    ),
    width(
      layers.map(({ name }) => name),
      5,
    ),
  ];
  return [
    `#   ${'ROLE'.padEnd(roles)}  ${'LAYER'.padEnd(names)}       SIZE  FILES  BROUGHT BY`,
    ...layers.map(
      ({ index, role, name, bytes, files, brought_by: from }) =>
        `${String(index).padEnd(3)} ${role.padEnd(roles)}  ${name.padEnd(names)}  ${sizeWords(bytes).padStart(9)}  ${String(files).padStart(5)}  ${from.reference} ${from.digest.slice(7, 19)}`,
    ),
    'lineage:',
    ...lineage.map(
      ({ reference, digest, created_at: created }) => `  ${digest.slice(7, 19)}  ${reference ?? '-'}  ${created ?? 'not here'}`,
    ),
  ];
}
