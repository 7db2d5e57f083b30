// The image side of ctx run and ctx resume: an instance is started (or, to resume, the newest one taken), then talked with.
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
