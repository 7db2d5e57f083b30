// ctx images: the images of this user, newest first. Costs one read, however many there are.
import type { Command } from 'commander';

import { REF_NAME } from '../image/layout-store.ts';
import { MEDIA, type Descriptor } from '../image/oci.ts';
import { countWords, sizeWords } from './figures.ts';
import { requireImages } from './image-store.ts';
import { examples, type Shell } from './shell.ts';

export function registerImages(program: Command, shell: Shell): void {
  program
    .command('images')
    .description('list images, newest first')
    .argument('[name]', 'only images whose name begins so')
    .option('--names', 'print NAME:TAG only')
    .option('--json', 'print an array')
    .addHelpText('after', examples(['ctx images', 'all of them'], ['ctx images quilt/', 'those of one project']))
    .action(async (name: string | undefined, options: { names?: boolean; json?: boolean }) => {
      const { store } = await requireImages(shell);
      const rows = (await store.entries())
        .filter((entry) => entry.artifactType === MEDIA.image)
        .flatMap((entry) => rowOf(entry))
        .filter(({ image }) => image.startsWith(name ?? ''))
        .sort((a, b) => (a.created < b.created ? 1 : a.created > b.created ? -1 : a.image < b.image ? -1 : 1));
      const { terminal } = shell;
      if (options.json === true) return terminal.json(rows);
      if (options.names === true) return rows.forEach(({ image }) => terminal.line(image));
      if (rows.length === 0 && name !== undefined) return terminal.note(`no image's name begins with ${name}; see: ctx images`);
      if (rows.length === 0) return terminal.note('no images yet; run: ctx build SESSION --tag NAME[:TAG], or ctx pull, or ctx import');
      const width = Math.max(5, ...rows.map(({ image }) => image.length));
      terminal.line(terminal.style('bold', `${'IMAGE'.padEnd(width)}  DIGEST        LAYERS  MESSAGES       SIZE  CREATED`));
      for (const { image, digest, layers, messages, bytes, created } of rows)
        terminal.line(
          `${image.padEnd(width)}  ${digest.slice(7, 19)}  ${String(layers).padStart(6)}  ${countWords(messages).padStart(8)}  ${sizeWords(bytes).padStart(9)}  ${created}`,
        );
    });
}

interface Row {
  readonly image: string;
  readonly digest: string;
  readonly created: string;
  readonly parent: string | null;
  readonly layers: number;
  readonly messages: number;
  /** Of its layers, those that it shares with others included. */
  readonly bytes: number;
}

function rowOf({ digest, annotations }: Descriptor): readonly Row[] {
  const image = annotations?.[REF_NAME];
  if (image === undefined) return [];
  return [
    {
      image,
      digest,
      created: annotations?.['org.opencontainers.image.created'] ?? '',
      parent: annotations?.['dev.ctxfs.parent'] ?? null,
      layers: Number(annotations?.['dev.ctxfs.layers'] ?? 0),
      messages: Number(annotations?.['dev.ctxfs.messages'] ?? 0),
      bytes: Number(annotations?.['dev.ctxfs.bytes'] ?? 0),
    },
  ];
}
