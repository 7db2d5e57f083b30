// `prefix_layers` as boundaries: how far into a pack each prefix layer reaches. Layers are pinned in their order, and pinned
// files are packed first and in name order, so images that share these layers share these leading tokens, and what is compiled of them.
import type { ImageConfig } from './config.ts';
import { joinFiles } from './layers.ts';

interface PackItems {
  readonly items: readonly { readonly kind: string; readonly source: string; readonly tokens: number }[];
}

/** Cumulative tokens, as the pack counts them; it ends at the first item that is of no prefix layer. */
export function prefixTokens(config: ImageConfig, pack: PackItems): readonly { readonly layer: string; readonly pack_tokens: number }[] {
  const files = joinFiles(config.layers);
  const wanted = config.compiled_state.prefix_layers;
  const boundaries = new Map<string, number>();
  let tokens = 0;
  let reached = 0;
  for (const item of pack.items) {
    const layer = config.layers[files.get(item.source)?.layer ?? -1]?.name;
    const at = layer === undefined ? -1 : wanted.indexOf(layer);
    if (layer === undefined || at < reached) break;
    reached = at;
    tokens += item.tokens;
    boundaries.set(layer, tokens);
  }
  return [...boundaries].map(([layer, pack_tokens]) => ({ layer, pack_tokens }));
}
