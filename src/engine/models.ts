// models.json: which models this store may use, and which one compiles (abi-spec/engine.md). Keys are never in it: only the
// name of the environment variable that holds one.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { isObjectName } from '../abi/names.ts';
import type { DriverKind, KvType, ModelConfig } from './types.ts';

export interface Models {
  /** `provider/name` of the one that compiles; undefined: none. */
  readonly default: string | undefined;
  /** By `provider/name`, in that order. */
  readonly models: readonly ModelConfig[];
}

export const NO_MODELS: Models = { default: undefined, models: [] };

const DRIVERS: readonly DriverKind[] = ['llama', 'llama-server', 'openai'];
export const KV_TYPES: readonly KvType[] = ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0'];
const MAX_CONTEXT_TOKENS = 1 << 24;
const ENVIRONMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

export function modelId(model: { readonly provider: string; readonly name: string }): string {
  return `${model.provider}/${model.name}`;
}

/** A full id, or a name that only one provider has. */
export function findModel(models: Models, reference: string): ModelConfig {
  const found = models.models.filter((model) => modelId(model) === reference || model.name === reference);
  const exact = found.find((model) => modelId(model) === reference) ?? found[0];
  if (exact === undefined || (found.length > 1 && modelId(exact) !== reference)) {
    const what = exact === undefined ? 'is not configured' : `is the name of several: ${found.map(modelId).join(', ')}`;
    throw new CtxError('engine.model_unknown', 'ENOENT', `the model ${what}`, { where: reference, next: 'ctx model ls names them' });
  }
  return exact;
}

/** MOD-1: replaces one of the same id. The first model becomes the default. */
export function addModel(models: Models, model: ModelConfig, makeDefault = false): Models {
  const valid = parseModel(modelJson(model), modelId(model));
  const id = modelId(valid);
  const rest = models.models.filter((other) => modelId(other) !== id);
  const sorted = [...rest, valid].sort((a, b) => (modelId(a) < modelId(b) ? -1 : 1));
  return { default: makeDefault || models.default === undefined ? id : models.default, models: sorted };
}

/** Without its model the default is none: which one compiles is a choice, never a guess. */
export function removeModel(models: Models, reference: string): Models {
  const id = modelId(findModel(models, reference));
  return { default: models.default === id ? undefined : models.default, models: models.models.filter((model) => modelId(model) !== id) };
}

export function useModel(models: Models, reference: string): Models {
  return { ...models, default: modelId(findModel(models, reference)) };
}

export function defaultModel(models: Models): ModelConfig | undefined {
  return models.models.find((model) => modelId(model) === models.default);
}

/** NO_MODELS when there is no file; throws engine.models when it is not valid. */
export function readModels(path: string): Models {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NO_MODELS;
    throw error;
  }
  return parseModels(text, path);
}

/** Whole or not at all. */
export function writeModels(path: string, models: Models): void {
  const temporary = `${path}.new`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(temporary, formatModels(models), { mode: 0o600, flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

export function formatModels(models: Models): string {
  const body = { version: 1, default: models.default ?? null, models: models.models.map(modelJson) };
  return `${JSON.stringify(body, null, 2)}\n`;
}

export function parseModels(text: string, where = 'models.json'): Models {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw fault(where, `is not JSON: ${(cause as Error).message}`);
  }
  const body = object(value, where, 'is not an object');
  refuseUnknown(body, ['version', 'default', 'models'], where);
  if (body['version'] !== 1) throw fault(where, 'has a version that this program does not know');
  if (!Array.isArray(body['models'])) throw fault(where, 'has no list of models');
  let models = NO_MODELS;
  for (const [index, entry] of (body['models'] as readonly unknown[]).entries()) {
    const model = parseModel(entry, `${where}: model ${index}`);
    if (models.models.some((other) => modelId(other) === modelId(model))) throw fault(where, `names ${modelId(model)} twice`);
    models = addModel(models, model);
  }
  const chosen = body['default'] ?? undefined;
  if (chosen !== undefined && !models.models.some((model) => modelId(model) === chosen))
    throw fault(where, `its default ${JSON.stringify(chosen)} is not one of its models`);
  return { ...models, default: chosen as string | undefined };
}

/** How one model stands in models.json, and in `/ctx/model/<provider>/<name>.d/config.json`. */
export function modelJson(model: ModelConfig): Readonly<Record<string, string | number | boolean>> {
  const entries = Object.entries(FIELDS).map(([json, { key }]) => [json, model[key]] as const);
  return Object.fromEntries(entries.filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined));
}

/** The inverse of {@link modelJson}. Throws engine.models (EINVAL) naming the field. */
export function parseModel(value: unknown, where = 'model'): ModelConfig {
  const body = object(value, where, 'is not an object');
  refuseUnknown(body, Object.keys(FIELDS), where);
  const model: Record<string, unknown> = {};
  for (const [json, { key, check }] of Object.entries(FIELDS)) {
    const given = body[json];
    if (given === undefined || given === null) continue;
    const wrong = check(given);
    if (wrong !== undefined) throw fault(where, `${json} ${wrong}`);
    model[key] = given;
  }
  const parsed = model as Partial<ModelConfig>;
  const lacking = (['provider', 'name', 'driver', parsed.driver === 'llama' ? 'path' : 'url'] as const).find(
    (key) => parsed[key] === undefined,
  );
  if (lacking !== undefined) throw fault(where, `${lacking} is missing`);
  if (parsed.driver === 'llama' && parsed.url !== undefined) throw fault(where, 'url is for drivers that speak to a server');
  if (parsed.driver !== 'llama' && parsed.path !== undefined) throw fault(where, 'path is for the driver llama');
  return parsed as ModelConfig;
}

type Check = (value: unknown) => string | undefined;

const name: Check = (value) =>
  typeof value === 'string' && isObjectName(value) ? undefined : 'is not a name (letters, digits and . _ + -, at most 64)';
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'is not true or false');
const line: Check = (value) =>
  typeof value === 'string' && value !== '' && value.length <= 1024 && !/[\u0000-\u001f]/.test(value)
    ? undefined
    : 'is not one line of text';
const oneOf =
  (known: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && known.includes(value) ? undefined : `is not one of ${known.join(', ')}`;
const integer =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `is not an integer from ${least} to ${most}`;

const path: Check = (value) =>
  typeof value === 'string' && isAbsolute(value) && !value.includes('\0') ? undefined : 'is not an absolute path';

/** MOD-2: an address is no place for a secret, and is shown to everyone. */
const url: Check = (value) => {
  const parsed = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) return 'is not an http or https address';
  if (parsed.username !== '' || parsed.password !== '') return 'holds a user name or password; name an environment variable in api_key_env';
  return parsed.search === '' && parsed.hash === '' ? undefined : 'has a query or fragment';
};

const FIELDS: Readonly<Record<string, { readonly key: keyof ModelConfig; readonly check: Check }>> = {
  provider: { key: 'provider', check: name },
  name: { key: 'name', check: name },
  driver: { key: 'driver', check: oneOf(DRIVERS) },
  path: { key: 'path', check: path },
  url: { key: 'url', check: url },
  model: { key: 'model', check: line },
  api_key_env: {
    key: 'apiKeyEnv',
    check: (value) =>
      typeof value === 'string' && ENVIRONMENT_NAME.test(value)
        ? undefined
        : 'is not the name of an environment variable (the key itself is never stored)',
  },
  context_tokens: { key: 'contextTokens', check: integer(64, MAX_CONTEXT_TOKENS) },
  threads: { key: 'threads', check: integer(1, 1024) },
  gpu: { key: 'gpu', check: flag },
  kv_key_type: { key: 'kvKeyType', check: oneOf(KV_TYPES) },
  kv_value_type: { key: 'kvValueType', check: oneOf(KV_TYPES) },
  flash_attention: { key: 'flashAttention', check: flag },
  memory_limit_bytes: { key: 'memoryLimitBytes', check: integer(1 << 20, Number.MAX_SAFE_INTEGER) },
};

function object(value: unknown, where: string, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(where, what);
  return value as Readonly<Record<string, unknown>>;
}

/** Also what keeps a key that somebody wrote beside the rest out of the file. The value is not repeated. */
function refuseUnknown(body: Readonly<Record<string, unknown>>, known: readonly string[], where: string): void {
  const unknown = Object.keys(body).find((key) => !known.includes(key));
  if (unknown !== undefined) throw fault(where, `has an unknown field ${JSON.stringify(unknown)} (known: ${known.join(', ')})`);
}

function fault(where: string, what: string): CtxError {
  return new CtxError('engine.models', 'EINVAL', what, { where, next: 'see ctx model add --help; abi-spec/engine.md lists the fields' });
}
