// Values checked against the published schemas of abi-spec/schema: what is refused there is refused here.
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv';
import contextYaml from '../../abi-spec/schema/context-yaml.json' with { type: 'json' };
import imageConfig from '../../abi-spec/schema/image-config.json' with { type: 'json' };
import sourceBundle from '../../abi-spec/schema/source-bundle.json' with { type: 'json' };
import { CtxError } from '../abi/errors.ts';
import { loadAjv } from '../abi/packages.ts';

export type SchemaName = 'image-config' | 'context-yaml' | `source-bundle#/$defs/${'memory' | 'retrieval' | 'tools' | 'environment'}`;

let ajv: Ajv | undefined;

/** Throws `image.config` naming the field, and the file or blob it is in. */
export function checkAgainst(name: SchemaName, value: unknown, where: string): void {
  const validate = schemas().getSchema(name) as ValidateFunction;
  if (!validate(value)) throw refuse(where, validate.errors ?? []);
}

function schemas(): Ajv {
  if (ajv !== undefined) return ajv;
  return (ajv = new (loadAjv().Ajv)({
    allErrors: false,
    allowUnionTypes: true,
    verbose: true,
    schemas: [contextYaml, imageConfig, sourceBundle],
  }));
}

function refuse(where: string, errors: readonly ErrorObject[]): CtxError {
  const field = (errors.at(-1)?.instancePath ?? '').slice(1).replaceAll('/', '.') || 'the whole';
  return new CtxError('image.config', 'EINVAL', `${field} ${wordsOf(errors)}`, { where, next: 'see abi-spec/image.md and its schemas' });
}

/** What the field must be, in words: those of the schema instead of an expression, all kinds instead of "anyOf". */
function wordsOf(errors: readonly ErrorObject[]): string {
  const last = errors.at(-1);
  const pattern = errors.find(({ keyword }) => keyword === 'pattern');
  const described = (pattern?.parentSchema as { readonly description?: string } | undefined)?.description;
  if (described !== undefined) return `must be ${described}`;
  const params = last?.params as { readonly additionalProperty?: string; readonly allowedValues?: readonly unknown[] } | undefined;
  if (params?.additionalProperty !== undefined) return `has no key ${params.additionalProperty}`;
  if (params?.allowedValues !== undefined) return `must be one of ${params.allowedValues.map(String).join(', ')}`;
  const kinds = errors.filter(({ keyword }) => keyword === 'type').map(({ params: { type } }) => String(type));
  return last?.keyword === 'anyOf' && kinds.length > 0 ? `must be ${kinds.join(' or ')}` : (last?.message ?? 'is not valid');
}
