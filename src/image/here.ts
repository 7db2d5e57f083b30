// What a runtime has, in the words of an image's manifest. Pure.
import type { DriverKind, Fingerprint } from '../engine/types.ts';
import type { Here } from './compatibility.ts';
import { MEMORY_API, RETRIEVAL_API, TOOL_SCHEMA_VERSION } from './compose.ts';

export interface ModelHere {
  /** `provider/name` */
  readonly id: string;
  readonly driver: DriverKind;
  /** Tokens. */
  readonly contextTokens: number;
  readonly fingerprint: Fingerprint;
  /** Of its own fields at the levels rebuild and binary. */
  readonly digest: string;
}

/** llama.cpp's numbers of `general.file_type`. */
const FILE_TYPES: Readonly<Record<number, string>> = {
  0: 'f32',
  1: 'f16',
  2: 'q4_0',
  3: 'q4_1',
  7: 'q8_0',
  8: 'q5_0',
  9: 'q5_1',
  10: 'q2_k',
  11: 'q3_k_s',
  12: 'q3_k_m',
  13: 'q3_k_l',
  14: 'q4_k_s',
  15: 'q4_k_m',
  16: 'q5_k_s',
  17: 'q5_k_m',
  18: 'q6_k',
  19: 'iq2_xxs',
  20: 'iq2_xs',
  21: 'q2_k_s',
  22: 'iq3_xs',
  23: 'iq3_xxs',
  24: 'iq1_s',
  25: 'iq4_nl',
  26: 'iq3_s',
  27: 'iq3_m',
  28: 'iq2_s',
  29: 'iq2_m',
  30: 'iq4_xs',
  31: 'iq1_m',
  32: 'bf16',
};

/** One sequence in cells that follow each other: what the llama driver saves. */
const CONTIGUOUS = 'contiguous-v1';

/** `architecture`: of this machine, as Node names it. `safety`: the policy that whoever runs this says it enforces. */
export function hereOf(
  model: ModelHere | undefined,
  machine: { readonly architecture: string; readonly safety: string | undefined },
): Here {
  const always = {
    schema: 'context-image/v1.0',
    memory_api: MEMORY_API,
    retrieval_api: RETRIEVAL_API,
    safety_policy: machine.safety ?? null,
    tool_schema: TOOL_SCHEMA_VERSION,
    architecture: machine.architecture === 'x64' ? 'x86_64' : machine.architecture,
  };
  if (model === undefined) return { model: null, fields: always };
  const { fingerprint, driver } = model;
  const text = (field: string): string | null => (typeof fingerprint[field] === 'string' ? (fingerprint[field] as string) : null);
  return {
    model: model.id,
    fields: {
      ...always,
      tokenizer: text('tokenizer_digest'),
      vocabulary: text('vocabulary_digest'),
      chat_template: text('chat_template_digest'),
      model_family: text('architecture'),
      weights: text('weights_digest'),
      quantization: quantizationOf(fingerprint['quantization']),
      position_encoding: positionOf(fingerprint),
      attention: typeof fingerprint['flash_attention'] === 'boolean' ? (fingerprint['flash_attention'] ? 'flash' : 'standard') : null,
      kv_layout: driver === 'llama' ? CONTIGUOUS : null,
      engine: driver === 'openai' ? null : 'llama.cpp',
      engine_version: text('engine_build'),
      context_length: model.contextTokens,
      fingerprint: model.digest,
    },
  };
}

function quantizationOf(value: Fingerprint[string] | undefined): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' ? (FILE_TYPES[value] ?? `type-${value}`) : null;
}

function positionOf(fingerprint: Fingerprint): string | null {
  if (typeof fingerprint['rope_dimensions'] !== 'number') return null;
  const scaling = /"scaling\.type","([a-z0-9_-]+)"/.exec(String(fingerprint['rope_scaling'] ?? ''))?.[1];
  return scaling === undefined || scaling === 'none' ? 'rope' : `rope-${scaling}`;
}
