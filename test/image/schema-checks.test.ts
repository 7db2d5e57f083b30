import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ValidateFunction } from 'ajv';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { CHECKED, schemaCheck, type SchemaName } from '../../src/image/schema-checks.ts';
import { imageConfig } from './image-config.ts';

const built = createRequire(import.meta.url)('../../dist/src/image/schema-checks.cjs') as Record<SchemaName, ValidateFunction>;

function sample(name: SchemaName): unknown {
  if (name === 'image-config') return imageConfig();
  const file = name === 'context-yaml' ? 'context' : name.slice('source-bundle#/$defs/'.length);
  return parse(readFileSync(new URL(`../fixtures/image/customer-review/${file}.yaml`, import.meta.url), 'utf8'));
}

/** The value with each of its parts, at any depth, gone or another kind. */
function* spoilt(value: unknown): Generator<unknown> {
  for (const other of [null, 7, '', 'x\n', [], {}, { surprise: true }, true]) yield other;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) {
    const { [key]: _gone, ...rest } = value as Record<string, unknown>;
    yield rest;
    for (const worse of spoilt(part)) yield Array.isArray(value) ? value.with(Number(key), worse) : { ...value, [key]: worse };
  }
}

test('IMG-6 the checks that the build writes accept and refuse what the schemas do, for the same reasons', () => {
  const outcome = (check: ValidateFunction, value: unknown): readonly [boolean, unknown] => [check(value), check.errors];
  for (const name of CHECKED) {
    const whole = sample(name);
    expect(outcome(built[name], whole), name).toEqual([true, null]);
    let refused = 0;
    for (const value of spoilt(whole)) {
      const said = outcome(built[name], value);
      expect(said, `${name} ${JSON.stringify(value).slice(0, 300)}`).toEqual(outcome(schemaCheck(name), value));
      if (!said[0]) refused++;
    }
    expect(refused, name).toBeGreaterThan(10);
  }
});
