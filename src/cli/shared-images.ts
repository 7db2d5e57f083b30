// ctx push IMAGE shared/SPACE/image/NAME and ctx pull of it: images between users of one mount (IMG-99). A space is a layout like one's own,
// whose directories say who may read and who may publish there; everything goes through the process of who asks.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { CtxError } from '../abi/errors.ts';
import { isObjectName } from '../abi/names.ts';
import { writeArchive } from '../image/archive.ts';
import { planExport, type ExportOptions, type ExportPlan } from '../image/export.ts';
import { findImage, requireImage } from '../image/image.ts';
import { importArchive, type ImportedImage } from '../image/import.ts';
import { ImageStore } from '../image/layout-store.ts';
import type { Descriptor } from '../image/oci.ts';
import { parseImageReference, tagKey, type ImageReference } from '../image/reference.ts';
import { requireTrust } from '../image/trust.ts';
import { asCtxError, usageError } from './errors.ts';
import { requireImages } from './image-store.ts';
import type { Shell } from './shell.ts';

export interface SharedPlace {
  readonly space: string;
  readonly reference: ImageReference;
}

/** `shared/SPACE/image/NAME[:TAG]`, as it lies below the mount point; undefined: a registry's. */
export function sharedPlace(text: string): SharedPlace | undefined {
  const [, space = '', name = ''] = /^shared\/([^/]+)\/image\/(.+)$/.exec(text) ?? [];
  return isObjectName(space) && name !== '' ? { space, reference: parseImageReference(name) } : undefined;
}

type Leaving = Pick<ExportOptions, 'compiled' | 'redact'>;

/** What leaves is decided as for an export; what arrives is checked as by an import. */
export async function pushShared(
  shell: Shell,
  name: string,
  to: SharedPlace,
  options: Leaving & { readonly json?: boolean },
): Promise<void> {
  const { mounted, store } = await requireImages(shell);
  const { descriptor } = await requireImage(store, name);
  const directory = layoutOf(mounted.root, to.space);
  const target = await reached(to, async () => {
    await mkdir(join(directory, '..'), { recursive: true });
    return ImageStore.open(directory, true);
  });
  const key = tagKey(to.reference);
  const aside = store.aside();
  const held = await store.hold();
  try {
    const plan = await planExport(aside, [{ key, descriptor }], options);
    const [published] = await reached(to, () => importArchive(target, writeArchive(aside, plan), { where: `shared/${to.space}/image` }));
    report(shell, `shared/${to.space}/image/${key}`, published, plan, options.json === true);
  } finally {
    await aside.remove();
    await held.release();
  }
}

export async function pullShared(
  shell: Shell,
  from: SharedPlace,
  as: string | undefined,
  options: Leaving & { readonly json?: boolean },
): Promise<void> {
  const { mounted, store } = await requireImages(shell);
  const source = ImageStore.at(layoutOf(mounted.root, from.space));
  const key = tagKey(as === undefined ? from.reference : parseImageReference(as));
  await reached(from, async () => {
    const place = `shared/${from.space}/image`;
    const descriptor = await findImage(source, tagKey(from.reference));
    if (descriptor === undefined)
      throw new CtxError('image.unknown', 'ENOENT', 'is no image there', {
        where: `${place}/${tagKey(from.reference)}`,
        next: `see: ls ${join(mounted.root, place)}`,
      });
    const plan = await planExport(source.aside(), [{ key, descriptor }], options);
    const trust = (stage: ImageStore, entry: Descriptor): Promise<void> => requireTrust(stage, entry, key);
    const [taken] = await importArchive(store, writeArchive(source, plan), { where: place, trust });
    report(shell, key, taken, plan, options.json === true);
  });
}

function layoutOf(root: string, space: string): string {
  return join(root, `shared/${space}/image/.store`);
}

/** The kernel decides; what it says is told as of the space. */
async function reached<T>({ space }: SharedPlace, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asCtxError(error, `shared/${space}/image`);
  }
}

function report(shell: Shell, key: string, image: ImportedImage | undefined, plan: ExportPlan, json: boolean): void {
  if (image === undefined) throw usageError(`${key} is no image`);
  const [{ redacted } = {}] = plan.images;
  if (json)
    return shell.terminal.json({ image: key, digest: image.digest, ...(redacted === undefined ? {} : { redacted }), kept: plan.reasons });
  for (const reason of plan.reasons) shell.terminal.note(`ctx: ${reason}`);
  for (const [rule, count] of Object.entries(redacted ?? {})) shell.terminal.note(`ctx: ${rule}: ${count} taken out`);
  shell.terminal.line(`${key}@${image.digest}`);
}
