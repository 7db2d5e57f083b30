// IMG-52: an artifact that does not say what it was made from, how to make it again and where it may run is an opaque blob.
import { CtxError } from '../abi/errors.ts';
import { isOciDigest, MEDIA, type Manifest } from './oci.ts';
import type { ImageConfig } from './config.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Throws `image.opaque` naming what is missing. `config` is undefined where it was not read yet. */
export function refuseOpaque(manifest: Manifest, config: unknown, where: string): void {
  const missing = [...missingOfManifest(manifest), ...(config === undefined ? [] : missingOfConfig(config))];
  if (missing.length === 0) return;
  throw new CtxError('image.opaque', 'EINVAL', `is an opaque blob: it has no ${missing.join(', no ')}`, {
    where,
    next: 'build it with ctx build',
  });
}

function missingOfManifest({ artifactType, config }: Manifest): readonly string[] {
  const missing: string[] = [];
  if (artifactType !== MEDIA.image) missing.push(`artifactType ${MEDIA.image} (it is ${JSON.stringify(artifactType.slice(0, 100))})`);
  if (config.mediaType !== MEDIA.config) missing.push(`config of type ${MEDIA.config}`);
  return missing;
}

function missingOfConfig(config: unknown): readonly string[] {
  const { schema, source, model, runtime, rebuild } = fieldsOf(config);
  const missing: string[] = [];
  if (schema !== 'context-image/v1.0') missing.push('schema (context-image/v1.0)');
  if (!isOciDigest(fieldsOf(source)['source_hash'])) missing.push('source (source.source_hash)');
  if (Object.keys(fieldsOf(rebuild)).length === 0) missing.push('provenance (rebuild)');
  const compatibility = [
    ['model', model],
    ['runtime', runtime],
  ].filter(([, value]) => Object.keys(fieldsOf(value)).length === 0);
  if (compatibility.length > 0) missing.push(`compatibility metadata (${compatibility.map(([name]) => String(name)).join(', ')})`);
  return missing;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

/** Throws `image.opaque` when the config names parts of layers that the manifest does not carry. */
export function requireCarried(manifest: Manifest, config: ImageConfig, where: string): void {
  const carried = new Map(manifest.layers.map((layer) => [layer.digest, layer]));
  for (const { name, parts } of config.layers)
    for (const { digest, size, mediaType } of parts) {
      const layer = carried.get(digest);
      if (layer?.size === size && layer.mediaType === mediaType) continue;
      throw new CtxError('image.opaque', 'EINVAL', `does not carry ${digest} of its layer ${JSON.stringify(name)}`, {
        where,
        next: 'get it again from where it was built',
      });
    }
}
