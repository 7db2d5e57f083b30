// The image side of ctx run and ctx resume: an instance is started (or, to resume, the newest one taken), then talked with.
import { readdir } from 'node:fs/promises';

import { movedMemory } from './image-memory.ts';
import type { NamedImage } from './image-named.ts';
import { instances, referenceOfTarget, startInstance } from './instance.ts';
import { parseReference, type Target } from './reference.ts';

/** `name`: AGENT/SESSION of a new instance. */
export async function instanceFor(named: NamedImage, name: string | undefined, resume: boolean): Promise<Target> {
  if (resume && name === undefined) {
    const [newest] = (await instances(named)).filter(({ image }) => image.digest === named.image.descriptor.digest);
    if (newest !== undefined) return parseReference(newest.path, named.mounted);
  }
  return startInstance(named, named.image, named.key, name);
}

export function shownInstance(
  { mounted, key }: NamedImage,
  target: Target,
): { readonly instance: string; readonly image: string; readonly directory: string } {
  return { instance: referenceOfTarget(target, mounted.uid), image: key, directory: `${mounted.root}/${target.path}` };
}

/** What whoever starts an instance should know: memory that is no longer what the image was made with, bindings that lead nowhere. */
export async function bindingNotes({ mounted, image, key }: NamedImage, target: Target): Promise<readonly string[]> {
  const notes = await movedMemory(mounted, image.config);
  const there = new Set(await readdir(`${mounted.root}/${target.path}/retrieval`).catch(() => []));
  const lost = image.config.mounts.retrieval
    .filter(({ name }) => !there.has(name))
    .map(({ name, path }) => `retrieval ${name}: ${path ?? 'it'} is not here`);
  return [...notes.map((note) => `${note} (since ${key} was made)`), ...lost];
}
