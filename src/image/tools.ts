// The tools of an instance, as a manifest names them: by name, with the digest of their schema.
import type { ImageConfig } from './config.ts';
import { canonicalBytes, ociDigest } from './oci.ts';

/** context/tools.json holds tool schemas in the shape of one API or another; a file that is none gives no tools. */
export function toolsOf(json: Buffer | undefined): ImageConfig['mounts']['tools'] {
  if (json === undefined) return [];
  try {
    const tools: unknown = JSON.parse(json.toString('utf8'));
    if (!Array.isArray(tools)) return [];
    return tools.flatMap((tool: unknown) => {
      const { name, function: inner } = (tool ?? {}) as { readonly name?: unknown; readonly function?: { readonly name?: unknown } };
      const named = inner?.name ?? name;
      return typeof named === 'string' ? [{ name: named, digest: ociDigest(canonicalBytes(tool)) }] : [];
    });
  } catch {
    return [];
  }
}
