// YAML of a source bundle, read as plain values under bounds: no aliases, no tags, no merge keys (IMG-2).
import { CtxError } from '../abi/errors.ts';
import { loadYaml } from '../abi/packages.ts';
import { yamlFault } from '../abi/yaml-form.ts';

const MAX_BYTES = 1024 * 1024;
const MAX_DEPTH = 32;

/** Throws `image.yaml` naming the file. An empty file is an empty map. `asWritten`: keys of the top whose numbers are text (2026.10). */
export function parseYaml(bytes: Uint8Array, where: string, asWritten: readonly string[] = []): unknown {
  if (bytes.length > MAX_BYTES) throw refuse(where, `is ${bytes.length} bytes; at most ${MAX_BYTES} are read`);
  const text = decode(bytes, where);
  const form = yamlFault(text);
  if (form !== undefined) throw refuse(where, form.deep ? form.what : `is not YAML: ${form.what}`);
  const { isScalar, parseDocument, visit } = loadYaml();
  // The parser's own look for repeated keys takes time in the square of their number.
  const document = parseDocument(text, { uniqueKeys: false, schema: 'core', prettyErrors: false, strict: true });
  const [fault] = document.errors;
  if (fault !== undefined) throw refuse(where, `is not YAML: ${fault.message}`);
  visit(document, {
    Alias: () => {
      throw refuse(where, 'has an alias; write the value out');
    },
    Map: (_key, { items }) => {
      const twice = repeated(items.map(({ key }) => (isScalar(key) ? key.value : key)));
      if (twice !== undefined) throw refuse(where, `is not YAML: ${JSON.stringify(twice)} is there twice in one map`);
    },
    Pair: (_key, { key, value }, path) => {
      const written = isScalar(key) && path.length <= 2 && asWritten.includes(String(key.value));
      if (written && isScalar(value) && typeof value.value === 'number' && value.source !== undefined) value.value = value.source;
    },
    Node: (_key, _node, path) => {
      if (path.length > MAX_DEPTH * 2) throw refuse(where, `is nested deeper than ${MAX_DEPTH}`);
    },
  });
  return (document.toJS({ maxAliasCount: 0 }) as unknown) ?? {};
}

function repeated(keys: readonly unknown[]): unknown {
  const seen = new Set<unknown>();
  return keys.find((key) => seen.size === seen.add(key).size);
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw refuse(where, 'is not UTF-8', cause);
  }
}

function refuse(where: string, what: string, cause?: unknown): CtxError {
  return new CtxError('image.yaml', 'EINVAL', what, { where, next: 'mend the file, then build again', cause });
}
