// A session as an image: what its parent image has is named again, what is new is one layer on top (IMG-30).
import type { Declared } from './bundle.ts';
import { compose } from './compose.ts';
import type { Branch, ContextLayer, ImageConfig, LayerPart, Role } from './config.ts';
import { readLayerFile, storeFiles } from './file-part.ts';
import { writeImage, type Image } from './image.ts';
import { joinFiles, sharedLayers, whiteoutOf, type Stretches } from './layers.ts';
import type { ImageStore } from './layout-store.ts';
import { MEDIA, ociDigest, type OciDigest } from './oci.ts';

/** A session's history as blobs that the layout holds already. */
export interface SealedHistory {
  readonly stretches: Readonly<Record<Stretches, readonly LayerPart[]>>;
  /** Bytes of recorded inputs, by digest. */
  readonly inputs: readonly LayerPart[];
  readonly lines: { readonly messages: number; readonly events: number };
  /** When its newest line came, ms; 0 for an empty session. */
  readonly newestMs: number;
}

export interface Snapshot {
  readonly name: string;
  readonly version: string;
  readonly history: SealedHistory;
  /** Files as the instance has them now, by path. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly parent: Image | undefined;
  readonly parentReference: string | undefined;
  readonly layer: { readonly name: string; readonly role: Role };
  readonly lastRole: string | null;
  readonly pendingToolCalls: readonly string[];
  readonly declared?: Omit<Declared, 'name' | 'version' | 'layers' | 'created_at' | 'parent'>;
  readonly command: string;
  readonly branch?: Branch;
}

/** Writes in proportion to what is new. The store is held by the caller. */
export async function writeSnapshot(store: ImageStore, snapshot: Snapshot): Promise<Image> {
  const { history, parent } = snapshot;
  const kept = parent === undefined ? [] : parent.config.layers.slice(0, sharedLayers(parent.config.layers, history.stretches));
  const layers = [...kept];
  const top = await topLayer(store, kept, { ...snapshot, files: new Map([...(await carried(store, kept, parent)), ...snapshot.files]) });
  if (top.parts.length > 0 || kept.length === 0) layers.push(top);
  const config: ImageConfig = compose({
    name: snapshot.name,
    version: snapshot.version,
    createdAt: new Date(history.newestMs).toISOString(),
    parent:
      parent === undefined || snapshot.parentReference === undefined
        ? undefined
        : { reference: snapshot.parentReference, digest: parent.descriptor.digest, config: parent.config },
    layers,
    continuation: {
      messages: history.lines.messages,
      events: history.lines.events,
      last_role: snapshot.lastRole,
      pending_tool_calls: snapshot.pendingToolCalls,
    },
    declared: snapshot.declared ?? {},
    command: snapshot.command,
    ...(snapshot.branch === undefined ? {} : { branch: { ...snapshot.branch, top_layer: layers.at(-1)?.name ?? null } }),
  });
  return writeImage(store, config);
}

/** Source that an instance does not see, of parent layers whose stretches it no longer has. */
async function carried(store: ImageStore, kept: readonly ContextLayer[], parent: Image | undefined): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>();
  if (parent === undefined || kept.length === parent.config.layers.length) return files;
  const { layers } = parent.config;
  for (const [path, file] of joinFiles(layers)) if (!isOfInstance(path)) files.set(path, await readLayerFile(store, layers, file));
  return files;
}

async function topLayer(store: ImageStore, kept: readonly ContextLayer[], { history, files, layer }: Snapshot): Promise<ContextLayer> {
  const below = joinFiles(kept);
  const changed = [...files]
    .filter(([path, bytes]) => below.get(path)?.digest !== ociDigest(bytes))
    .map(([path, bytes]) => ({ path, bytes }));
  // A file that became a directory, or the other way round, needs no whiteout: what is put there hides what was.
  const gone = [...below.keys()].filter(
    (path) =>
      isOfInstance(path) && !files.has(path) && !changed.some((put) => put.path.startsWith(`${path}/`) || path.startsWith(`${put.path}/`)),
  );
  const stored = await storeFiles(store, [...changed, ...gone.map((path) => ({ path: whiteoutOf(path), bytes: Buffer.alloc(0) }))]);
  const have = new Set<OciDigest>(kept.flatMap(({ parts }) => parts.map(({ digest }) => digest)));
  const fresh = (Object.keys(history.stretches) as Stretches[]).flatMap((of) =>
    history.stretches[of].slice(countIn(kept, history.stretches[of])),
  );
  const inputs = history.inputs.filter(({ digest }) => !have.has(digest)).sort((a, b) => (a.digest < b.digest ? -1 : 1));
  return { name: layer.name, role: layer.role, parts: [...stored.parts, ...fresh, ...inputs], files: stored.files };
}

/** How many of these stretches the layers hold: they are its first ones. */
function countIn(layers: readonly ContextLayer[], stretches: readonly LayerPart[]): number {
  const [first] = stretches;
  if (first === undefined) return 0;
  return layers.reduce((sum, { parts }) => sum + parts.filter(({ mediaType }) => mediaType === first.mediaType).length, 0);
}

/** What an instance sees as its own; the rest of the bundle is carried along untouched. */
export function isOfInstance(path: string): boolean {
  return path.startsWith('context/') || path === 'cwd' || path === 'meta.json';
}

/** Parts that are no stretches and no files: recorded inputs. */
export function inputParts(layers: readonly ContextLayer[]): readonly LayerPart[] {
  return layers.flatMap(({ parts }) => parts.filter(({ mediaType }) => mediaType === MEDIA.input));
}
