// The part of JSON Schema that the engine's grammars can bind. Anything else would be ignored in silence: it is refused.
import { CtxError } from '../../abi/errors.ts';

const TYPES: readonly unknown[] = ['string', 'number', 'integer', 'boolean', 'null', 'object', 'array'];
const FORMATS: readonly unknown[] = ['date-time', 'time', 'date'];
const BINDING: ReadonlySet<string> = new Set(
  'type properties required additionalProperties minProperties maxProperties items prefixItems minItems maxItems enum const oneOf anyOf minLength maxLength format $ref $defs'.split(
    ' ',
  ),
);
const REMARKS: ReadonlySet<string> = new Set(['description', 'title', '$schema', '$comment', '$id', 'default', 'examples', 'deprecated']);
const DEPTH_LIMIT = 32;

/** The schema without remarks, `anyOf` as `oneOf`; `engine.schema` names what cannot be bound and where it stands. */
export function bindableSchema(schema: unknown): Readonly<Record<string, unknown>> {
  const names = Object.keys((schema as { $defs?: object } | null)?.$defs ?? {});
  return bind(schema, '#', 0, new Set(names.map((name) => `#/$defs/${name}`)));
}

function bind(schema: unknown, where: string, depth: number, names: ReadonlySet<unknown>): Readonly<Record<string, unknown>> {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) throw refuse(where, 'is no schema');
  if (depth > DEPTH_LIMIT) throw refuse(where, 'is nested too deep');
  const bound: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (REMARKS.has(key)) continue;
    if (!BINDING.has(key)) throw refuse(where, `has '${key}', which the output cannot be bound to`);
    bound[key === 'anyOf' ? 'oneOf' : key] = inner(key, value, `${where}/${key}`, depth + 1, names);
  }
  const types = Array.isArray(bound['type']) ? (bound['type'] as unknown[]) : bound['type'] === undefined ? [] : [bound['type']];
  if (types.some((type) => !TYPES.includes(type))) throw refuse(where, `has the unknown type ${JSON.stringify(bound['type'])}`);
  if (bound['format'] !== undefined && !FORMATS.includes(bound['format']))
    throw refuse(where, `has the format ${JSON.stringify(bound['format'])}`);
  // Definitions stand at the top: a name that is none would let anything pass.
  if (bound['$ref'] !== undefined && !names.has(bound['$ref']))
    throw refuse(where, `refers to ${JSON.stringify(bound['$ref'])}, which is not there`);
  return bound;
}

function inner(key: string, value: unknown, where: string, depth: number, names: ReadonlySet<unknown>): unknown {
  if (key === 'properties' || key === '$defs') {
    if (typeof value !== 'object' || value === null) throw refuse(where, 'is no set of schemas');
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, bind(each, `${where}/${name}`, depth, names)]));
  }
  if (key === 'oneOf' || key === 'anyOf' || key === 'prefixItems') {
    if (!Array.isArray(value) || value.length === 0) throw refuse(where, 'is no list of schemas');
    return value.map((each, index) => bind(each, `${where}/${index}`, depth, names));
  }
  if (key === 'items' || (key === 'additionalProperties' && typeof value === 'object')) return bind(value, where, depth, names);
  return value;
}

function refuse(where: string, what: string): CtxError {
  return new CtxError('engine.schema', 'EINVAL', `the output schema ${what}`, { where, next: `use only: ${[...BINDING].join(' ')}` });
}
