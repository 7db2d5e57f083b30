import { sourceHash, type ContextLayer, type ImageConfig } from '../../src/image/config.ts';
import { MEDIA, ociDigest } from '../../src/image/oci.ts';

/** A whole config; its layers name blobs that are nowhere. */
export function imageConfig(change: Partial<ImageConfig> = {}): ImageConfig {
  const layers: readonly ContextLayer[] = change.layers ?? [
    {
      name: 'base-assistant',
      role: 'base',
      parts: [{ mediaType: MEDIA.messages, digest: ociDigest('line\n'), size: 5 }],
      files: [{ path: 'context/pinned/a.md', size: 1, digest: ociDigest('a') }],
    },
  ];
  return {
    schema: 'context-image/v1.0',
    name: 'quilt/customer-review',
    version: '2026.05.22',
    created_at: '2026-05-22T09:30:00-07:00',
    parent: null,
    source: {
      transcript: 'transcript.jsonl',
      memory_graph: null,
      retrieval_config: null,
      tools: null,
      source_hash: sourceHash(layers),
    },
    model: {
      name: 'any',
      weights_hash: null,
      tokenizer_hash: null,
      chat_template_hash: null,
      context_length: null,
      position_encoding: 'any',
    },
    runtime: { engine: 'any', engine_version: 'any', kv_layout: 'any', quantization: 'any', compatible_arch: [] },
    compiled_state: { kv_cache: 'kv.bin', token_prefix: 'tokens.bin', prefix_layers: layers.map(({ name }) => name) },
    tool_schema_version: 'openai-function-v1',
    mounts: { memory: [], retrieval: [], tools: [] },
    policy: { exportable: true, allow_compiled_state_export: false, allow_source_export: true, redact_on_export: [] },
    rebuild: {
      command: 'ctx build .',
      deterministic: 'partial',
      build_order: layers.map(({ name }) => name),
      dependencies: { model: [], tokenizer: [], retrieval: [], memory: [], tools: [] },
      parameters: {},
    },
    layers,
    continuation: { messages: 1, events: 0, last_role: 'user', pending_tool_calls: [] },
    ...change,
  };
}
