import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CtxError } from '../../src/abi/errors.ts';
import {
  addModel,
  defaultModel,
  findModel,
  formatModels,
  modelJson,
  NO_MODELS,
  parseModel,
  parseModels,
  readModels,
  removeModel,
  useModel,
  writeModels,
} from '../../src/engine/models.ts';
import type { ModelConfig } from '../../src/engine/types.ts';

const tiny: ModelConfig = {
  provider: 'local',
  name: 'tiny',
  driver: 'llama',
  path: '/models/tiny.gguf',
  contextTokens: 4096,
  kvKeyType: 'F16',
};
const server: ModelConfig = {
  provider: 'lab',
  name: 'big',
  driver: 'openai',
  url: 'http://127.0.0.1:8000/v1',
  model: 'big-8b',
  apiKeyEnv: 'LAB_KEY',
};
const validate = new Ajv2020({ strict: true, validateFormats: false, allowUnionTypes: true }).compile(
  JSON.parse(readFileSync('abi-spec/schema/models.json', 'utf8')) as object,
);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-models-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof CtxError) return `${error.code} ${error.errno}: ${error.message}`;
    throw error;
  }
  return 'no error';
};

describe('models.json', () => {
  test('MOD-1 the first model becomes the default; adding the same id replaces it', () => {
    const one = addModel(NO_MODELS, tiny);
    expect(one.default).toBe('local/tiny');
    const two = addModel(one, server);
    expect(two).toEqual({ default: 'local/tiny', models: [server, tiny] });
    expect(addModel(two, { ...tiny, contextTokens: 512 }).models[1]?.contextTokens).toBe(512);
    expect(defaultModel(addModel(one, server, true))).toEqual(server);
  });

  test('MOD-1 removing the default leaves none; another is chosen by name', () => {
    const both = addModel(addModel(NO_MODELS, tiny), server);
    const without = removeModel(both, 'tiny');
    expect(without).toEqual({ default: undefined, models: [server] });
    expect(defaultModel(without)).toBeUndefined();
    expect(useModel(without, 'lab/big').default).toBe('lab/big');
    expect(codeOf(() => useModel(without, 'tiny'))).toBe('engine.model_unknown ENOENT: the model is not configured');
  });

  test('a name that two providers have needs its provider', () => {
    const both = addModel(addModel(NO_MODELS, tiny), { ...tiny, provider: 'other' });
    expect(codeOf(() => findModel(both, 'tiny'))).toContain('is the name of several: local/tiny, other/tiny');
    expect(findModel(both, 'other/tiny').provider).toBe('other');
  });

  test('MOD-1 what is written reads back, matches the schema, and leaves no temporary file', () => {
    const path = join(directory, 'engine', 'models.json');
    expect(readModels(path)).toEqual(NO_MODELS);
    const models = addModel(addModel(NO_MODELS, tiny), server);
    writeModels(path, models);
    expect(readModels(path)).toEqual(models);
    expect(readdirSync(join(directory, 'engine'))).toEqual(['models.json']);
    const written = JSON.parse(readFileSync(path, 'utf8')) as unknown;
    expect(validate(written), JSON.stringify(validate.errors)).toBe(true);
    expect(validate(JSON.parse(formatModels(NO_MODELS)))).toBe(true);
  });

  test('one model as JSON reads back field by field', () => {
    const all: ModelConfig = {
      ...tiny,
      threads: 2,
      gpu: false,
      kvValueType: 'Q8_0',
      flashAttention: true,
      memoryLimitBytes: 1 << 30,
    };
    expect(parseModel(modelJson(all))).toEqual(all);
    expect(Object.keys(modelJson(all))).toContain('kv_value_type');
  });

  test('MOD-2 a key, or a place where one hides, is refused and not repeated', () => {
    const refused = [
      { ...modelJson(server), api_key: 'sk-secret' },
      { ...modelJson(server), url: 'http://user:sk-secret@127.0.0.1/v1' },
      { ...modelJson(server), url: 'http://127.0.0.1/v1?key=sk-secret' },
      { ...modelJson(server), api_key_env: 'sk-secret' },
    ];
    for (const model of refused) {
      const said = codeOf(() => parseModel(model));
      expect(said).toMatch(/^engine\.models EINVAL/);
      expect(said).not.toContain('sk-secret');
    }
  });

  test('MOD-1 what is not a valid model is refused, naming the field', () => {
    const cases: readonly (readonly [object, string])[] = [
      [{ ...modelJson(tiny), name: '../x' }, 'name is not a name'],
      [{ ...modelJson(tiny), name: 'x.d' }, 'name is not a name'],
      [{ ...modelJson(tiny), driver: 'magic' }, 'driver is not one of llama, llama-server, openai'],
      [{ ...modelJson(tiny), path: 'tiny.gguf' }, 'path is not an absolute path'],
      [{ provider: 'a', name: 'b', driver: 'llama' }, 'path is missing'],
      [{ provider: 'a', name: 'b', driver: 'openai' }, 'url is missing'],
      [{ ...modelJson(tiny), url: 'http://127.0.0.1' }, 'url is for drivers'],
      [{ ...modelJson(server), path: '/x' }, 'path is for the driver llama'],
      [{ ...modelJson(server), url: 'file:///etc/passwd' }, 'url is not an http or https address'],
      [{ ...modelJson(tiny), context_tokens: 0 }, 'context_tokens is not an integer'],
      [{ ...modelJson(tiny), kv_key_type: 'Q1' }, 'kv_key_type is not one of'],
      [{ ...modelJson(tiny), gpu: 'yes' }, 'gpu is not true or false'],
    ];
    for (const [model, said] of cases) expect(codeOf(() => parseModel(model))).toContain(said);
  });

  test('MOD-1 a damaged file is an error that names it, never no models', () => {
    const path = join(directory, 'models.json');
    const valid = JSON.parse(formatModels(addModel(NO_MODELS, tiny))) as Record<string, unknown>;
    const damaged: readonly (readonly [string, string])[] = [
      ['{', 'is not JSON'],
      ['[]', 'is not an object'],
      [JSON.stringify({ ...valid, version: 2 }), 'has a version that this program does not know'],
      [JSON.stringify({ ...valid, default: 'no/one' }), 'is not one of its models'],
      [JSON.stringify({ ...valid, models: [modelJson(tiny), modelJson(tiny)] }), 'names local/tiny twice'],
      [JSON.stringify({ ...valid, keys: {} }), 'has an unknown field "keys"'],
    ];
    for (const [text, said] of damaged) {
      writeFileSync(path, text);
      expect(codeOf(() => readModels(path))).toContain(said);
    }
    expect(parseModels(JSON.stringify(valid)).default).toBe('local/tiny');
  });
});
