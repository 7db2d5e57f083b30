// The image side of ctx rm: takes names away. What nothing names any more goes with ctx gc.
import { REF_NAME } from '../image/layout-store.ts';
import type { Descriptor } from '../image/oci.ts';
import { confirm } from './confirm.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import type { NamedEntry } from './image-named.ts';
import { instances } from './instance.ts';
import type { Shell } from './shell.ts';

export interface RemoveOptions {
  readonly force?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** IMG-19: a name goes; a digest only when it has one name, or all of them are meant (`--force`). */
export async function removeImage(shell: Shell, named: NamedEntry, options: RemoveOptions): Promise<void> {
  const { store, mounted, descriptor, key } = named;
  const { digest } = descriptor;
  const names = namesOf(await store.entries(), digest);
  const byDigest = key === digest;
  if (byDigest && names.length > 1 && options.force !== true)
    throw usageError(`${key} has the names ${names.join(', ')}`, 'name one of them, or take all of them away with --force');
  const going = byDigest ? names : [key];
  const what = going.length === 0 ? digest : going.join(', ');
  if (options.yes !== true && !(await confirm(shell, `take the name ${what} away?`))) {
    shell.terminal.note('nothing was removed');
    return shell.exit(EXIT.failed);
  }
  await store.change((entries) =>
    entries.filter(({ digest: of, annotations }) => !(of === digest && (byDigest || annotations?.[REF_NAME] === key))),
  );
  const stays = namesOf(await store.entries(), digest);
  const from = (await instances({ mounted })).filter((instance) => instance.image.digest === digest).map(({ reference }) => reference);
  const { terminal } = shell;
  if (options.json === true) return terminal.json({ removed: going, digest, names: stays, instances: from });
  terminal.note(`removed ${what}`);
  if (stays.length > 0) terminal.note(`the image stays: ${stays.slice(0, 5).join(', ')}${more(stays)} names it`);
  else if (from.length > 0) terminal.note(`the image stays: ${from.slice(0, 5).join(', ')}${more(from)} came from it`);
  else terminal.note('nothing names the image any more; ctx gc removes what only it used');
}

function namesOf(entries: readonly Descriptor[], digest: string): readonly string[] {
  return entries.flatMap((entry) => {
    const name = entry.annotations?.[REF_NAME];
    return entry.digest === digest && name !== undefined ? [name] : [];
  });
}

function more(names: readonly string[]): string {
  return names.length > 5 ? ` and ${names.length - 5} more` : '';
}
