// The artifacts of a store, by artifactType: which config and layers each has, and whether it is about another.
import { invalid, MEDIA, type Manifest } from './oci.ts';

interface Kind {
  readonly name: string;
  readonly config: readonly string[];
  readonly layers: readonly string[];
  /** A referrer names its subject; an image has none. */
  readonly referrer: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  [MEDIA.image]: {
    name: 'image',
    config: [MEDIA.config],
    layers: [MEDIA.files, MEDIA.messages, MEDIA.events, MEDIA.order, MEDIA.inputs, MEDIA.input],
    referrer: false,
  },
  [MEDIA.compiled]: { name: 'compiled state', config: [MEDIA.compiledConfig], layers: [MEDIA.kvState, MEDIA.kvTokens], referrer: true },
  [MEDIA.signature]: { name: 'signature', config: [MEDIA.empty], layers: [MEDIA.envelope], referrer: true },
  [MEDIA.provenance]: { name: 'provenance', config: [MEDIA.empty], layers: [MEDIA.envelope, MEDIA.statement], referrer: true },
  [MEDIA.redaction]: { name: 'redaction report', config: [MEDIA.empty], layers: [MEDIA.redactionReport], referrer: true },
};

/** IMG-73: what a manifest says it is must be known, and made as that is made. */
export function checkKind(manifest: Manifest, where: string): string {
  const kind = Object.hasOwn(KINDS, manifest.artifactType) ? KINDS[manifest.artifactType] : undefined;
  if (kind === undefined) throw invalid(where, `has the artifactType ${JSON.stringify(manifest.artifactType)}, which is not known`);
  if (!kind.config.includes(manifest.config.mediaType))
    throw invalid(where, `is a ${kind.name} with a config ${JSON.stringify(manifest.config.mediaType)}`);
  const layer = manifest.layers.find(({ mediaType }) => !kind.layers.includes(mediaType));
  if (layer !== undefined) throw invalid(where, `is a ${kind.name} with a layer ${JSON.stringify(layer.mediaType)}`);
  if (kind.referrer !== (manifest.subject !== undefined))
    throw invalid(where, kind.referrer ? `is a ${kind.name} without a subject` : 'is an image with a subject');
  return kind.name;
}
