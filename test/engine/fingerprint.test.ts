import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binaryDigest, canonicalDigest, compare, FIELDS, fingerprintHere, LEVELS, REMAINS, ruleOf } from '../../src/engine/fingerprint.ts';
import type { Level } from '../../src/engine/fingerprint.ts';
import type { Fingerprint } from '../../src/engine/types.ts';

const compiled: Fingerprint = {
  pack_digest: 'sha256-a',
  prompt_digest: 'sha256-b',
  tool_schemas_digest: 'sha256-c',
  tokenizer_digest: 'sha256-d',
  chat_template_digest: 'sha256-e',
  driver: 'llama',
  weights_digest: 'sha256-f',
  quantization: 'Q8_0',
  kv_key_type: 'F16',
  flash_attention: false,
  state_version: 9,
  tokens: 4000,
  state_bytes: 1_000_000,
  context_tokens: 8192,
  memory_limit_bytes: 2_000_000,
  engine_build: 'b1',
  cpu: 'x64 one',
  threads: 2,
};

const incompatible = (wanted: Fingerprint, here: Fingerprint): readonly Level[] => {
  const verdicts = compare(wanted, here);
  return LEVELS.filter((level) => !verdicts[level].compatible);
};

describe('the four levels', () => {
  test('ENG-1 the same model and prompt are compatible at every level', () => {
    expect(incompatible(compiled, { ...compiled })).toEqual([]);
  });

  test('ENG-1 each field makes its own level incompatible, and names itself with both values', () => {
    for (const [field, rule] of Object.entries(FIELDS)) {
      if (rule.level === 'record' || rule.fits !== undefined) continue;
      const verdicts = compare({ ...compiled, [field]: 'wanted' }, { ...compiled, [field]: 'here' });
      expect(LEVELS.filter((level) => !verdicts[level].compatible)).toEqual([rule.level]);
      expect(verdicts[rule.level]).toEqual({
        compatible: false,
        fields: [{ field, wanted: 'wanted', here: 'here' }],
        remains: REMAINS[rule.level],
      });
    }
  });

  test('ENG-1 what is only recorded never makes a state incompatible', () => {
    const recorded = Object.entries(FIELDS).filter(([, { level }]) => level === 'record');
    const elsewhere = Object.fromEntries(recorded.map(([field]) => [field, null]));
    expect(recorded.map(([field]) => field)).toEqual(expect.arrayContaining(['engine_build', 'cpu', 'threads', 'batch_tokens']));
    expect(incompatible(compiled, { ...compiled, ...elsewhere })).toEqual([]);
  });

  test('ENG-1 a state fits a context and a memory of its size or more', () => {
    expect(incompatible(compiled, { ...compiled, context_tokens: 4000, memory_limit_bytes: 1_000_000 })).toEqual([]);
    const verdict = compare(compiled, { ...compiled, context_tokens: 3999, memory_limit_bytes: 999_999 }).runtime;
    expect(verdict.fields).toEqual([
      { field: 'tokens', wanted: 4000, here: 3999 },
      { field: 'state_bytes', wanted: 1_000_000, here: 999_999 },
    ]);
  });

  test('ENG-1 a field that one side lacks differs, a field that the table does not know binds at binary', () => {
    const { weights_digest: _, ...without } = compiled;
    expect(compare(compiled, without).binary.fields).toEqual([{ field: 'weights_digest', wanted: 'sha256-f', here: null }]);
    expect(incompatible(compiled, { ...compiled, invented: 1 })).toEqual(['binary']);
    expect(ruleOf('constructor')).toEqual(ruleOf('invented'));
  });

  test('what is compared with: the prompt as compiled, the model as it is here, the pack of now', () => {
    const model = { driver: 'llama', weights_digest: 'sha256-other', context_tokens: 100 };
    const here = fingerprintHere(compiled, { model, packDigest: 'sha256-now' });
    expect(here).toMatchObject({ ...model, pack_digest: 'sha256-now', prompt_digest: 'sha256-b', tokens: 4000 });
    expect(here).not.toHaveProperty('tokenizer_digest');
    expect(fingerprintHere(compiled, { model: undefined, packDigest: undefined })).toEqual(compiled);
  });
});

describe('digests of fingerprints', () => {
  test('ENG-2 the digest of a value does not depend on the order of its keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalDigest(turned)).toBe(canonicalDigest(value));
      }),
    );
    expect(canonicalDigest({ a: [1, 2] })).not.toBe(canonicalDigest({ a: [2, 1] }));
    expect(canonicalDigest({ a: undefined, b: 1 })).toBe(canonicalDigest({ b: 1 }));
  });

  test('ENG-2 models share artifacts when and only when every binding field of theirs is equal', () => {
    for (const [field, { level, of }] of Object.entries(FIELDS)) {
      const binds = of === 'model' && (level === 'binary' || level === 'rebuild');
      const changed = binaryDigest({ ...compiled, [field]: 'another' }) !== binaryDigest(compiled);
      expect({ field, changed }).toEqual({ field, changed: binds });
    }
  });
});
