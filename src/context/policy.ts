// context/policy.yaml: the session's choices for its pack, in one schema. Validated on write, read as a recorded input.
import { CtxError } from '../abi/errors.ts';
import { loadYaml } from '../abi/packages.ts';
import { yamlFault } from '../abi/yaml-form.ts';
import { DEFAULT_MAX_LINE_BYTES } from '../abi/session-files.ts';
import { readMemoryMounts } from './policy-memory.ts';
import type { MemoryMount } from './policy-memory.ts';
import { readGate } from './gate-policy.ts';
import type { GateChoice } from './gate-policy.ts';

/** Shares of the token budget, each in 0..1. What a section does not use goes to the tail. */
export interface PolicyShares {
  readonly pinned: number;
  readonly memory: number;
  readonly summary: number;
  readonly facts: number;
  readonly decisions: number;
  readonly todo: number;
  readonly refs: number;
  readonly child: number;
  readonly recall: number;
}

export interface Policy {
  readonly tokenizer: string;
  readonly shares: PolicyShares;
  /** Share of the budget that a new epoch keeps filled (0.5..0.95). */
  readonly lowWater: number;
  readonly maxLineBytes: number;
  /** Who may be asked to write better summaries: nobody, only `ctx compact`, or the daemon at an epoch's start. */
  readonly compact: { readonly mode: 'off' | 'manual' | 'epoch'; readonly model: string; readonly maxInputTokens: number };
  /** No remote service is called unless `allow` is true. */
  readonly remote: { readonly allow: boolean; readonly url: string };
  /** Undefined: the owner's own wiki, where there is one. */
  readonly memory: readonly MemoryMount[] | undefined;
  /** What must hold before the session may be called done. */
  readonly gate?: GateChoice | undefined;
}

/** `tokenizer`: that of the model that compiles, with its chat template. */
export const ENGINE = 'engine';

export const DEFAULT_POLICY: Policy = {
  tokenizer: 'o200k_base',
  shares: { pinned: 0.25, memory: 0.08, summary: 0.06, facts: 0.04, decisions: 0.04, todo: 0.03, refs: 0.03, child: 0.05, recall: 0.45 },
  lowWater: 0.5,
  maxLineBytes: DEFAULT_MAX_LINE_BYTES,
  compact: { mode: 'manual', model: '', maxInputTokens: 16_000 },
  remote: { allow: false, url: '' },
  memory: undefined,
};

/** Parses and validates policy.yaml. An empty file is the default policy. Throws CtxError EINVAL naming the key. */
export function parsePolicy(text: string): Policy {
  const root = readYaml(text);
  const shares = readMap(root['shares'], 'shares');
  const compact = readMap(root['compact'], 'compact');
  const remote = readMap(root['remote'], 'remote');
  refuseUnknown(root, '', ['tokenizer', 'shares', 'low_water', 'max_line_bytes', 'compact', 'remote', 'memory', 'gate']);
  refuseUnknown(shares, 'shares.', Object.keys(DEFAULT_POLICY.shares));
  refuseUnknown(compact, 'compact.', ['mode', 'model', 'max_input_tokens']);
  refuseUnknown(remote, 'remote.', ['allow', 'url']);
  const share = (name: keyof PolicyShares): number => readNumber(shares, `shares.${name}`, name, DEFAULT_POLICY.shares[name], 0, 1);
  return {
    tokenizer: readTokenizer(root['tokenizer']),
    shares: {
      pinned: share('pinned'),
      memory: share('memory'),
      summary: share('summary'),
      facts: share('facts'),
      decisions: share('decisions'),
      todo: share('todo'),
      refs: share('refs'),
      child: share('child'),
      recall: share('recall'),
    },
    lowWater: readNumber(root, 'low_water', 'low_water', DEFAULT_POLICY.lowWater, 0.5, 0.95),
    maxLineBytes: readInteger(root, 'max_line_bytes', 'max_line_bytes', DEFAULT_POLICY.maxLineBytes, 1024, 1024 ** 3),
    compact: {
      mode: readMode(compact['mode']),
      model: readText(compact, 'compact.model', 'model', DEFAULT_POLICY.compact.model),
      maxInputTokens: readInteger(
        compact,
        'compact.max_input_tokens',
        'max_input_tokens',
        DEFAULT_POLICY.compact.maxInputTokens,
        256,
        1_000_000,
      ),
    },
    remote: {
      allow: readBoolean(remote, 'remote.allow', 'allow', DEFAULT_POLICY.remote.allow),
      url: readText(remote, 'remote.url', 'url', DEFAULT_POLICY.remote.url),
    },
    memory: readMemoryMounts(root['memory'], refuse),
    gate: readGate(root['gate'], refuse),
  };
}

/** YAML that lacks nothing but its end: a flow collection or a quoted text that is still open. */
export function isUnfinishedPolicy(text: string): boolean {
  if (text.length > MAX_TEXT || yamlFault(text) !== undefined) return false;
  const { errors } = loadYaml().parseDocument(text, { schema: 'core', uniqueKeys: false, prettyErrors: false });
  return errors.length > 0 && errors.every(({ code, pos }) => UNFINISHED.has(code) && pos[0] >= text.trimEnd().length);
}

const UNFINISHED: ReadonlySet<string> = new Set(['MISSING_CHAR', 'BAD_INDENT']);

type YamlMap = Readonly<Record<string, unknown>>;

function refuse(what: string): never {
  throw new CtxError('context.policy', 'EINVAL', what, { where: 'context/policy.yaml', next: 'see abi-spec/controls.md for the keys' });
}

/** Whoever may write a policy has the daemon read it: what is longer would hold up everybody. */
const MAX_TEXT = 64 * 1024;

function readYaml(text: string): YamlMap {
  if (text.length > MAX_TEXT) refuse(`longer than ${MAX_TEXT} characters`);
  const form = yamlFault(text);
  if (form !== undefined) refuse(`not YAML: ${form.what}`);
  const { parseDocument, isScalar, visit } = loadYaml();
  // The parser's own look for repeated keys takes time in the square of their number.
  const document = parseDocument(text, { uniqueKeys: false, schema: 'core', prettyErrors: false });
  const fault = document.errors[0];
  if (fault !== undefined) refuse(`not YAML: ${fault.message}`);
  visit(document, {
    Map: (_key, { items }) => {
      const seen = new Set<unknown>();
      const twice = items.find(({ key }) => seen.size === seen.add(isScalar(key) ? key.value : key).size);
      if (twice !== undefined) refuse(`not YAML: Map keys must be unique: ${String(twice.key)}`);
    },
  });
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 });
  } catch {
    refuse('aliases are not allowed');
  }
  return readMap(value, 'the document');
}

function readMap(value: unknown, name: string): YamlMap {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) refuse(`${name} is not a mapping`);
  return value as YamlMap;
}

function refuseUnknown(map: YamlMap, prefix: string, known: readonly string[]): void {
  for (const key of Object.keys(map)) {
    if (!known.includes(key)) refuse(`unknown key ${prefix}${key} (known: ${known.join(', ')})`);
  }
}

function readNumber(map: YamlMap, name: string, key: string, otherwise: number, least: number, most: number): number {
  const value = Object.hasOwn(map, key) ? map[key] : undefined;
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'number' || !(value >= least && value <= most)) refuse(`${name} is not a number from ${least} to ${most}`);
  return value;
}

function readInteger(map: YamlMap, name: string, key: string, otherwise: number, least: number, most: number): number {
  const value = readNumber(map, name, key, otherwise, least, most);
  if (!Number.isInteger(value)) refuse(`${name} is not an integer`);
  return value;
}

function readText(map: YamlMap, name: string, key: string, otherwise: string): string {
  const value = map[key];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'string' || value.length > 1024 || /[\u0000-\u001f]/.test(value)) refuse(`${name} is not one line of text`);
  return value;
}

function readBoolean(map: YamlMap, name: string, key: string, otherwise: boolean): boolean {
  const value = map[key];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'boolean') refuse(`${name} is not true or false`);
  return value;
}

function readTokenizer(value: unknown): string {
  if (value === undefined || value === null) return DEFAULT_POLICY.tokenizer;
  if (typeof value !== 'string' || !/^[a-zA-Z0-9][a-zA-Z0-9._+:-]{0,63}$/.test(value)) refuse('tokenizer is not a tokenizer name');
  return value;
}

function readMode(value: unknown): Policy['compact']['mode'] {
  if (value === undefined || value === null) return DEFAULT_POLICY.compact.mode;
  // YAML 1.1 habit: an unquoted `off` may arrive as false from other writers.
  if (value === false) return 'off';
  if (value === 'off' || value === 'manual' || value === 'epoch') return value;
  return refuse('compact.mode is not off, manual or epoch');
}
