// Control files of a session: what may be written into each, and what a new session starts with.
import { isUtf8 } from 'node:buffer';
import { CtxError } from '../abi/errors.ts';
import { DEFAULT_BUDGET_TOKENS, SESSION_STATES } from '../abi/session-files.ts';
import { DEFAULT_GC_POLICY_TEXT, parseGcPolicy } from '../context/gc.ts';
import { ENGINE, parsePolicy } from '../context/policy.ts';
import { TOKENIZERS, isTokenizerName } from '../tokens/types.ts';

export const MAX_CONTROL_BYTES: number = 1024 * 1024;

/** CTL-1: throws CtxError EINVAL (EFBIG when over-long) when these bytes may not become the file's content. The path is relative to the session. */
export function validateControl(path: string, bytes: Uint8Array): void {
  const rule = RULES.get(path);
  if (rule === undefined) throw fault(path, 'is not a control file');
  if (bytes.byteLength > MAX_CONTROL_BYTES) {
    throw new CtxError('session.control_too_long', 'EFBIG', `longer than ${MAX_CONTROL_BYTES} bytes`, { where: path });
  }
  if (!isUtf8(bytes)) throw fault(path, 'is not UTF-8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  if (text.includes('\0')) throw fault(path, 'holds a NUL byte');
  rule(text, path);
}

/** Whether nothing that is written behind it can make it valid: JSON that is whole or wrong before its end, a key that nobody knows. */
export function isBeyondMending(path: string, text: string): boolean {
  const refused = refusal(path, text);
  if (refused === undefined) return false;
  if (path.endsWith('.json')) return !isUnfinishedJson(text);
  return refused.includes('unknown key') && refused === refusal(path, `${text}x`);
}

function refusal(path: string, text: string): string | undefined {
  try {
    validateControl(path, Buffer.from(text));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** JSON that only lacks its end: more may come before the close, which validates the whole. */
export function isUnfinishedJson(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch (error) {
    const { message } = error as Error;
    const at = Number(/at position (\d+)/.exec(message)?.[1] ?? -1);
    return /Unexpected end|Unterminated/.test(message) || at >= text.length;
  }
}

export function isControlFile(path: string): boolean {
  return RULES.has(path);
}

/** `budget` in tokens; undefined means unlimited (empty or 0). The text must be valid. */
export function parseBudget(text: string): number | undefined {
  const value = Number(text.trim() || '0');
  return value === 0 ? undefined : value;
}

/** Content of each control file of a new session, by path below the session directory. */
export function initialControls(nowMs: number, cwd: string, budgetTokens: number = DEFAULT_BUDGET_TOKENS): ReadonlyMap<string, string> {
  return new Map([
    ['state', 'active\n'],
    ['cwd', `${cwd}\n`],
    ['meta.json', '{}\n'],
    ['created_at', `${new Date(nowMs).toISOString()}\n`],
    ['context/budget', budgetTokens === 0 ? '\n' : `${budgetTokens}\n`],
    ['context/gc.policy', DEFAULT_GC_POLICY_TEXT],
    ['context/policy.yaml', '# keys: tokenizer, shares, low_water, max_line_bytes, compact, remote, memory, gate (abi-spec/controls.md)\n'],
    ['context/tools.json', '[]\n'],
  ]);
}

type Rule = (text: string, path: string) => void;

const STATES: ReadonlySet<string> = new Set(SESSION_STATES);

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['state', checkState],
  ['cwd', checkCwd],
  ['meta.json', checkMeta],
  ['created_at', checkCreatedAt],
  ['context/budget', checkBudget],
  ['context/gc.policy', (text): void => void parseGcPolicy(text)],
  ['context/policy.yaml', checkPolicy],
  ['context/tools.json', checkTools],
]);

function fault(path: string, what: string): CtxError {
  return new CtxError('session.control', 'EINVAL', what, { where: path, next: 'the old value stays; see abi-spec/controls.md' });
}

/** The one value of a small file: at most one trailing newline, no other line. */
function oneLine(text: string, path: string): string {
  const value = text.endsWith('\n') ? text.slice(0, -1) : text;
  if (value.includes('\n') || value.includes('\r')) throw fault(path, 'holds more than one line');
  return value;
}

function checkPolicy(text: string, path: string): void {
  const { tokenizer } = parsePolicy(text);
  if (tokenizer !== ENGINE && !isTokenizerName(tokenizer)) throw fault(path, `tokenizer is not ${[...TOKENIZERS, ENGINE].join(', ')}`);
}

function checkState(text: string, path: string): void {
  if (!STATES.has(oneLine(text, path))) throw fault(path, `is not one of ${SESSION_STATES.join(', ')}`);
}

function checkCwd(text: string, path: string): void {
  const value = oneLine(text, path);
  if (!value.startsWith('/')) throw fault(path, 'is not an absolute path');
  if (Buffer.byteLength(value) > 4095) throw fault(path, 'is longer than a path may be');
  if (
    value !== '/' &&
    value
      .slice(1)
      .split('/')
      .some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw fault(path, 'has an empty, . or .. component');
  }
}

function checkMeta(text: string, path: string): void {
  const value = json(text, path);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(path, 'is not a JSON object');
  const scope = (value as { scope?: unknown }).scope;
  if (scope !== undefined && scope !== 'private' && scope !== 'shared' && scope !== 'temp')
    throw fault(path, 'scope is not private, shared or temp');
}

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.\d{1,9})?(?:[Zz]|[+-](\d{2}):(\d{2}))$/;

function checkCreatedAt(text: string, path: string): void {
  const match = RFC3339.exec(oneLine(text, path));
  if (match === null) throw fault(path, 'is not an RFC 3339 time');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, offsetHour = 0, offsetMinute = 0] = match
    .slice(1)
    .map((part) => Number(part ?? 0));
  const days = month >= 1 && month <= 12 ? new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate() : 0;
  // RFC 3339 section 5.6: a leap second is 23:59:60 (in UTC; the offset's own minute is not checked further).
  if (
    day < 1 ||
    day > days ||
    hour > 23 ||
    minute > 59 ||
    second > 60 ||
    (second === 60 && minute !== 59) ||
    offsetHour > 23 ||
    offsetMinute > 59
  ) {
    throw fault(path, 'is not an RFC 3339 time');
  }
}

function checkBudget(text: string, path: string): void {
  const value = oneLine(text, path).trim();
  if (value !== '' && !/^[0-9]{1,15}$/.test(value)) throw fault(path, 'is not an unsigned integer (empty or 0: unlimited)');
}

const TOOL_NAME = /^[a-zA-Z0-9_.:/-]{1,128}$/;

/** Accepts OpenAI (`{type:"function",function:{name,parameters}}`), Anthropic (`{name,input_schema}`) and MCP (`inputSchema`) shapes. */
function checkTools(text: string, path: string): void {
  if (text.trim() === '') return;
  const value = json(text, path);
  if (!Array.isArray(value)) throw fault(path, 'is not a JSON array of tool schemas');
  const names = new Set<string>();
  for (const [index, tool] of (value as readonly unknown[]).entries()) {
    const outer = record(tool, path, `tool ${index} is not an object`);
    const inner = outer['function'] === undefined ? outer : record(outer['function'], path, `tool ${index}: function is not an object`);
    const name = inner['name'] ?? (inner === outer ? outer['type'] : undefined);
    if (typeof name !== 'string' || !TOOL_NAME.test(name)) throw fault(path, `tool ${index} has no valid name`);
    if (names.has(name)) throw fault(path, `tool ${name} is given twice`);
    names.add(name);
    const schema = inner['parameters'] ?? inner['input_schema'] ?? inner['inputSchema'];
    if (schema !== undefined) record(schema, path, `tool ${name}: its schema is not an object`);
    if (inner['description'] !== undefined && typeof inner['description'] !== 'string')
      throw fault(path, `tool ${name}: description is not text`);
  }
}

function record(value: unknown, path: string, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fault(path, what);
  return value as Readonly<Record<string, unknown>>;
}

function json(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CtxError('session.control', 'EINVAL', 'is not JSON', {
      where: path,
      next: 'the old value stays; see abi-spec/controls.md',
      cause,
    });
  }
}
