// One request line of the control channel, judged before anything runs (abi-spec/schema/control-request.json).
import type { ControlRequest } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';

type Kind = 'text' | 'flag' | 'count' | 'line' | 'object' | 'blobs';
type Verb = ControlRequest['verb'];

/** What each verb needs; a trailing `?` in the name marks what may be left out. */
const FIELDS = {
  status: {},
  explain: { session: 'text', file: 'text' },
  search: { session: 'text', query: 'text', limit: 'count' },
  'pack-at': { session: 'text', at: 'text' },
  gc: { session: 'text', dryRun: 'flag' },
  fork: { from: 'text', to: 'text', 'at?': 'line' },
  seal: { session: 'text' },
  digest: { session: 'text' },
  'image.link': { session: 'text' },
  'image.adopt': { session: 'text', fingerprint: 'object', blobs: 'blobs' },
  'image.start': { 'session?': 'text', blobs: 'blobs', inputs: 'blobs' },
  'image.ready': { session: 'text', as: 'text' },
  sweep: { dryRun: 'flag' },
  archive: { session: 'text' },
  rm: { session: 'text', force: 'flag' },
  'model.ls': {},
  'model.add': { model: 'object', makeDefault: 'flag' },
  'model.rm': { model: 'text' },
  'model.use': { model: 'text' },
  'kv.inspect': { session: 'text' },
  'kv.evict': { session: 'text' },
  'kv.gc': { dryRun: 'flag' },
} as const satisfies Record<Verb, Readonly<Record<string, Kind>>>;

const IS: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  flag: (value) => typeof value === 'boolean',
  count: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  line: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  blobs: (value) => Array.isArray(value) && value.length <= 20_000 && value.every(isBlob),
};

const WORDS: Readonly<Record<Kind, string>> = {
  text: 'a string',
  flag: 'true or false',
  count: 'a whole number from 1',
  line: 'a line number from 0',
  object: 'an object',
  blobs: 'an array of {sha256, bytes}',
};

function isBlob(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { journal, sha256, bytes, count } = value as Readonly<Record<string, unknown>>;
  return (
    (journal === undefined || ['messages.jsonl', 'events.jsonl', 'order', 'inputs'].includes(journal as string)) &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    IS.line(bytes) &&
    (count === undefined || IS.count(count))
  );
}

/** CHN-8: throws `control.request` (EINVAL) for anything that is not a request. */
export function parseControlRequest(text: string): ControlRequest {
  const value = asObject(text);
  const verb = value['verb'];
  if (typeof verb !== 'string' || !Object.hasOwn(FIELDS, verb))
    throw new CtxError('control.unknown_verb', 'EINVAL', 'unknown verb', {
      where: JSON.stringify(verb ?? null),
      next: `use one of ${Object.keys(FIELDS).join(', ')}`,
    });
  for (const [field, kind] of Object.entries(FIELDS[verb as Verb]) as readonly (readonly [string, Kind])[]) {
    const name = field.replace('?', '');
    if (value[name] === undefined && name !== field) continue;
    if (!IS[kind](value[name])) throw bad(`${verb} needs ${name}: ${WORDS[kind]}`);
  }
  return value as unknown as ControlRequest;
}

function asObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad('the request is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad('the request is not a JSON object');
  return value as Readonly<Record<string, unknown>>;
}

function bad(what: string): CtxError {
  return new CtxError('control.request', 'EINVAL', what, { where: '.control', next: 'see abi-spec/control.md' });
}
