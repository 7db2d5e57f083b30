// ctx build: an image from a directory with a context.yaml, or from a session.
import type { Command } from 'commander';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { tagImage, type MovedTag } from '../image/image.ts';
import { parseImageReference, tagKey } from '../image/reference.ts';
import { buildDirectory, type Built } from '../image/build-directory.ts';
import { usageError } from './errors.ts';
import { snapshotSession } from './session-snapshot.ts';
import { requireImages } from './image-store.ts';
import { parseReference } from './reference.ts';
import { examples, type Shell } from './shell.ts';

interface BuildOptions {
  readonly tag?: string;
  readonly json?: boolean;
}

export function registerBuild(program: Command, shell: Shell): void {
  program
    .command('build')
    .description('make an image of a session, or of a directory with a context.yaml')
    .argument('[source]', 'a session, or a directory', '.')
    .option('-t, --tag <name>', 'NAME[:TAG] of the image')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx build .', 'in a directory with context.yaml, or in a session on the mount'],
        ['ctx build coder/default --tag quilt/review:2026.05', 'what a session knows, as an image'],
      ),
    )
    .action(async (source: string, options: BuildOptions) => {
      const images = await requireImages(shell);
      const as = options.tag === undefined ? undefined : parseImageReference(options.tag);
      if (as?.digest !== undefined) throw usageError('--tag takes a name, not a digest');
      const hold = await images.store.hold();
      const started = performance.now();
      try {
        const session = await sessionOf(source, images.mounted);
        const built: Built =
          session === undefined
            ? await buildDirectory(images.store, { directory: resolve(source), as, epochSeconds: epochOf(shell.env) })
            : await snapshotSession(images, session, { as, command: 'ctx build .' });
        const moved = [await tagImage(images.store, built.image, built.key)];
        // Without a tag of its own this is the latest of its name too: what `ctx run NAME` then takes.
        const latest = tagKey({ ...parseImageReference(built.key), tag: undefined });
        if (as?.tag === undefined && latest !== built.key) moved.push(await tagImage(images.store, built.image, latest));
        report(shell, built, moved, performance.now() - started, options.json === true);
      } finally {
        await hold.release();
      }
    });
}

/** Undefined when the source is a directory outside the mount. */
async function sessionOf(
  source: string,
  mounted: Parameters<typeof parseReference>[1],
): Promise<ReturnType<typeof parseReference> | undefined> {
  try {
    return parseReference(source, mounted);
  } catch (error) {
    if ((await stat(resolve(source)).catch(() => undefined))?.isDirectory() === true) return undefined;
    if (!(error instanceof CtxError) || error.code !== 'cli.reference') throw error;
    throw new CtxError('cli.no_source', 'ENOENT', 'is no directory, and names no session', {
      where: source,
      next: 'name a directory with a context.yaml, or a session (see: ctx ls)',
    });
  }
}

/** IMG-115: a name that was another image's is told, with what it was. */
export function report(
  shell: Shell,
  { image, key, warnings }: Built,
  tagged: readonly (MovedTag | undefined)[],
  elapsedMs: number,
  json: boolean,
): void {
  const { terminal } = shell;
  const moved = tagged.filter((one) => one !== undefined);
  for (const warning of warnings) terminal.note(`ctx: ${warning}`);
  for (const { name, from } of moved) terminal.note(`ctx: moved ${name} from ${from}`);
  const { config, descriptor } = image;
  if (json)
    return terminal.json({
      image: key,
      digest: descriptor.digest,
      source_hash: config.source.source_hash,
      parent: config.parent,
      layers: config.layers.length,
      messages: config.continuation.messages,
      moved,
      elapsed_ms: Math.round(elapsedMs * 100) / 100,
    });
  terminal.line(`${key}@${descriptor.digest}`);
}

/** SOURCE_DATE_EPOCH (reproducible-builds.org). */
export function epochOf(env: NodeJS.ProcessEnv): number | undefined {
  const text = env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return undefined;
  const seconds = Number(text);
  if (!Number.isSafeInteger(seconds) || seconds < 0) throw usageError(`SOURCE_DATE_EPOCH=${text} is not a number of seconds`);
  return seconds;
}
