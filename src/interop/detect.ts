// Which format a transcript is in, from its content; the path only breaks ties. And how it is laid out:
// `lines` (JSONL of records, streamed), `document` (JSON values read whole), `text`.
import { basename } from 'node:path';
import { asObject, asText } from './formats/common.ts';
import { members, skipSpace, valueEnd } from './json-scan.ts';
import type { Format, Json } from './types.ts';

export type Layout = 'lines' | 'document' | 'text';

export interface Detected {
  readonly format: Format;
  readonly layout: Layout;
}

/** Bytes of the head that detection and facts may look at; a longer first line is read whole. */
export const HEAD_BYTES: number = 256 * 1024;

/**
 * Reads the format off the head of a transcript (INT-1). `complete`: the head is the whole source.
 * `from` overrides the format; the layout still follows the content. Text is the answer when nothing else fits.
 */
export function detectFormat(head: Uint8Array, path: string, options: { from?: Format; complete?: boolean } = {}): Detected {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('utf8');
  if (options.from === 'text') return { format: 'text', layout: 'text' };
  const records = headRecords(text);
  const start = text.charAt(skipSpace(text, 0));
  const byContent = records.length > 0 ? lineFormat(records, path) : undefined;
  const whole = byContent === undefined && (start === '[' || start === '{') ? documentFormat(text, path) : undefined;
  const found = options.from ?? byContent ?? whole;
  if (found === undefined) return { format: 'text', layout: 'text' };
  const first = records[0];
  if (start !== '[' && LINES_ONLY.has(found)) return { format: found, layout: 'lines' };
  if (first === undefined || start !== '{') return { format: found, layout: start === '[' || start === '{' ? 'document' : 'lines' };
  return { format: found, layout: isDocument(first) ? 'document' : 'lines' };
}

const LINES_ONLY: ReadonlySet<Format> = new Set(['claude-code', 'codex', 'pi']);

/** Parsed objects among the complete lines of the head (the last line counts when it parses). */
export function headRecords(text: string, limit = 200): readonly Json[] {
  const found: Json[] = [];
  let at = 0;
  for (let lines = 0; at < text.length && lines < limit; lines++) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    const line = text
      .slice(at, end)
      .replace(/^\ufeff/, '')
      .trim();
    at = end + 1;
    if (line === '') continue;
    try {
      const value = asObject(JSON.parse(line));
      if (value !== undefined) found.push(value);
    } catch {
      // A pretty-printed document, or text: its first line decides.
      if (found.length === 0) return [];
    }
  }
  return found;
}

function isDocument(first: Json): boolean {
  return (
    Array.isArray(first['messages']) ||
    Array.isArray(first['traj']) ||
    Array.isArray(first['history']) ||
    Array.isArray(first['trajectory']) ||
    Array.isArray(first['conversations']) ||
    Array.isArray(first['steps'])
  );
}

const CODEX_ITEMS: ReadonlySet<unknown> = new Set([
  'message',
  'reasoning',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'local_shell_call',
]);

function lineFormat(records: readonly Json[], path: string): Format | undefined {
  for (const value of records) {
    const found = recordFormat(value);
    if (found !== undefined) return found;
  }
  if (/^rollout-.*\.jsonl$/.test(basename(path))) return 'codex';
  if (/[/\\]\.claude[/\\]projects[/\\]/.test(path)) return 'claude-code';
  return undefined;
}

function recordFormat(value: Json): Format | undefined {
  const type = value['type'];
  if (Array.isArray(value['conversations'])) return 'sharegpt';
  if (Array.isArray(value['history']) || Array.isArray(value['trajectory'])) return 'swe-agent';
  if (Array.isArray(value['steps']) && ('schema_version' in value || 'agent' in value)) return 'atif';
  if ('sessionId' in value && ('projectHash' in value || 'startTime' in value)) return 'gemini';
  if ('$rewindTo' in value || '$set' in value) return 'gemini';
  if (type === 'gemini' && 'content' in value) return 'gemini';
  if (type === 'session' && 'id' in value && 'version' in value) return 'pi';
  if (type === 'session_meta' || ((type === 'response_item' || type === 'event_msg' || type === 'turn_context') && 'payload' in value))
    return 'codex';
  if (value['record_type'] === 'state' || ('instructions' in value && 'id' in value && 'timestamp' in value && type === undefined))
    return 'codex';
  if (
    'parentUuid' in value ||
    ('sessionId' in value && typeof type === 'string') ||
    type === 'file-history-snapshot' ||
    ('leafUuid' in value && type === 'summary')
  )
    return 'claude-code';
  if (CODEX_ITEMS.has(type) && (type !== 'message' || Array.isArray(value['content'])) && !('usage' in value)) return 'codex';
  if (typeof value['role'] === 'string' && ('content' in value || 'tool_calls' in value)) return 'openai';
  if (Array.isArray(value['messages']) || Array.isArray(value['traj'])) return 'openai';
  if (asText(value['from']) !== '' && 'value' in value) return 'sharegpt';
  return undefined;
}

/** A pretty-printed or one-line document whose end may lie beyond the head: keys seen near its top. */
function documentFormat(text: string, path: string): Format | undefined {
  if (path.endsWith('.traj')) return 'swe-agent';
  const start = skipSpace(text, 0);
  const first = text.charAt(start) === '[' ? skipSpace(text, start + 1) : start;
  if (text.charAt(first) !== '{') return undefined;
  const keys = new Set(topKeys(text, first));
  if (keys.size === 0) return undefined;
  if (keys.has('conversations') || (keys.has('from') && keys.has('value'))) return 'sharegpt';
  if (keys.has('history') || keys.has('trajectory')) return 'swe-agent';
  if (keys.has('steps')) return 'atif';
  if (keys.has('sessionId') || keys.has('projectHash')) return 'gemini';
  if (keys.has('traj') || keys.has('messages') || keys.has('role') || keys.has('task_id')) return 'openai';
  return undefined;
}

function topKeys(text: string, start: number): readonly string[] {
  return topMembers(text, start).map((member) => member.key ?? '');
}

function topMembers(text: string, start: number): ReturnType<typeof members> {
  try {
    return members(text, { start, end: valueEnd(text, start) });
  } catch {
    return [];
  }
}

/** Text fields at the top of a document, as far as the head shows them. */
export function documentFields(text: string): Json {
  const start = skipSpace(text, 0);
  if (text.charAt(start) !== '{') return {};
  const found: Json = {};
  for (const { key, start: from, end } of topMembers(text, start)) {
    if (key === undefined || text.charAt(from) !== '"' || end - from > 1024) continue;
    try {
      found[key] = JSON.parse(text.slice(from, end));
    } catch {
      break;
    }
  }
  return found;
}
