// Context layers joined bottom-up: journals are their stretches in order, a file is the topmost of its path (IMG-7).
import type { ContextLayer, LayerFile, LayerPart } from './config.ts';
import { MEDIA, type Descriptor } from './oci.ts';

/** In front of a file's name: what is below it at that name is not there. */
export const WHITEOUT = '.wh.';

const LAYER = 'dev.ctxfs.layer';
const LAYER_ROLE = 'dev.ctxfs.role';

export interface JoinedFile extends LayerFile {
  /** Index of its layer. */
  readonly layer: number;
}

/** By path, sorted by path. Work in proportion to the files and their depth, whatever the layers say. */
export function joinFiles(layers: readonly ContextLayer[]): ReadonlyMap<string, JoinedFile> {
  const joined: JoinedFile[] = [];
  // From the top: what a layer has, or takes away, hides what is at or below that path further down; so does a directory a file.
  const hidden = new Set<string>();
  const directories = new Set<string>();
  for (let layer = layers.length - 1; layer >= 0; layer--) {
    const files = layers[layer]?.files ?? [];
    const seen = files.filter(
      ({ path }) => whiteoutTarget(path) === undefined && !directories.has(path) && !ancestry(path).some((at) => hidden.has(at)),
    );
    joined.push(...seen.map((file) => ({ ...file, layer })));
    for (const { path } of files) hidden.add(whiteoutTarget(path) ?? path);
    // Also of files that are hidden themselves: they took the place of what was below them.
    for (const { path } of files)
      if (whiteoutTarget(path) === undefined) for (const above of ancestry(path).slice(0, -1)) directories.add(above);
  }
  return new Map(joined.map((file) => [file.path, file] as const).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** `a/b/c`: `a`, `a/b` and `a/b/c`. */
function ancestry(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.map((_part, index) => parts.slice(0, index + 1).join('/'));
}

/** The path that a whiteout takes away; undefined for an ordinary file. */
export function whiteoutTarget(path: string): string | undefined {
  const slash = path.lastIndexOf('/') + 1;
  return path.startsWith(WHITEOUT, slash) ? path.slice(0, slash) + path.slice(slash + WHITEOUT.length) : undefined;
}

export function whiteoutOf(path: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return path.slice(0, slash) + WHITEOUT + path.slice(slash);
}

export type Stretches = 'messages' | 'events' | 'order' | 'inputs';

export const JOURNAL_MEDIA: Readonly<Record<Stretches, string>> = {
  messages: MEDIA.messages,
  events: MEDIA.events,
  order: MEDIA.order,
  inputs: MEDIA.inputs,
};

/** The stretches of one journal, bottom-up. */
export function stretchesOf(layers: readonly ContextLayer[], of: Stretches): readonly LayerPart[] {
  return layers.flatMap(({ parts }) => parts.filter(({ mediaType }) => mediaType === JOURNAL_MEDIA[of]));
}

export function sizeOf(parts: readonly LayerPart[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0);
}

/** Layers of the OCI manifest. */
export function layerDescriptors(layers: readonly ContextLayer[]): readonly Descriptor[] {
  return layers.flatMap(({ role, parts }, index) =>
    parts.map(({ mediaType, digest, size }) => ({
      mediaType,
      digest,
      size,
      annotations: { [LAYER]: String(index), [LAYER_ROLE]: role },
    })),
  );
}

/**
 * How many layers of `below` a history still holds whole: each of their stretches is in `history` at the same place. A session
 * that was forked at an earlier line shares only what lies before that line.
 */
export function sharedLayers(below: readonly ContextLayer[], history: Readonly<Record<Stretches, readonly LayerPart[]>>): number {
  const at: Record<Stretches, number> = { messages: 0, events: 0, order: 0, inputs: 0 };
  for (const [index, { parts }] of below.entries()) {
    for (const part of parts) {
      const of = (Object.keys(JOURNAL_MEDIA) as Stretches[]).find((name) => JOURNAL_MEDIA[name] === part.mediaType);
      if (of === undefined) continue;
      if (history[of][at[of]]?.digest !== part.digest) return index;
      at[of]++;
    }
  }
  return below.length;
}
