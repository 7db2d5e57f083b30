// ctx commit: what an instance has become, as a new image. Writes in proportion to what is new.
import type { Command } from 'commander';

import { tagImage } from '../image/image.ts';
import { parseImageReference, tryImageReference } from '../image/reference.ts';
import { report } from './build.ts';
import { usageError } from './errors.ts';
import { requireImages, sessionNamed } from './image-store.ts';
import { onlyInstance } from './instance.ts';
import { markInstance } from './instance-files.ts';
import { parseReference } from './reference.ts';
import { snapshotSession } from './session-snapshot.ts';
import { examples, type Shell } from './shell.ts';

export function registerCommit(program: Command, shell: Shell): void {
  program
    .command('commit')
    .description('save an instance as a new image; its parent is the image that it came from')
    .argument('<session>', 'the instance; or the name of the new image, when its name has one instance')
    .argument('[image]', 'NAME[:TAG] of the new image')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx commit quilt/customer-review-alt:v2', 'the instance of that branch, as its version v2'],
        ['ctx commit customer-review/latest quilt/customer-review:v3', 'this session, as that image'],
      ),
    )
    .action(async (first: string, second: string | undefined, options: { json?: boolean }) => {
      const images = await requireImages(shell);
      const as = parseImageReference(second ?? first);
      if (as.digest !== undefined) throw usageError('a digest names what is there already', 'give NAME[:TAG]');
      if (second === undefined && (await sessionNamed(images.mounted, first)) !== undefined)
        throw usageError(`${first} is a session, and the image needs a name`, `say it: ctx commit ${first} NAME:TAG`);
      const target =
        second !== undefined
          ? parseReference(first, images.mounted)
          : parseReference(`${(await onlyInstance(images, (tryImageReference(first) ?? as).name)).path}`, images.mounted);
      const hold = await images.store.hold();
      const started = performance.now();
      try {
        const built = await snapshotSession(images, target, { as, command: 'ctx commit' });
        const moved = await tagImage(images.store, built.image, built.key);
        await markInstance(images.mounted.root, target.path, built);
        report(shell, built, [moved], performance.now() - started, options.json === true);
      } finally {
        await hold.release();
      }
    });
}
