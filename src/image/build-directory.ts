// `ctx build DIR`: a directory with a context.yaml becomes an image. The same files give the same digest on every machine.
import { basename, join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import {
  CONTEXT_YAML,
  checkEnvironment,
  filesBelow,
  joinBindings,
  memoryOf,
  openInside,
  readDeclared,
  readInside,
  retrievalOf,
  toolsJson,
  type BundleFile,
  type Declared,
  type DeclaredLayer,
} from './bundle.ts';
import { compose } from './compose.ts';
import type { ContextLayer, ImageConfig, LayerPart } from './config.ts';
import { storeFiles } from './file-part.ts';
import { requireImage, writeImage, type Image } from './image.ts';
import type { ImageStore } from './layout-store.ts';
import { whiteoutOf, whiteoutTarget } from './layers.ts';
import { checkedLines, type LineCount } from './line-file.ts';
import { MEDIA } from './oci.ts';
import { standingOf } from './continuation.ts';
import { DEFAULT_TAG, parseImageReference, type ImageReference } from './reference.ts';

export interface DirectoryBuild {
  readonly directory: string;
  /** NAME[:TAG] instead of what context.yaml says. */
  readonly as: ImageReference | undefined;
  /** SOURCE_DATE_EPOCH, seconds. */
  readonly epochSeconds: number | undefined;
}

export interface Built {
  readonly image: Image;
  readonly key: string;
  /** What was declared and is not so: recorded hashes that no longer match, names of layers that are nowhere. */
  readonly warnings: readonly string[];
}

const PINNED = 'context/pinned/';

/** The store is held by the caller, who tags the result. */
export async function buildDirectory(store: ImageStore, build: DirectoryBuild): Promise<Built> {
  const { directory } = build;
  const declared = await readDeclared(directory);
  const place = join(directory, CONTEXT_YAML);
  const own = parseImageReference(declared.name, place);
  const name = build.as?.name ?? own.name;
  const version = build.as?.tag ?? (declared.version === undefined ? undefined : String(declared.version)) ?? own.tag ?? DEFAULT_TAG;
  parseImageReference(`${name}:${version}`, place);
  const parent = await parentOf(store, declared);
  const collected = await collectLayers(store, directory, declared, parent?.config);
  const layers = [...(parent?.config.layers ?? []), ...collected.layers];
  const before = parent?.config.continuation;
  const config = compose({
    name,
    version,
    createdAt: createdAt(declared, build.epochSeconds, collected.messages.newest ?? parent?.config.created_at),
    parent:
      parent === undefined ? undefined : { reference: declared.parent as string, digest: parent.descriptor.digest, config: parent.config },
    layers,
    continuation: continuationOf(collected, before),
    declared: {
      ...declared,
      mounts: { ...declared.mounts, ...collected.mounts },
      ...(collected.toolVersion === undefined ? {} : { tool_schema_version: collected.toolVersion }),
    },
    command: 'ctx build .',
  });
  const image = await writeImage(store, config);
  return { image, key: `${name}:${version}`, warnings: [...collected.warnings, ...warningsOf(declared, config)] };
}

async function parentOf(store: ImageStore, declared: Declared): Promise<Image | undefined> {
  if (declared.parent === undefined || declared.parent === null) return undefined;
  return requireImage(store, declared.parent);
}

interface Collected {
  readonly layers: readonly ContextLayer[];
  readonly messages: LineCount;
  readonly events: LineCount;
  readonly mounts: NonNullable<Declared['mounts']>;
  readonly toolVersion: string | undefined;
  readonly warnings: readonly string[];
}

async function collectLayers(store: ImageStore, directory: string, declared: Declared, below: ImageConfig | undefined): Promise<Collected> {
  const count = (): LineCount => ({ lines: 0, newest: undefined, tail: Buffer.alloc(0) });
  const [messages, events] = [count(), count()];
  const own = await bundleFiles(directory, declared);
  const named = declared.layers ?? [];
  // What belongs to no layer by name is the top one's.
  const plan: readonly DeclaredLayer[] = named.length > 0 ? named : [{ name: basename(declared.name).replace(/:.*/, ''), role: 'project' }];
  const layers: ContextLayer[] = [];
  for (const [index, layer] of plan.entries()) {
    const top = index === plan.length - 1;
    const files = [...(await layerFiles(directory, layer, (below?.layers.length ?? 0) + index)), ...(top ? own.files : [])];
    const parts: LayerPart[] = [];
    const transcript = layer.transcript ?? (top ? (declared.source?.transcript ?? undefined) : undefined);
    if (transcript !== undefined) parts.push(...(await stretch(store, directory, transcript, 'messages', messages)));
    const log = top ? (declared.source?.events ?? undefined) : undefined;
    if (log !== undefined) parts.push(...(await stretch(store, directory, log, 'events', events)));
    const stored = await storeFiles(store, withoutDoubles(directory, files, layer.remove ?? []));
    layers.push({ name: layer.name, role: layer.role ?? 'project', parts: [...stored.parts, ...parts], files: stored.files });
  }
  return { layers, messages, events, mounts: own.mounts, toolVersion: own.toolVersion, warnings: own.warnings };
}

async function stretch(
  store: ImageStore,
  directory: string,
  path: string,
  journal: 'messages' | 'events',
  count: LineCount,
): Promise<readonly LayerPart[]> {
  const written = await store.put(checkedLines(await openInside(directory, path), journal, count));
  return written.size === 0 ? [] : [{ mediaType: MEDIA[journal], ...written }];
}

/** `files` of a layer, or else everything below `layers/NAME/`. Where no path in the image is said, a file is pinned. */
async function layerFiles(directory: string, layer: DeclaredLayer, index: number): Promise<readonly BundleFile[]> {
  const pinned = (path: string): string => `${PINNED}${String(index).padStart(2, '0')}-${layer.name}-${path.replaceAll('/', '-')}`;
  const root = `layers/${layer.name}`;
  const pairs: readonly (readonly [string, string])[] =
    layer.files === undefined
      ? (await filesBelow(directory, root)).map((path) => [path, pinned(path.slice(root.length + 1))] as const)
      : Array.isArray(layer.files)
        ? (layer.files as readonly string[]).map((path) => [path, path.startsWith('context/') ? path : pinned(path)] as const)
        : Object.entries(layer.files as Readonly<Record<string, string>>);
  return Promise.all(pairs.map(async ([from, path]) => ({ path, bytes: await readInside(directory, from) })));
}

async function bundleFiles(
  directory: string,
  { source, mounts }: Declared,
): Promise<{
  readonly files: readonly BundleFile[];
  readonly mounts: NonNullable<Declared['mounts']>;
  readonly toolVersion: string | undefined;
  readonly warnings: readonly string[];
}> {
  const files: BundleFile[] = [];
  const warnings: string[] = [];
  const found: { -readonly [K in keyof NonNullable<Declared['mounts']>]: NonNullable<Declared['mounts']>[K] } = {};
  let toolVersion: string | undefined;
  const take = async (from: string | null | undefined, path: string): Promise<Buffer | undefined> => {
    if (from === null || from === undefined) return undefined;
    const bytes = await readInside(directory, from);
    files.push({ path, bytes });
    return bytes;
  };
  for (const path of await filesBelow(directory, 'context')) await take(path, path);
  const memory = await take(source?.memory_graph, 'memory.yaml');
  if (memory !== undefined) found.memory = joinBindings(mounts?.memory, memoryOf(memory, 'memory.yaml'));
  const retrieval = await take(source?.retrieval_config, 'retrieval.yaml');
  if (retrieval !== undefined) found.retrieval = joinBindings(mounts?.retrieval, retrievalOf(retrieval, 'retrieval.yaml'));
  const environment = await take(source?.environment, 'environment.yaml');
  if (environment !== undefined) checkEnvironment(environment, 'environment.yaml');
  await take(source?.policy_constraints, 'context/policy.yaml');
  const tools = await take(source?.tools, 'tools.yaml');
  if (tools !== undefined) {
    const { names, json, version } = toolsJson(tools, 'tools.yaml');
    files.push({ path: 'context/tools.json', bytes: json });
    if (mounts?.tools === undefined) found.tools = names.map((name) => ({ name }));
    for (const { name } of mounts?.tools ?? [])
      if (!names.includes(name)) warnings.push(`mounts.tools names ${name}, and ${source?.tools} has no such tool`);
    toolVersion = version;
  }
  for (const path of source?.documents ?? []) {
    const below = await filesBelow(directory, path);
    for (const file of below.length > 0 ? below : [path]) await take(file, `documents/${file}`);
  }
  return { files, mounts: found, toolVersion, warnings };
}

function withoutDoubles(directory: string, files: readonly BundleFile[], remove: readonly string[]): readonly BundleFile[] {
  const all = [...files, ...remove.map((path) => ({ path: whiteoutOf(path), bytes: Buffer.alloc(0) }))];
  const mark = files.find(({ path }) => whiteoutTarget(path) !== undefined);
  if (mark !== undefined)
    throw new CtxError(
      'image.source_name',
      'EINVAL',
      `has ${mark.path}, and a name that begins with .wh. takes a file of a lower layer away`,
      {
        where: `${directory}/${CONTEXT_YAML}`,
        next: 'rename the file; what is to go is said under remove',
      },
    );
  const seen = new Set<string>();
  for (const { path } of all) {
    if (seen.has(path))
      throw new CtxError('image.double_file', 'EINVAL', `has two files for ${path} in one layer`, {
        where: `${directory}/${CONTEXT_YAML}`,
        next: 'name one of them, or put them in two layers',
      });
    seen.add(path);
  }
  return all;
}

function continuationOf({ messages, events }: Collected, before: ImageConfig['continuation'] | undefined): ImageConfig['continuation'] {
  const standing = messages.lines === 0 ? undefined : standingOf(messages.tail);
  return {
    messages: (before?.messages ?? 0) + messages.lines,
    events: (before?.events ?? 0) + events.lines,
    last_role: standing?.lastRole ?? before?.last_role ?? null,
    pending_tool_calls: standing?.pendingToolCalls ?? before?.pending_tool_calls ?? [],
  };
}

function createdAt(declared: Declared, epochSeconds: number | undefined, newest: string | undefined): string {
  if (declared.created_at !== undefined) return declared.created_at;
  if (epochSeconds !== undefined) return new Date(epochSeconds * 1000).toISOString();
  return newest ?? '1970-01-01T00:00:00Z';
}

function warningsOf(declared: Declared, config: ImageConfig): readonly string[] {
  const recorded: string | null | undefined = declared.source?.source_hash;
  const warnings: string[] = [];
  if (recorded !== undefined && recorded !== null && recorded !== 'sha256:...' && recorded !== config.source.source_hash)
    warnings.push(`${CONTEXT_YAML} records source_hash ${recorded}, and the sources are ${config.source.source_hash}`);
  for (const name of declared.compiled_state?.prefix_layers ?? [])
    if (!config.layers.some((layer) => layer.name === name)) warnings.push(`prefix_layers names ${name}, and there is no such layer`);
  return warnings;
}
