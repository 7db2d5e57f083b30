// IMG-83: who made an image, when, from which sources, with which engine: SLSA provenance v1 about its manifest.
import type { ImageConfig } from './config.ts';
import type { ImageStore } from './layout-store.ts';
import { MEDIA, type Descriptor } from './oci.ts';
import { addAbout, envelopeBytes, statementBytes, type Signer, type Statement } from './sign.ts';

export const PROVENANCE_PREDICATE = 'https://slsa.dev/provenance/v1';
const BUILD_TYPE = 'urn:ctxfs:build:v1';

export interface BuildFacts {
  /** Who ran it: a user, a job. */
  readonly by: string;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** Version of ctx. */
  readonly version: string;
  /** Engine that is at hand, where one is. */
  readonly engine?: string;
}

/** Signed where there is a key, else a bare statement. */
export async function addProvenance(
  store: ImageStore,
  image: { readonly descriptor: Descriptor; readonly config: ImageConfig },
  facts: BuildFacts,
  signer?: Signer,
): Promise<Descriptor> {
  const { descriptor, config } = image;
  const statement = provenance(descriptor, config, facts);
  const layer =
    signer === undefined
      ? { mediaType: MEDIA.statement, bytes: statementBytes(statement) }
      : { mediaType: MEDIA.envelope, bytes: envelopeBytes(statement, [signer]) };
  return addAbout(store, descriptor, MEDIA.provenance, layer);
}

function provenance({ digest }: Descriptor, config: ImageConfig, facts: BuildFacts): Statement {
  const sources = config.layers.flatMap((layer) =>
    layer.parts.map((part) => ({ name: `${layer.name} ${part.mediaType}`, digest: digestSet(part.digest) })),
  );
  const memory = config.mounts.memory.flatMap(({ name, digest: mounted }) =>
    mounted ? [{ name: `memory ${name}`, digest: digestSet(mounted) }] : [],
  );
  const parent = config.parent_digest ? [{ name: config.parent ?? 'parent', digest: digestSet(config.parent_digest) }] : [];
  return {
    subject: digest,
    subjectName: config.name,
    predicateType: PROVENANCE_PREDICATE,
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: { command: config.rebuild.command, name: config.name, version: config.version },
        internalParameters: {
          source_hash: config.source.source_hash,
          model: config.model,
          runtime: config.runtime,
          engine: facts.engine ?? null,
        },
        resolvedDependencies: [...parent, ...sources, ...memory],
      },
      runDetails: {
        builder: { id: `urn:ctxfs:builder:${encodeURIComponent(facts.by)}`, version: { ctxfs: facts.version } },
        metadata: { startedOn: facts.startedAt.toISOString(), finishedOn: facts.finishedAt.toISOString() },
      },
    },
  };
}

function digestSet(digest: string): { readonly sha256: string } {
  return { sha256: digest.slice('sha256:'.length) };
}
