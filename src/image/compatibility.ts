// IMG-23: what an image asks of a runtime against what is here, field by field, each at its level (specification 000, section 7).
import type { ImageConfig } from './config.ts';

/** From the most portable to the least. */
export const IMAGE_LEVELS = ['source', 'rebuild', 'binary', 'runtime'] as const;
export type CompatibilityLevel = (typeof IMAGE_LEVELS)[number];

type Value = string | number | null;

/** A runtime's own values; null where it does not know, or has none. */
export type HereField =
  | 'schema'
  | 'safety_policy'
  | 'memory_api'
  | 'retrieval_api'
  | 'tokenizer'
  | 'vocabulary'
  | 'chat_template'
  | 'tool_schema'
  | 'model_family'
  | 'weights'
  | 'quantization'
  | 'position_encoding'
  | 'attention'
  | 'kv_layout'
  | 'engine'
  | 'engine_version'
  | 'context_length'
  | 'architecture'
  | 'fingerprint';

export interface Here {
  /** `provider/name`; null: no model, so no field of one can be judged. */
  readonly model: string | null;
  readonly fields: Readonly<Partial<Record<HereField, Value>>>;
}

interface FieldRule {
  readonly level: CompatibilityLevel;
  /** Null, `any` and an empty list bind nothing. */
  readonly wanted: (config: ImageConfig) => Value | readonly string[] | undefined;
  readonly fits: (wanted: Value, here: Value) => boolean;
}

const same = (wanted: Value, here: Value): boolean => plain(wanted) === plain(here);
/** Digests are written `sha256:` and `sha256-`; names of formats in either case. */
const plain = (value: Value): string =>
  String(value)
    .toLowerCase()
    .replace(/^sha256-/, 'sha256:');
/** `rope` is any of its kinds; `rope-yarn` is itself. */
const kindOf = (wanted: Value, here: Value): boolean => same(wanted, here) || plain(here).startsWith(`${plain(wanted)}-`);
const atLeast = (wanted: Value, here: Value): boolean => Number(here) >= Number(wanted);

const rule = (level: CompatibilityLevel, wanted: FieldRule['wanted'], fits: FieldRule['fits'] = same): FieldRule => ({
  level,
  wanted,
  fits,
});

export const COMPATIBILITY_FIELDS: Readonly<Record<HereField, FieldRule>> = {
  // What the conversation itself stands on, with any model.
  schema: rule('source', ({ schema }) => schema),
  memory_api: rule('source', ({ runtime }) => runtime.memory_api),
  retrieval_api: rule('source', ({ runtime }) => runtime.retrieval_api),
  safety_policy: rule('source', ({ policy }) => policy.safety),
  // What turns it into tokens.
  tokenizer: rule('rebuild', ({ model }) => model.tokenizer_hash),
  vocabulary: rule('rebuild', ({ model }) => model.vocabulary_hash),
  chat_template: rule('rebuild', ({ model }) => model.chat_template_hash),
  tool_schema: rule('rebuild', (config) => config.tool_schema_version),
  // What turns tokens into state.
  model_family: rule('binary', ({ model }) => model.family),
  weights: rule('binary', ({ model }) => model.weights_hash),
  quantization: rule('binary', ({ runtime }) => runtime.quantization),
  position_encoding: rule('binary', ({ model }) => model.position_encoding, kindOf),
  attention: rule('binary', ({ runtime }) => runtime.attention),
  kv_layout: rule('binary', ({ runtime }) => runtime.kv_layout),
  engine: rule('binary', ({ runtime }) => runtime.engine),
  engine_version: rule('binary', ({ runtime }) => runtime.engine_version),
  // What this machine must have for it.
  context_length: rule('runtime', ({ model }) => model.context_length, atLeast),
  architecture: rule('runtime', ({ runtime }) => runtime.compatible_arch),
  fingerprint: rule('runtime', ({ runtime }) => runtime.fingerprint),
};

export interface FieldVerdict {
  readonly field: HereField;
  readonly wanted: Value;
  readonly here: Value;
  /** `unknown`: it is asked for, and nobody can tell here. */
  readonly verdict: 'fits' | 'differs' | 'unknown' | 'not asked';
}

export interface LevelVerdict {
  /** Null: something that is asked for is not known here. */
  readonly compatible: boolean | null;
  readonly fields: readonly FieldVerdict[];
  /** What still works; only when not compatible. */
  readonly remains?: string;
}

export interface ImageCompatibility {
  readonly model: string | null;
  readonly levels: Readonly<Record<CompatibilityLevel, LevelVerdict>>;
}

/** Without a model only the source can be judged. */
const NO_MODEL = 'no model is chosen here: the image is read, run as a session, packed, compared and exported, and nothing is compiled';

const REMAINS: Readonly<Record<CompatibilityLevel, string>> = {
  source: 'the image can be read, compared and exported; an instance would not have what it was made with',
  rebuild: 'the conversation goes on with the model that is here; it is rendered and tokenized anew, so the prompt is another one',
  binary: 'no compiled state of the image is used; it is compiled again from the source',
  runtime: 'the source goes on here, within the limits that are here; a live state of the other machine does not',
};

/** Pure. Each level is judged by its own fields; one that does not hold says what does. */
export function judgeImage(config: ImageConfig, here: Here): ImageCompatibility {
  const verdicts = (Object.keys(COMPATIBILITY_FIELDS) as HereField[]).map((field) => judgeField(config, here, field));
  const judge = (level: CompatibilityLevel): LevelVerdict => {
    const fields = verdicts.filter(({ field }) => COMPATIBILITY_FIELDS[field].level === level);
    const differs = fields.some(({ verdict }) => verdict === 'differs');
    const noModel = here.model === null && level !== 'source';
    if (!differs && !noModel && !fields.some(({ verdict }) => verdict === 'unknown')) return { compatible: true, fields };
    return { compatible: differs ? false : null, fields, remains: noModel ? NO_MODEL : REMAINS[level] };
  };
  const levels = { source: judge('source'), rebuild: judge('rebuild'), binary: judge('binary'), runtime: judge('runtime') };
  return { model: here.model, levels };
}

function judgeField(config: ImageConfig, here: Here, field: HereField): FieldVerdict {
  const { wanted: wants, fits } = COMPATIBILITY_FIELDS[field];
  const asked = bound(wants(config));
  const have = here.fields[field] ?? null;
  const wanted = asked === undefined ? null : asked.join(', ');
  if (asked === undefined) return { field, wanted: null, here: have, verdict: 'not asked' };
  if (have === null) return { field, wanted, here: null, verdict: 'unknown' };
  return { field, wanted, here: have, verdict: asked.some((value) => fits(value, have)) ? 'fits' : 'differs' };
}

/** Undefined: binds nothing. */
function bound(value: Value | readonly string[] | undefined): readonly Value[] | undefined {
  const values = (Array.isArray(value) ? (value as readonly string[]) : [value as Value | undefined]).filter(
    (entry): entry is string | number => entry !== null && entry !== undefined && entry !== '' && entry !== 'any',
  );
  return values.length === 0 ? undefined : values;
}

/** What an image asks for, one field a line: level, field, value (`any`: nothing). */
export function compatibilityText(config: ImageConfig): string {
  return IMAGE_LEVELS.flatMap((level) =>
    (Object.entries(COMPATIBILITY_FIELDS) as [HereField, FieldRule][])
      .filter(([, entry]) => entry.level === level)
      .map(([field, { wanted }]) => `${level} ${field} ${bound(wanted(config))?.join(',') ?? 'any'}\n`),
  ).join('');
}
