// The published schemas of images as checks. The build puts the code of these checks in this module's place in the programs
// (scripts/schema-checks.mjs), so that no verb waits while ajv reads schemas (rationale 0103).
import type { Ajv, AnySchemaObject, Options, ValidateFunction } from 'ajv';
import contextYaml from '../../abi-spec/schema/context-yaml.json' with { type: 'json' };
import imageConfig from '../../abi-spec/schema/image-config.json' with { type: 'json' };
import sourceBundle from '../../abi-spec/schema/source-bundle.json' with { type: 'json' };
import { loadAjv } from '../abi/packages.ts';

export const CHECKED = [
  'image-config',
  'context-yaml',
  'source-bundle#/$defs/memory',
  'source-bundle#/$defs/retrieval',
  'source-bundle#/$defs/tools',
  'source-bundle#/$defs/environment',
] as const;
export type SchemaName = (typeof CHECKED)[number];

export const AJV_OPTIONS: Options & { readonly schemas: AnySchemaObject[] } = {
  allErrors: false,
  allowUnionTypes: true,
  verbose: true,
  schemas: [contextYaml, imageConfig, sourceBundle],
};

let ajv: Ajv | undefined;

export function schemaCheck(name: SchemaName): ValidateFunction {
  ajv ??= new (loadAjv().Ajv)(AJV_OPTIONS);
  return ajv.getSchema(name) as ValidateFunction;
}
