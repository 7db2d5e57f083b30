// ctx diff: two images, two sessions, or an image and a session (what has changed since the last run). Told, never merged.
import type { Command } from 'commander';

import { isOfInstance } from '../image/snapshot.ts';
import type { JournalDiff } from '../image/transcript-diff.ts';
import { DIFF_PARTS, diffSides, type DiffPart, type DiffSide, type ImageDiff, type Recorded } from '../image/diff.ts';
import { diffLines } from './diff-lines.ts';
import { asBegun, imageSide, isInitial, sessionSide } from './diff-side.ts';
import { resolveName } from './image-store.ts';
import { instanceOf } from './instance-files.ts';
import { referenceOf } from './reference.ts';
import { examples, type Shell } from './shell.ts';

type Options = { readonly [part in DiffPart]?: boolean } & { readonly json?: boolean };

export function registerDiff(program: Command, shell: Shell): void {
  program
    .command('diff')
    .description('compare images or sessions by source, manifest, memory and transcript')
    .argument('<a>', 'an image or a session')
    .argument('<b>', 'an image or a session')
    .option('--source', 'files only')
    .option('--manifest', 'what the images declare')
    .option('--memory', 'what they bind as memory and retrieval')
    .option('--transcript', 'messages and events from where they part')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx diff quilt/review quilt/review-alt', 'everything'],
        ['ctx diff quilt/review:1 review/1 --transcript', 'what an instance has said since its image'],
      ),
    )
    .action(async (a: string, b: string, options: Options) => {
      const wanted = DIFF_PARTS.filter((part) => options[part] === true);
      const parts = wanted.length === 0 ? DIFF_PARTS : wanted;
      const [one, other] = [await sideOf(shell, a), await sideOf(shell, b)];
      const [left, right] = await alike(one.side, other.side);
      const diff: ImageDiff = await diffSides(left, right, parts, recordedBy(one, other));
      if (options.json === true) shell.terminal.json({ a: left.name, b: right.name, ...diff, ...transcriptJson(diff) });
      else for (const line of diffLines(left.name, right.name, diff, shell.terminal)) shell.terminal.line(line);
    });
}

function transcriptJson({ transcript }: ImageDiff): Record<string, unknown> {
  if (transcript === undefined) return {};
  const shown = ({ commonBytes, ...rest }: JournalDiff): unknown => ({ ...rest, common_bytes: commonBytes });
  return { transcript: { messages: shown(transcript.messages), events: shown(transcript.events) } };
}

interface Side {
  readonly side: DiffSide;
  /** Of the image itself, or of the image that the session came from. */
  readonly digest: string | undefined;
}

async function sideOf(shell: Shell, text: string): Promise<Side> {
  const named = await resolveName(shell, text);
  if (named.kind === 'image') return { side: imageSide(named), digest: named.image.descriptor.digest };
  const came = await instanceOf(named.directory);
  return { side: await sessionSide(referenceOf(named.target.session, named.mounted.uid), named.directory), digest: came?.digest };
}

/** A session has of an image what an instance sees of it: its documents and other sources are not compared with it. */
async function alike(a: DiffSide, b: DiffSide): Promise<readonly [DiffSide, DiffSide]> {
  if ((a.config === undefined) === (b.config === undefined)) return [a, b];
  const seen = (side: DiffSide, other: DiffSide): DiffSide => ({
    ...side,
    files: new Map(
      [...side.files].filter(
        ([path, file]) => isOfInstance(path) && path !== 'meta.json' && path !== 'cwd' && (other.files.has(path) || !isInitial(path, file)),
      ),
    ),
  });
  const [left, right] = [await asBegun(a), await asBegun(b)];
  return [seen(left, right), seen(right, left)];
}

/** An instance begins with the whole history of its image. */
function recordedBy(a: Side, b: Side): Recorded {
  const image = a.side.config === undefined ? b : a;
  if (a.digest === undefined || a.digest !== b.digest || image.side.config === undefined) return { messages: 0, events: 0 };
  return { messages: image.side.messages.bytes, events: image.side.events.bytes };
}
