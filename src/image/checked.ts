// Values checked against the published schemas of abi-spec/schema: what is refused there is refused here.
import { createRequire } from 'node:module';
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv';
import contextYaml from '../../abi-spec/schema/context-yaml.json' with { type: 'json' };
import imageConfig from '../../abi-spec/schema/image-config.json' with { type: 'json' };
import sourceBundle from '../../abi-spec/schema/source-bundle.json' with { type: 'json' };
import { CtxError } from '../abi/errors.ts';

export type SchemaName = 'image-config' | 'context-yaml' | `source-bundle#/$defs/${'memory' | 'retrieval' | 'tools' | 'environment'}`;

let ajv: Ajv | undefined;

/** Throws `image.config` naming the field, and the file or blob it is in. */
export function checkAgainst(name: SchemaName, value: unknown, where: string): void {
  const validate = schemas().getSchema(name) as ValidateFunction;
  if (!validate(value)) throw refuse(where, validate.errors?.at(-1));
}

function schemas(): Ajv {
  if (ajv !== undefined) return ajv;
  // Loaded when it is used: it takes 50 ms.
  const loaded = createRequire(import.meta.url)('ajv') as typeof import('ajv');
  return (ajv = new loaded.Ajv({ allErrors: false, allowUnionTypes: true, schemas: [contextYaml, imageConfig, sourceBundle] }));
}

function refuse(where: string, error: ErrorObject | undefined): CtxError {
  const field = (error?.instancePath ?? '').slice(1).replaceAll('/', '.') || 'the whole';
  const extra = (error?.params as { readonly additionalProperty?: string } | undefined)?.additionalProperty;
  return new CtxError('image.config', 'EINVAL', `${field} ${error?.message ?? 'is not valid'}${extra === undefined ? '' : ` (${extra})`}`, {
    where,
    next: 'see abi-spec/image.md and its schemas',
  });
}
