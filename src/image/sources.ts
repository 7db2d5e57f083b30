// Whether an image can be rebuilt from its source: every recorded hash against what is there (IMG-33).
import type { ImageConfig } from './config.ts';
import { sourceHash } from './config.ts';
import { tableOf } from './file-part.ts';
import type { Image } from './image.ts';
import { layerDescriptors } from './layers.ts';
import type { ImageStore } from './layout-store.ts';
import { MEDIA } from './oci.ts';

/** One sentence for each hash that no longer matches; reads every blob of the source once. */
export async function checkSources(store: ImageStore, { config, manifest }: Image): Promise<readonly string[]> {
  const found: string[] = [];
  const hash = sourceHash(config.layers);
  if (hash !== config.source.source_hash)
    found.push(`source_hash: the manifest records ${config.source.source_hash}, its layers are ${hash}`);
  if (JSON.stringify(layerDescriptors(config.layers)) !== JSON.stringify(manifest.layers))
    found.push('layers: the OCI manifest names other blobs than the config');
  for (const layer of config.layers) found.push(...(await checkLayer(store, layer)));
  return found;
}

async function checkLayer(store: ImageStore, layer: ImageConfig['layers'][number]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const part of layer.parts) {
    try {
      if (part.mediaType === MEDIA.files) {
        const table = await tableOf(store, part);
        const recorded = new Map(layer.files.map(({ path, digest }) => [path, digest]));
        for (const { path, digest } of table) {
          if (recorded.get(path) !== digest)
            found.push(`${layer.name}: ${path} is ${digest}, and ${recorded.get(path) ?? 'not there'} in the manifest`);
          recorded.delete(path);
        }
        for (const path of recorded.keys()) found.push(`${layer.name}: ${path} is in the manifest and not in the layer`);
      } else for await (const piece of store.stream(part)) void piece;
    } catch (error) {
      found.push(`${layer.name}: ${part.digest} ${(error as Error).message}`);
    }
  }
  return found;
}
