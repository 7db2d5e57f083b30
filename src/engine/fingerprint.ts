// ENG-1: the one table of what decides whether compiled state still fits, and at which level (abi-spec/engine.md).
import { digestOf } from '../abi/digest.ts';
import type { Digest } from '../abi/digest.ts';
import type { Fingerprint } from './types.ts';

/** From the most portable to the least: what still holds when a field of the level differs is in {@link REMAINS}. */
export const LEVELS = ['source', 'rebuild', 'binary', 'runtime'] as const;
export type Level = (typeof LEVELS)[number];

export interface FieldRule {
  /** `record`: shown, never compared. */
  readonly level: Level | 'record';
  /** Whose field it is: the artifact's directory is named by the model's alone (its file name covers the tokens). */
  readonly of: 'model' | 'prompt';
  /** Absent: equal values. Else: no more than this field of the machine here (null there: no bound). */
  readonly fits?: string;
}

type Value = string | number | boolean | null;

const model = (level: FieldRule['level']): FieldRule => ({ level, of: 'model' });
const prompt = (level: Level, fits?: string): FieldRule => ({ level, of: 'prompt', ...(fits === undefined ? {} : { fits }) });

/** A field that is not here binds at `binary`: what nobody has judged is never waved through. */
export const FIELDS: Readonly<Record<string, FieldRule>> = {
  // The source: what was compiled.
  pack_digest: prompt('source'),
  prompt_format: prompt('source'),
  prompt_digest: prompt('source'),
  // What turns the source into tokens.
  tool_schemas_digest: prompt('rebuild'),
  tokenizer_digest: model('rebuild'),
  vocabulary_digest: model('rebuild'),
  vocabulary_tokens: model('rebuild'),
  chat_template_digest: model('rebuild'),
  renderer: model('rebuild'),
  // What turns tokens into state.
  driver: model('binary'),
  architecture: model('binary'),
  weights_digest: model('binary'),
  quantization: model('binary'),
  lora_digest: model('binary'),
  layers: model('binary'),
  kv_heads: model('binary'),
  key_length: model('binary'),
  value_length: model('binary'),
  rope_type: model('binary'),
  rope_dimensions: model('binary'),
  rope_frequency_base: model('binary'),
  rope_frequency_scale: model('binary'),
  rope_scaling: model('binary'),
  kv_key_type: model('binary'),
  kv_value_type: model('binary'),
  flash_attention: model('binary'),
  sequences: model('binary'),
  sliding_window: model('binary'),
  swa_full_cache: model('binary'),
  state_magic: model('binary'),
  state_version: model('binary'),
  // What this machine must have for it.
  tokens: prompt('runtime', 'context_tokens'),
  state_bytes: prompt('runtime', 'memory_limit_bytes'),
  // State that stays in a server is nowhere else.
  server: model('runtime'),
  // Measured to change no byte of a state, or nothing that a loader must know (rationale in abi-spec/engine.md).
  model: model('record'),
  engine: model('record'),
  engine_build: model('record'),
  cpu: model('record'),
  gpu: model('record'),
  threads: model('record'),
  batch_tokens: model('record'),
  chunk_tokens: model('record'),
  context_tokens: model('record'),
  trained_context_tokens: model('record'),
  memory_limit_bytes: model('record'),
};

export const UNKNOWN_FIELD: FieldRule = { level: 'binary', of: 'model' };

export function ruleOf(field: string): FieldRule {
  return Object.hasOwn(FIELDS, field) ? (FIELDS[field] as FieldRule) : UNKNOWN_FIELD;
}

export interface FieldDifference {
  readonly field: string;
  readonly wanted: Value;
  readonly here: Value;
}

export interface LevelVerdict {
  readonly compatible: boolean;
  readonly fields: readonly FieldDifference[];
  /** What still works; only when not compatible. */
  readonly remains?: string;
}

export type Compatibility = Readonly<Record<Level, LevelVerdict>>;

export const REMAINS: Readonly<Record<Level, string>> = {
  source: 'the pack has moved on: the state of the common token prefix is reused, the rest is evaluated',
  rebuild: 'the source is rendered and tokenized again; state is reused as far as the tokens are the same and the binary level holds',
  binary: 'nothing of the state is used; it is built again from the source',
  runtime: 'the state is intact and fits where the named limits allow it; here it is not loaded',
};

/** `wanted`: what the state was compiled for. `here`: model and prompt as they are now. Each level is judged by its own fields. */
export function compare(wanted: Fingerprint, here: Fingerprint): Compatibility {
  const found: Record<Level, FieldDifference[]> = { source: [], rebuild: [], binary: [], runtime: [] };
  for (const field of fieldsOf(wanted, here)) {
    const rule = ruleOf(field);
    if (rule.level === 'record') continue;
    const want = wanted[field] ?? null;
    const have = (rule.fits === undefined ? here[field] : here[rule.fits]) ?? null;
    const holds = rule.fits === undefined ? want === have : want === null || have === null || Number(want) <= Number(have);
    if (!holds) found[rule.level].push({ field, wanted: want, here: have });
  }
  const verdict = (level: Level): LevelVerdict => {
    const fields = found[level];
    return fields.length === 0 ? { compatible: true, fields } : { compatible: false, fields, remains: REMAINS[level] };
  };
  return { source: verdict('source'), rebuild: verdict('rebuild'), binary: verdict('binary'), runtime: verdict('runtime') };
}

/** In the table's order, then what the table does not know by name. */
function fieldsOf(wanted: Fingerprint, here: Fingerprint): readonly string[] {
  const present = new Set([...Object.keys(wanted), ...Object.keys(here)]);
  const unknown = [...present].filter((field) => !Object.hasOwn(FIELDS, field)).sort();
  return [...Object.keys(FIELDS).filter((field) => present.has(field)), ...unknown];
}

/** Digest of any JSON value with the keys of objects sorted: equal values give equal digests. */
export function canonicalDigest(value: unknown): Digest {
  return digestOf(canonicalJson(value));
}

export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((entry) => canonicalJson(entry === undefined ? null : entry)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value as Readonly<Record<string, unknown>>)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`).join(',')}}`;
}

/** Which artifacts a model may load at all: its own fields at the levels rebuild and binary. Null and absent are one. */
export function binaryDigest(fingerprint: Fingerprint): Digest {
  const binding = Object.entries(fingerprint).filter(([field, value]) => {
    const { level, of } = ruleOf(field);
    return of === 'model' && (level === 'rebuild' || level === 'binary') && value !== null;
  });
  return canonicalDigest(Object.fromEntries(binding));
}

/** What a wanted fingerprint is compared with: the model as it is here (undefined: not known to differ) and the pack of now. */
export function fingerprintHere(
  wanted: Fingerprint,
  here: { readonly model: Fingerprint | undefined; readonly packDigest: string | undefined },
): Fingerprint {
  const ofPrompt = Object.fromEntries(
    Object.entries(wanted).filter(([field]) => here.model === undefined || ruleOf(field).of === 'prompt'),
  );
  return { ...ofPrompt, ...here.model, ...(here.packDigest === undefined ? {} : { pack_digest: here.packDigest }) };
}
