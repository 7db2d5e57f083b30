import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { COMPATIBILITY_FIELDS, IMAGE_LEVELS, judgeImage, type Here, type ImageCompatibility } from '../../src/image/compatibility.ts';
import { compose } from '../../src/image/compose.ts';
import type { ImageConfig } from '../../src/image/config.ts';
import { hereOf } from '../../src/image/here.ts';
import { requireSource } from '../../src/cli/image-judged.ts';
import { ROOT } from '../cli/program.ts';

interface Case {
  readonly what: string;
  readonly config?: { readonly model?: object; readonly runtime?: object; readonly policy?: object; readonly tool_schema_version?: string };
  readonly here?: { readonly model?: null; readonly fields?: Here['fields'] };
  readonly levels: Readonly<Record<string, boolean | null>>;
  readonly differs?: readonly string[];
  readonly unknown?: readonly string[];
}
const file = JSON.parse(readFileSync(`${ROOT}abi-spec/cases/image-compatibility.json`, 'utf8')) as {
  readonly here: Here;
  readonly cases: readonly Case[];
};

const declaring = (declared: NonNullable<Case['config']> = {}): ImageConfig =>
  compose({
    name: 'a',
    version: '1',
    createdAt: '2026-01-01T00:00:00Z',
    parent: undefined,
    layers: [],
    continuation: { messages: 0, events: 0, last_role: null, pending_tool_calls: [] },
    declared,
    command: 'ctx build .',
  });
const fieldsWith = ({ levels }: ImageCompatibility, verdict: string): readonly string[] =>
  IMAGE_LEVELS.flatMap((level) => levels[level].fields.filter((field) => field.verdict === verdict).map(({ field }) => field));

describe('IMG-23 an image is judged at four levels', () => {
  test.each(file.cases.map((one) => [one.what, one] as const))(
    'IMG-23 %s',
    (_what, { config, here, levels, differs = [], unknown = [] }) => {
      const model = here?.model === null ? null : file.here.model;
      const judged = judgeImage(declaring(config), { model, fields: { ...file.here.fields, ...here?.fields } });
      const compatible = Object.fromEntries(IMAGE_LEVELS.map((level) => [level, judged.levels[level].compatible]));
      expect(compatible).toMatchObject(levels);
      expect(fieldsWith(judged, 'differs')).toEqual(differs);
      expect(fieldsWith(judged, 'unknown')).toEqual(unknown);
      // What does not hold says what does.
      for (const level of IMAGE_LEVELS) expect(judged.levels[level].remains === undefined).toBe(judged.levels[level].compatible === true);
    },
  );

  test('IMG-23 every field that the specification lists is judged, each at one level', () => {
    const listed = (
      'model_family weights tokenizer vocabulary chat_template context_length position_encoding quantization ' +
      'attention kv_layout tool_schema memory_api retrieval_api safety_policy'
    ).split(' ');
    expect(Object.keys(COMPATIBILITY_FIELDS)).toEqual(expect.arrayContaining(listed));
    const judged = judgeImage(declaring(), { model: null, fields: {} });
    const all = IMAGE_LEVELS.flatMap((level) => judged.levels[level].fields.map(({ field }) => field));
    expect(all.toSorted()).toEqual(Object.keys(COMPATIBILITY_FIELDS).toSorted());
    // Each has a case in which it does not fit; the schema has one value, which its own parser checks.
    const covered = new Set(file.cases.flatMap(({ differs = [], unknown = [] }) => [...differs, ...unknown]));
    expect(listed.filter((field) => !covered.has(field))).toEqual([]);
  });

  test('IMG-23 a model that compiles here is said in the words of a manifest', () => {
    const fingerprint = { quantization: 15, rope_dimensions: 64, rope_scaling: '[["scaling.type","yarn"]]', flash_attention: false };
    const model = { id: 'local/a', driver: 'llama', contextTokens: 4096, fingerprint, digest: 'sha256-1' } as const;
    const { fields } = hereOf(model, { architecture: 'x64', safety: undefined });
    expect(fields).toMatchObject({ quantization: 'q4_k_m', position_encoding: 'rope-yarn', attention: 'standard' });
    expect(fields).toMatchObject({ architecture: 'x86_64', kv_layout: 'contiguous-v1', weights: null, safety_policy: null });
    expect(hereOf(undefined, { architecture: 'arm64', safety: 'rules' })).toMatchObject({
      model: null,
      fields: { architecture: 'arm64', safety_policy: 'rules', tool_schema: 'openai-function-v1' },
    });
  });
});

test('IMG-95 what a start is refused for: the field, what is wanted, what is here, what still works; another model is no reason', () => {
  const refusal = (declared: NonNullable<Case['config']>, safety?: string): unknown => {
    try {
      requireSource(declaring(declared), 'quilt/one:1', safety);
      return 'started';
    } catch (error) {
      return (error as Error & { describe(): string }).describe();
    }
  };
  const remains = 'the image can be read, compared and exported; an instance would not have what it was made with';
  expect(refusal({ runtime: { memory_api: 'graph-v9', retrieval_api: 'vector-v2' } })).toBe(
    `image.incompatible: quilt/one:1 is not started: memory_api wants graph-v9, here is wiki-v1; retrieval_api wants vector-v2, here is directory-v1; ${remains}; see: ctx inspect`,
  );
  expect(refusal({ policy: { safety: 'strict-v2' } })).toContain('safety_policy wants strict-v2, here is none that is known');
  expect(refusal({ policy: { safety: 'strict-v2' } }, 'lax')).toContain('safety_policy wants strict-v2, here is lax');
  expect(refusal({ policy: { safety: 'strict-v2' } }, 'strict-v2')).toBe('started');
  const digest = `sha256:${'0'.repeat(64)}`;
  const elsewhere = {
    model: { weights_hash: digest, tokenizer_hash: digest, context_length: 2 ** 20 },
    runtime: { engine: 'other', kv_layout: 'paged-v7', compatible_arch: ['riscv'] },
  };
  expect(refusal(elsewhere)).toBe('started');
  expect(refusal({})).toBe('started');
});
