// The manifest of the specification (000, section 2): the config blob of an image, checked against its published schema.
import { checkAgainst } from './checked.ts';
import { canonicalBytes, MAX_CONFIG_BYTES, ociDigest, parseBounded } from './oci.ts';
import type { OciDigest } from './oci.ts';

export const ROLES = ['base', 'organization', 'team', 'project', 'customer', 'task', 'incident', 'personal', 'continuation'] as const;
export type Role = (typeof ROLES)[number];

/** A blob of a layer. */
export interface LayerPart {
  readonly mediaType: string;
  readonly digest: OciDigest;
  readonly size: number;
  /** Records of an order log, lines of recorded inputs. */
  readonly count?: number;
}

export interface LayerFile {
  /** Of the instance (`context/…`, `cwd`) or of the source bundle. */
  readonly path: string;
  readonly size: number;
  readonly digest: OciDigest;
  /** Where its bytes begin in the layer's tar. */
  readonly offset?: number;
}

export interface ContextLayer {
  readonly name: string;
  readonly role: Role;
  readonly parts: readonly LayerPart[];
  readonly files: readonly LayerFile[];
}

export interface Binding {
  readonly name: string;
  readonly mode: 'read-only' | 'read-write' | 'ephemeral';
  readonly persistence?: 'persistent' | 'ephemeral';
  readonly location?: 'local' | 'remote';
  readonly scope?: 'user' | 'project' | 'organization';
  readonly path?: string;
  /** Of what was mounted when the image was made. */
  readonly digest?: OciDigest | null;
}

export interface MemoryBinding extends Binding {
  /** Of a wiki in git. */
  readonly commit?: string | null;
  readonly pages?: Readonly<Record<string, OciDigest>>;
  readonly share?: number;
}

export interface ImagePolicy {
  readonly exportable: boolean;
  readonly allow_compiled_state_export: boolean;
  readonly allow_source_export: boolean;
  readonly redact_on_export: readonly ('secrets' | 'credentials' | 'private_documents')[];
  readonly redact_patterns?: readonly string[];
  readonly private_documents?: readonly string[];
  readonly require_signatures?: { readonly keys: readonly string[]; readonly threshold?: number };
  readonly safety?: string;
}

export interface Branch {
  readonly parent: string | null;
  readonly parent_digest: OciDigest | null;
  readonly forked_at: string;
  /** Parts that the parent has too. */
  readonly inherited_layers: readonly OciDigest[];
  readonly top_layer: string | null;
  readonly divergence: { readonly messages: number; readonly events: number };
  readonly memory_write_policy: 'shared' | 'read-only' | 'ephemeral';
}

export interface ImageConfig {
  readonly schema: 'context-image/v1.0';
  readonly name: string;
  readonly version: string;
  /** RFC 3339. Follows from the sources, or is given. */
  readonly created_at: string;
  readonly parent: string | null;
  readonly parent_digest?: OciDigest | null;
  readonly source: {
    readonly transcript: string | null;
    readonly events?: string | null;
    readonly memory_graph: string | null;
    readonly retrieval_config: string | null;
    readonly tools: string | null;
    readonly environment?: string | null;
    readonly policy_constraints?: string | null;
    /** Of what the layers hold ({@link sourceHash}). */
    readonly source_hash: OciDigest;
  };
  /** The declared target; null binds nothing. What really compiled stands in the compiled manifest. */
  readonly model: {
    readonly name: string;
    readonly family?: string | null;
    readonly weights_hash: OciDigest | null;
    readonly tokenizer_hash: OciDigest | null;
    readonly vocabulary_hash?: OciDigest | null;
    readonly chat_template_hash: OciDigest | null;
    /** Tokens. */
    readonly context_length: number | null;
    readonly position_encoding: string;
  };
  readonly runtime: {
    readonly engine: string;
    readonly engine_version: string;
    readonly kv_layout: string;
    readonly quantization: string;
    readonly compatible_arch: readonly string[];
    readonly attention?: string;
    readonly fingerprint?: OciDigest | null;
    readonly memory_api?: string;
    readonly retrieval_api?: string;
  };
  readonly compiled_state: { readonly kv_cache: string; readonly token_prefix: string; readonly prefix_layers: readonly string[] };
  readonly tool_schema_version: string;
  readonly mounts: {
    readonly memory: readonly MemoryBinding[];
    readonly retrieval: readonly Binding[];
    readonly tools: readonly { readonly name: string; readonly digest?: OciDigest | null }[];
  };
  readonly policy: ImagePolicy;
  readonly rebuild: {
    readonly command: string;
    readonly deterministic: 'full' | 'partial' | 'none';
    readonly build_order: readonly string[];
    readonly dependencies: Readonly<Record<'model' | 'tokenizer' | 'retrieval' | 'memory' | 'tools', readonly string[]>>;
    readonly parameters: Readonly<Record<string, string | number | boolean | null>>;
  };
  /** Bottom-up. */
  readonly layers: readonly ContextLayer[];
  /** Where an instance goes on. */
  readonly continuation: {
    readonly messages: number;
    readonly events: number;
    readonly last_role: string | null;
    readonly pending_tool_calls: readonly string[];
  };
  readonly branch?: Branch;
  readonly redacted?: { readonly rules: Readonly<Record<string, number>>; readonly count: number };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Throws `image.config` naming the field, and the file or blob it is in. */
export function checkConfig(value: unknown, where: string): ImageConfig {
  checkAgainst('image-config', value, where);
  return value as ImageConfig;
}

export function parseConfig(bytes: Uint8Array, where: string): ImageConfig {
  return checkConfig(parseBounded(bytes, where, MAX_CONFIG_BYTES), where);
}

/** Of the sources alone: what the layers hold, without names of layers and whatever is declared. */
export function sourceHash(layers: readonly ContextLayer[]): OciDigest {
  return ociDigest(
    canonicalBytes(
      layers.map(({ parts, files }) => ({
        parts: parts.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
        files: files.map(({ path, digest, size }) => ({ path, digest, size })),
      })),
    ),
  );
}
