// Which compiled state of an image may be loaded: what was compiled on this machine (trust.ts adds what a trusted key signed).
import { compiledEntries, MADE_HERE } from './compiled.ts';
import type { ImageStore } from './layout-store.ts';
import type { Descriptor } from './oci.ts';

/** Newest last. */
export async function usableCompiled(store: ImageStore, image: Descriptor): Promise<readonly Descriptor[]> {
  return (await compiledEntries(store, image.digest)).filter(({ annotations }) => annotations?.[MADE_HERE] === '1');
}
