// A config from layers and what is declared; the defaults of abi-spec/image.md are all here (IMG-8).
import type { Declared } from './bundle.ts';
import { withMode } from './bundle.ts';
import { checkConfig, sourceHash, type Branch, type ContextLayer, type ImageConfig } from './config.ts';
import { joinFiles, stretchesOf } from './layers.ts';
import type { OciDigest } from './oci.ts';
import { checkPolicy } from './policy.ts';

export interface Composition {
  readonly name: string;
  readonly version: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly parent: { readonly reference: string; readonly digest: OciDigest; readonly config: ImageConfig } | undefined;
  readonly layers: readonly ContextLayer[];
  readonly continuation: ImageConfig['continuation'];
  readonly declared: Omit<Declared, 'name' | 'version' | 'layers' | 'created_at' | 'parent'>;
  readonly command: string;
  readonly branch?: Branch;
}

/** Tools as the chat-completions API has them. */
export const TOOL_SCHEMA_VERSION = 'openai-function-v1';
/** What this runtime binds as memory and as retrieval: directories of pages, and of documents, that a session mounts. */
export const MEMORY_API = 'wiki-v1';
export const RETRIEVAL_API = 'directory-v1';
const ANY = 'any';

export function compose(composition: Composition): ImageConfig {
  const { declared, parent, layers } = composition;
  const base = parent?.config;
  const model = { ...base?.model, ...clean(declared.model) };
  const runtime = { ...base?.runtime, ...clean(declared.runtime) };
  const policy = { ...base?.policy, ...clean(declared.policy) };
  const mounts = declared.mounts;
  const memory = mounts?.memory === undefined ? (base?.mounts.memory ?? []) : withMode(mounts.memory);
  const retrieval = mounts?.retrieval === undefined ? (base?.mounts.retrieval ?? []) : withMode(mounts.retrieval);
  const tools = mounts?.tools ?? base?.mounts.tools ?? [];
  const files = joinFiles(layers);
  const has = (path: string): string | null => (files.has(path) ? path : null);
  const names = layers.map(({ name }) => name);
  const config = checkConfig(
    {
      schema: 'context-image/v1.0',
      name: composition.name,
      version: composition.version,
      created_at: composition.createdAt,
      parent: parent?.reference ?? null,
      parent_digest: parent?.digest ?? null,
      source: {
        transcript: stretchesOf(layers, 'messages').length === 0 ? null : 'transcript.jsonl',
        events: stretchesOf(layers, 'events').length === 0 ? null : 'events.jsonl',
        memory_graph: has('memory.yaml'),
        retrieval_config: has('retrieval.yaml'),
        tools: has('tools.yaml'),
        environment: has('environment.yaml'),
        policy_constraints: has('context/policy.yaml'),
        source_hash: sourceHash(layers),
      },
      model: {
        ...model,
        name: model.name ?? ANY,
        weights_hash: digestOrNull(model.weights_hash),
        tokenizer_hash: digestOrNull(model.tokenizer_hash),
        chat_template_hash: digestOrNull(model.chat_template_hash),
        context_length: model.context_length ?? null,
        position_encoding: model.position_encoding ?? ANY,
      },
      runtime: {
        ...runtime,
        engine: runtime.engine ?? ANY,
        engine_version: unfilled(runtime.engine_version) ?? ANY,
        kv_layout: runtime.kv_layout ?? ANY,
        quantization: runtime.quantization ?? ANY,
        compatible_arch: runtime.compatible_arch ?? [],
      },
      compiled_state: {
        kv_cache: declared.compiled_state?.kv_cache ?? 'kv.bin',
        token_prefix: declared.compiled_state?.token_prefix ?? 'tokens.bin',
        prefix_layers: (declared.compiled_state?.prefix_layers ?? names).filter((name) => names.includes(name)),
      },
      tool_schema_version: declared.tool_schema_version ?? base?.tool_schema_version ?? TOOL_SCHEMA_VERSION,
      mounts: { memory, retrieval, tools },
      policy: {
        ...policy,
        exportable: policy.exportable ?? true,
        allow_compiled_state_export: policy.allow_compiled_state_export ?? false,
        allow_source_export: policy.allow_source_export ?? true,
        redact_on_export: policy.redact_on_export ?? [],
      },
      rebuild: {
        command: declared.rebuild?.command ?? composition.command,
        deterministic: declared.rebuild?.deterministic ?? 'partial',
        build_order: names,
        dependencies: declared.rebuild?.dependencies ?? {
          model: [model.name ?? ANY],
          tokenizer: [digestOrNull(model.tokenizer_hash) ?? ANY],
          retrieval: retrieval.map(({ name }) => name),
          memory: memory.map(({ name }) => name),
          tools: tools.map(({ name }) => name),
        },
        parameters: declared.rebuild?.parameters ?? {},
      },
      layers,
      continuation: composition.continuation,
      ...(composition.branch === undefined ? {} : { branch: composition.branch }),
      ...(declared.annotations === undefined ? {} : { annotations: declared.annotations }),
    },
    composition.name,
  );
  checkPolicy(config, composition.name);
  return config;
}

/** Without keys that are undefined, so that they do not hide what the parent says. */
function clean<T extends object>(value: T | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(value ?? {}).filter(([, entry]) => entry !== undefined)) as Partial<T>;
}

/** A placeholder binds nothing. */
function digestOrNull(digest: OciDigest | null | undefined): OciDigest | null {
  return digest === undefined || digest === null || (digest as string) === 'sha256:...' ? null : digest;
}

function unfilled(text: string | undefined): string | undefined {
  return text === '...' ? undefined : text;
}
