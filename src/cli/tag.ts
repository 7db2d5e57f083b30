// ctx tag: another name for an image. Nothing is copied.
import type { Command } from 'commander';

import { tagImage } from '../image/image.ts';
import { parseImageReference, tagKey } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { requireNamedImage } from './image-named.ts';
import { requireImages } from './image-store.ts';
import { examples, type Shell } from './shell.ts';

export function registerTag(program: Command, shell: Shell): void {
  program
    .command('tag')
    .description('give an image another name; nothing is copied')
    .argument('<image>', 'NAME[:TAG], or a digest')
    .argument('<name>', 'NAME[:TAG]; what had that name keeps its others')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx tag quilt/review:2026.05 quilt/review', 'what `ctx run quilt/review` takes from now on'],
        ['ctx tag sha256:1f0c6a2b quilt/review:found', 'an image that has lost its name'],
      ),
    )
    .action(async (source: string, name: string, options: { json?: boolean }) => {
      const reference = parseImageReference(name);
      if (reference.digest !== undefined) throw usageError(`${name} has a digest`, 'give a name; the digest is that of the image');
      const key = tagKey(reference);
      // Held from the look to the tag: gc must not come in between.
      const hold = await (await requireImages(shell)).store.hold();
      try {
        const { store, image } = await requireNamedImage(shell, source);
        const replaces = (await tagImage(store, image, key))?.from ?? null;
        if (options.json === true) return shell.terminal.json({ image: key, digest: image.descriptor.digest, replaces });
        shell.terminal.line(`${key}@${image.descriptor.digest}`);
        if (replaces !== null) shell.terminal.note(`ctx: moved ${key} from ${replaces}`);
      } finally {
        await hold.release();
      }
    });
}
