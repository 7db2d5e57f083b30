// The image side of ctx evict: what was compiled of it goes; the image and its digest stay as they are.
import { sweepStore } from '../image/gc.ts';
import { SUBJECT, type ImageStore } from '../image/layout-store.ts';
import { MEDIA, type Descriptor, type OciDigest } from '../image/oci.ts';
import { sizeWords } from './figures.ts';
import type { NamedImage } from './image-named.ts';
import { instances } from './instance.ts';
import type { Shell } from './shell.ts';

/** IMG-20. */
export async function evictImage(shell: Shell, { store, mounted, image, key }: NamedImage, json: boolean): Promise<void> {
  const { digest } = image.descriptor;
  const going = await letGo(store, digest);
  const only = new Set<string>();
  for (const entry of going) {
    const manifest = await store.manifest(entry).catch(() => undefined);
    for (const blob of [entry, ...(manifest === undefined ? [] : [manifest.config, ...manifest.layers])]) only.add(blob.digest);
  }
  const inUse = async (): Promise<string[]> => (await instances({ mounted })).map((instance) => instance.image.digest);
  const removed = only.size === 0 ? [] : await sweepStore(store, { inUse, dryRun: false, only });
  const bytes = removed.reduce((sum, one) => sum + one.bytes, 0);
  const compiled = going.filter(({ artifactType }) => artifactType === MEDIA.compiled).map((entry) => entry.digest);
  if (json) return shell.terminal.json({ image: key, digest, evicted: compiled, removed });
  for (const one of compiled) shell.terminal.line(`${one}  compiled state of ${key}`);
  shell.terminal.note(
    compiled.length === 0 ? 'nothing is compiled of it' : `${sizeWords(bytes)} removed; the image is ${digest} as before`,
  );
}

/** Compiled state of the image, and what speaks of that (its signatures); taken out of the index. */
async function letGo(store: ImageStore, image: OciDigest): Promise<readonly Descriptor[]> {
  let going: readonly Descriptor[] = [];
  await store.change((entries) => {
    const about = (subjects: ReadonlySet<string>): readonly Descriptor[] =>
      entries.filter(({ annotations }) => subjects.has(annotations?.[SUBJECT] ?? ''));
    going = about(new Set([image])).filter(({ artifactType }) => artifactType === MEDIA.compiled);
    for (let fresh = going; fresh.length > 0;) {
      fresh = about(new Set(fresh.map(({ digest }) => digest))).filter((entry) => !going.includes(entry));
      going = [...going, ...fresh];
    }
    return entries.filter((entry) => !going.includes(entry));
  });
  return going;
}
