// The image side of ctx inspect: manifest, lineage, sources, bindings, what speaks of it, and at which levels it fits what is here.
import { IMAGE_LEVELS, judgeImage, type ImageCompatibility } from '../image/compatibility.ts';
import type { Binding, ImageConfig } from '../image/config.ts';
import { historyOf, type ImageHistory } from '../image/history.ts';
import { joinFiles, sizeOf, stretchesOf } from '../image/layers.ts';
import { FOREIGN, type ImageStore } from '../image/layout-store.ts';
import { MEDIA, type Descriptor, type OciDigest } from '../image/oci.ts';
import { countWords, sizeWords } from './figures.ts';
import { movedMemory } from './image-memory.ts';
import type { NamedImage } from './image-named.ts';
import { runtimeHere } from './runtime-here.ts';
import type { Shell } from './shell.ts';

interface ShownReferrer {
  readonly kind: string;
  readonly digest: OciDigest;
  /** What it speaks of: the image, or compiled state of it. */
  readonly subject: OciDigest;
  readonly foreign: boolean;
}

export interface ImageInspection {
  readonly image: string;
  readonly digest: OciDigest;
  readonly manifest: ImageConfig;
  readonly lineage: ImageHistory['lineage'];
  readonly referrers: readonly ShownReferrer[];
  /** A sentence for each wiki that is no longer what was mounted, or cannot be read. */
  readonly moved: readonly string[];
  readonly compatibility: ImageCompatibility & { readonly reason?: string };
}

export async function inspectImage(shell: Shell, named: NamedImage, json: boolean): Promise<void> {
  const { store, mounted, image, key } = named;
  const { here, reason } = await runtimeHere(shell, mounted);
  const inspection: ImageInspection = {
    image: key,
    digest: image.descriptor.digest,
    manifest: image.config,
    lineage: (await historyOf(store, image, key)).lineage,
    referrers: await referrersOf(store, image.descriptor.digest),
    moved: await movedMemory(mounted, image.config),
    compatibility: { ...judgeImage(image.config, here), ...(reason === undefined ? {} : { reason }) },
  };
  if (json) shell.terminal.json(inspection);
  else for (const line of imageInspection(inspection)) shell.terminal.line(line);
}

const KINDS: Readonly<Record<string, string>> = {
  [MEDIA.compiled]: 'compiled state',
  [MEDIA.signature]: 'signature',
  [MEDIA.provenance]: 'provenance',
  [MEDIA.redaction]: 'redaction report',
};

async function referrersOf(store: ImageStore, image: OciDigest): Promise<readonly ShownReferrer[]> {
  const shown: ShownReferrer[] = [];
  const seen = new Set<OciDigest>([image]);
  for (const subject of seen)
    for (const entry of await store.referrers(subject)) {
      if (seen.has(entry.digest)) continue;
      seen.add(entry.digest);
      shown.push({ kind: kindOf(entry), digest: entry.digest, subject, foreign: entry.annotations?.[FOREIGN] !== undefined });
    }
  return shown;
}

function kindOf({ artifactType }: Descriptor): string {
  return KINDS[artifactType ?? ''] ?? artifactType ?? 'unknown';
}

/** For people. Pure. */
export function imageInspection({ image, digest, manifest, lineage, referrers, moved, compatibility }: ImageInspection): readonly string[] {
  const { source, model, runtime, mounts, policy, rebuild, layers, continuation, branch } = manifest;
  const parts = layers.flatMap((layer) => layer.parts);
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['image', image],
    ['digest', digest],
    ['name', `${manifest.name}:${manifest.version}`],
    ['created', manifest.created_at],
    ['parent', manifest.parent ?? 'none'],
    ['layers', `${layers.map(({ name, role }) => `${name} (${role})`).join(', ')}; ${sizeWords(sizeOf(parts))}`],
    ['continues', continues(continuation)],
    [
      'branch',
      branch === undefined ? undefined : `of ${branch.parent ?? 'unknown'} at message ${branch.divergence.messages}, ${branch.forked_at}`,
    ],
    ['model', `${model.name}; context ${model.context_length ?? 'any'}, ${model.position_encoding}`],
    ['runtime', `${runtime.engine} ${runtime.engine_version}; ${runtime.kv_layout}, ${runtime.quantization}`],
    ['tools', `${mounts.tools.map(({ name }) => name).join(', ') || 'none'} (${manifest.tool_schema_version})`],
    ['memory', bindings(mounts.memory)],
    ['retrieval', bindings(mounts.retrieval)],
    ['policy', policyWords(policy)],
    ['rebuild', `${rebuild.command} (deterministic: ${rebuild.deterministic})`],
  ];
  const row = (digest: OciDigest, size: number, path: string): string =>
    `  ${digest.slice(7, 19)}  ${sizeWords(size).padStart(9)}  ${path}`;
  const files = [
    ...stretchesOf(layers, 'messages').map((part) => row(part.digest, part.size, 'transcript.jsonl')),
    ...stretchesOf(layers, 'events').map((part) => row(part.digest, part.size, 'events.jsonl')),
    ...[...joinFiles(layers)].map(([path, file]) => row(file.digest, file.size, path)),
  ];
  return [
    ...facts.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`),
    ...moved,
    `source: ${source.source_hash}`,
    ...files,
    'lineage:',
    ...lineage.map(
      ({ reference, digest: of, created_at: created }) => `  ${of.slice(7, 19)}  ${reference ?? '-'}  ${created ?? 'not here'}`,
    ),
    ...(referrers.length === 0 ? [] : ['referrers:']),
    ...referrers.map(
      ({ kind, digest: of, subject, foreign }) =>
        `  ${of.slice(7, 19)}  ${kind}${subject === digest ? '' : ` of ${subject.slice(7, 19)}`}${foreign ? ', from elsewhere' : ''}`,
    ),
    `compatibility with ${compatibility.model ?? 'no model'}:${compatibility.reason === undefined ? '' : ` ${compatibility.reason}`}`,
    ...levels(compatibility),
  ];
}

function continues({ messages, events, last_role: role, pending_tool_calls: pending }: ImageConfig['continuation']): string {
  const after = role === null ? '' : `, last ${role}`;
  return `after ${countWords(messages)} messages, ${countWords(events)} events${after}${pending.length === 0 ? '' : `; waits for ${pending.join(', ')}`}`;
}

function bindings(list: readonly Binding[]): string {
  return (
    list.map((binding) => `${binding.name} (${[binding.mode, binding.scope, commitOf(binding)].filter(Boolean).join(', ')})`).join(', ') ||
    'none'
  );
}

function commitOf({ commit }: Binding & { readonly commit?: string | null }): string | undefined {
  return typeof commit === 'string' ? `commit ${commit.slice(0, 12)}` : undefined;
}

function policyWords(policy: ImageConfig['policy']): string {
  const may = (allowed: boolean): string => (allowed ? 'may' : 'may not');
  const redact = policy.redact_on_export.length === 0 ? '' : `; taken out: ${policy.redact_on_export.join(', ')}`;
  const compiled = policy.exportable && policy.allow_compiled_state_export;
  return `source ${may(policy.allow_source_export)} leave, compiled state ${may(compiled)}${redact}`;
}

function levels({ levels: judged }: ImageCompatibility): readonly string[] {
  return IMAGE_LEVELS.flatMap((level) => {
    const { compatible, fields, remains } = judged[level];
    const word = compatible === null ? 'not known' : compatible ? 'compatible' : 'not compatible';
    const reasons = fields
      .filter(({ verdict }) => verdict !== 'not asked')
      .map(({ field, wanted, here, verdict }) => {
        if (verdict === 'fits') return `    ${field}: ${here} fits`;
        return `    ${field}: wants ${wanted}, here ${here ?? 'not known'}`;
      });
    return [`  ${level}: ${word}${remains === undefined ? '' : ` (${remains})`}`, ...reasons];
  });
}
