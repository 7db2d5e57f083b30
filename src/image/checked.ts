// Values checked against the published schemas of abi-spec/schema: what is refused there is refused here.
import type { ErrorObject } from 'ajv';
import { CtxError } from '../abi/errors.ts';
import { schemaCheck, type SchemaName } from './schema-checks.ts';

/** Throws `image.config` naming the field, and the file or blob it is in. */
export function checkAgainst(name: SchemaName, value: unknown, where: string): void {
  const validate = schemaCheck(name);
  if (!validate(value)) throw refuse(where, validate.errors ?? []);
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
