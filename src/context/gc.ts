// context/gc.policy and what garbage collection may remove. Pure: it plans, the caller removes.
import { CtxError } from '../abi/errors.ts';

/** The five keys of gc.policy (abi-spec/context.md). Times are in milliseconds; `undefined` means never. */
export interface GcPolicy {
  readonly packTtlMs: number | undefined;
  readonly swapTtlMs: number | undefined;
  /** A dedup blob with fewer references than this may go at once. */
  readonly dedupMinRefs: number;
  readonly keepMessages: boolean;
  readonly keepEvents: boolean;
}

export const DEFAULT_GC_POLICY: GcPolicy = {
  packTtlMs: 86_400_000,
  swapTtlMs: 30 * 86_400_000,
  dedupMinRefs: 1,
  keepMessages: true,
  keepEvents: true,
};

export const DEFAULT_GC_POLICY_TEXT = 'pack_ttl=1d\nswap_ttl=30d\ndedup_min_refs=1\nkeep_messages=1\nkeep_events=1\n';

/** `KEY=VALUE` lines; blank lines and `#` comments are allowed; keys may be left out. Throws CtxError EINVAL. */
export function parseGcPolicy(text: string): GcPolicy {
  const values = new Map<string, string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const equals = line.indexOf('=');
    const key = equals < 0 ? line : line.slice(0, equals).trimEnd();
    if (equals < 0 || !KEYS.has(key))
      refuse(index + 1, equals < 0 ? 'is not KEY=VALUE' : `unknown key ${key} (known: ${[...KEYS].join(', ')})`);
    if (values.has(key)) refuse(index + 1, `${key} is given twice`);
    const value = line.slice(equals + 1).trimStart();
    const pattern = KEYS.get(key) as RegExp;
    if (!pattern.test(value)) refuse(index + 1, `${key}=${value.slice(0, 40)} is not ${EXPECTED.get(pattern)}`);
    values.set(key, value);
  }
  const duration = (key: string, otherwise: number | undefined): number | undefined => {
    const value = values.get(key);
    return value === undefined ? otherwise : parseDuration(value);
  };
  return {
    packTtlMs: duration('pack_ttl', DEFAULT_GC_POLICY.packTtlMs),
    swapTtlMs: duration('swap_ttl', DEFAULT_GC_POLICY.swapTtlMs),
    dedupMinRefs: Number(values.get('dedup_min_refs') ?? DEFAULT_GC_POLICY.dedupMinRefs),
    keepMessages: (values.get('keep_messages') ?? '1') === '1',
    keepEvents: (values.get('keep_events') ?? '1') === '1',
  };
}

/** One file of a session as GC sees it. */
export interface GcFile {
  /** Path below the session directory. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Last time it was written or read. */
  readonly usedMs: number;
  /** dedup blobs: how many references name it. Children: how many references of the parent's context name its result. */
  readonly references?: number;
}

export interface GcPlanEntry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly reason: string;
}

export interface GcRequest {
  readonly files: readonly GcFile[];
  readonly policy: GcPolicy;
  readonly nowMs: number;
  /** Set by `ctx rm`/`ctx archive` only: the person asked for history itself to go. GC proper never sets it. */
  readonly explicitDelete?: boolean;
}

/**
 * What may be removed, in path order.
 * GC-1, GC-2: journals stay unless the policy says keep=0 *and* a person asked explicitly.
 * GC-3: a child's files stay while the parent's context refers to its result.
 * GC-4: everything that is not known to be derived stays (pinned files, control files, unknown names).
 */
export function planGc(request: GcRequest): readonly GcPlanEntry[] {
  const plan: GcPlanEntry[] = [];
  for (const file of request.files) {
    const reason = removalReason(file, request);
    if (reason !== undefined) plan.push({ path: file.path, sizeBytes: file.sizeBytes, reason });
  }
  return plan.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** `12h`, `30d`, `1w`, … in ms; `never` gives undefined. A bare number is seconds. */
export function parseDuration(text: string): number | undefined {
  if (text === 'never') return undefined;
  const match = /^([0-9]{1,9})(ms|s|m|h|d|w)?$/.exec(text);
  if (match?.[1] === undefined)
    throw new CtxError('context.duration', 'EINVAL', `${text.slice(0, 40)} is not a duration such as 12h or 30d`);
  return Number(match[1]) * (UNIT_MS[match[2] ?? 's'] as number);
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
const DURATION = /^(?:never|[0-9]{1,9}(?:ms|s|m|h|d|w)?)$/;
const COUNT = /^(?:0|[1-9][0-9]{0,8})$/;
const FLAG = /^[01]$/;
const EXPECTED: ReadonlyMap<RegExp, string> = new Map([
  [DURATION, 'a duration such as 12h or 30d'],
  [COUNT, 'an unsigned integer'],
  [FLAG, '0 or 1'],
]);
const KEYS: ReadonlyMap<string, RegExp> = new Map([
  ['pack_ttl', DURATION],
  ['swap_ttl', DURATION],
  ['dedup_min_refs', COUNT],
  ['keep_messages', FLAG],
  ['keep_events', FLAG],
]);

const PACK = /^context\/(?:pack\.(?:json|md)|prompt\.json)$/;
const SWAP = /^context\/swap\/(?:index\.jsonl|chunk\/[^/]+)$/;
const BLOB = /^context\/dedup\/blob\/[^/]+$/;
const CACHE = /^context\/\.cache\//;
const CHILD = /^context\/child\/[^/]+\//;
const MESSAGES = /^(?:messages\.jsonl|segments\/messages[^/]*)$/;
const EVENTS = /^(?:events\.jsonl|segments\/events[^/]*)$/;

function refuse(line: number, what: string): never {
  throw new CtxError('context.gc_policy', 'EINVAL', what, {
    where: `context/gc.policy line ${line}`,
    next: 'keys: pack_ttl, swap_ttl, dedup_min_refs, keep_messages, keep_events',
  });
}

function removalReason(file: GcFile, request: GcRequest): string | undefined {
  const { policy, nowMs, explicitDelete } = request;
  const ageMs = nowMs - file.usedMs;
  const expired = (ttlMs: number | undefined): boolean => ttlMs !== undefined && ageMs >= ttlMs;
  if (PACK.test(file.path) || CACHE.test(file.path)) return expired(policy.packTtlMs) ? 'pack_ttl' : undefined;
  if (SWAP.test(file.path)) return expired(policy.swapTtlMs) ? 'swap_ttl' : undefined;
  if (BLOB.test(file.path)) return (file.references ?? 0) < policy.dedupMinRefs ? 'dedup_min_refs' : undefined;
  if (explicitDelete !== true) return undefined;
  if (MESSAGES.test(file.path)) return policy.keepMessages ? undefined : 'keep_messages=0';
  if (EVENTS.test(file.path)) return policy.keepEvents ? undefined : 'keep_events=0';
  // GC-3: an unknown number of references counts as referenced.
  if (CHILD.test(file.path)) return file.references === 0 ? 'unreferenced child' : undefined;
  return undefined;
}
