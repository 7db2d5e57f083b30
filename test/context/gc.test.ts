import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CtxError } from '../../src/abi/errors.ts';
import { referencedChildren } from '../../src/context/child.ts';
import { DEFAULT_GC_POLICY, DEFAULT_GC_POLICY_TEXT, parseDuration, parseGcPolicy, planGc } from '../../src/context/gc.ts';
import type { GcFile, GcPolicy, GcRequest } from '../../src/context/gc.ts';

const DAY = 86_400_000;

describe('gc.policy', () => {
  test('GCP-1: the example of the specification is the default', () => {
    expect(parseGcPolicy(DEFAULT_GC_POLICY_TEXT)).toEqual(DEFAULT_GC_POLICY);
    expect(parseGcPolicy('')).toEqual(DEFAULT_GC_POLICY);
  });

  test('GCP-1: every key is read; comments and blanks are allowed', () => {
    expect(parseGcPolicy('# mine\n\npack_ttl=never\nswap_ttl = 12h\ndedup_min_refs=3\nkeep_messages=0\nkeep_events=0')).toEqual({
      packTtlMs: undefined,
      swapTtlMs: DAY / 2,
      dedupMinRefs: 3,
      keepMessages: false,
      keepEvents: false,
    });
  });

  test.each([
    'ttl=1d',
    'pack_ttl',
    'pack_ttl=',
    'pack_ttl=1y',
    'pack_ttl=-1d',
    'pack_ttl=1.5d',
    'dedup_min_refs=-1',
    'dedup_min_refs=x',
    'keep_messages=yes',
    'keep_events=2',
    'swap_ttl=1d\nswap_ttl=2d',
  ])('GCP-1: %j is refused', (text) => {
    expect(() => parseGcPolicy(text)).toThrow(expect.objectContaining({ errno: 'EINVAL' }) as CtxError);
  });

  test('durations have units; a bare number is seconds', () => {
    expect(['90', '1500ms', '2m', '12h', '30d', '1w', '0'].map(parseDuration)).toEqual([
      90_000,
      1500,
      120_000,
      DAY / 2,
      30 * DAY,
      7 * DAY,
      0,
    ]);
  });
});

const name = fc.constantFrom('a', 'sha256-abc', 'rev-123', '..', 'x.md');
const path = fc.oneof(
  fc.constantFrom(
    'messages.jsonl',
    'events.jsonl',
    'latest.md',
    'state',
    'cwd',
    'meta.json',
    'created_at',
    'context/budget',
    'context/gc.policy',
    'context/policy.yaml',
    'context/tools.json',
    'context/pack.json',
    'context/pack.md',
    'context/prompt.json',
    'context/summary.md',
    'context/facts.jsonl',
    'context/swap/index.jsonl',
    'context/.cache/blocks.jsonl',
    'segments/messages.1.jsonl',
    'segments/events.1.jsonl',
    'order.log',
    'inputs/sha256-abc',
  ),
  fc
    .tuple(
      fc.constantFrom(
        'context/pinned',
        'context/swap/chunk',
        'context/dedup/blob',
        'context/child/rev-123',
        'context/child/rev-123/artifact',
        'other',
      ),
      name,
    )
    .map(([a, b]) => `${a}/${b}`),
);
const file: fc.Arbitrary<GcFile> = fc.record(
  { path, sizeBytes: fc.nat(), usedMs: fc.nat(100 * DAY), references: fc.nat(3) },
  { requiredKeys: ['path', 'sizeBytes', 'usedMs'] },
) as fc.Arbitrary<GcFile>;
const policy: fc.Arbitrary<GcPolicy> = fc.record({
  packTtlMs: fc.option(fc.nat(3 * DAY), { nil: undefined }),
  swapTtlMs: fc.option(fc.nat(40 * DAY), { nil: undefined }),
  dedupMinRefs: fc.nat(3),
  keepMessages: fc.boolean(),
  keepEvents: fc.boolean(),
});
const request: fc.Arbitrary<GcRequest> = fc.record({
  files: fc.array(file, { maxLength: 30 }),
  policy,
  nowMs: fc.nat(200 * DAY),
  explicitDelete: fc.boolean(),
});

const planned = (one: GcRequest): readonly string[] => planGc(one).map((entry) => entry.path);

test('GCP-2: messages.jsonl is never planned unless the policy allows it and a person asked', () => {
  fc.assert(
    fc.property(request, (one) => {
      if (one.explicitDelete !== true || one.policy.keepMessages) expect(planned(one).filter((p) => p.includes('messages'))).toEqual([]);
    }),
    { numRuns: 500 },
  );
  const asked = {
    files: [{ path: 'messages.jsonl', sizeBytes: 1, usedMs: 0 }],
    policy: { ...DEFAULT_GC_POLICY, keepMessages: false },
    nowMs: DAY,
    explicitDelete: true,
  };
  expect(planned(asked)).toEqual(['messages.jsonl']);
});

test('GCP-3: events.jsonl is never planned unless the policy allows it and a person asked', () => {
  fc.assert(
    fc.property(request, (one) => {
      if (one.explicitDelete !== true || one.policy.keepEvents) expect(planned(one).filter((p) => p.includes('events'))).toEqual([]);
    }),
    { numRuns: 500 },
  );
  const asked = {
    files: [{ path: 'events.jsonl', sizeBytes: 1, usedMs: 0 }],
    policy: { ...DEFAULT_GC_POLICY, keepEvents: false },
    nowMs: DAY,
    explicitDelete: true,
  };
  expect(planned(asked)).toEqual(['events.jsonl']);
});

test('GCP-4: a child result is never planned while parent context references it', () => {
  fc.assert(
    fc.property(
      request,
      fc.array(fc.constantFrom('context/child/rev-123/result.md', 'context/child/other/result.md', 'rev-123')),
      (one, mentions) => {
        // As the caller does it: references are counted from the texts of the parent's context.
        const named = referencedChildren([JSON.stringify({ items: mentions.map((source) => ({ kind: 'child_result', source })) })]);
        const files = one.files.map((entry) => ({ ...entry, references: Number(named.has(entry.path.split('/')[2] ?? '')) }));
        if (mentions.some((mention) => mention.includes('/rev-123/')))
          expect(planned({ ...one, files }).filter((p) => p.startsWith('context/child/'))).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
  const child = { path: 'context/child/rev-123/result.md', sizeBytes: 1, usedMs: 0 };
  const asked = { policy: DEFAULT_GC_POLICY, nowMs: DAY, explicitDelete: true };
  expect(planned({ ...asked, files: [{ ...child, references: 0 }] })).toEqual([child.path]);
  expect(planned({ ...asked, files: [child] })).toEqual([]);
});

test('GCP-5: collection plans derived cache only: never control, pinned, child, journal or unknown files', () => {
  fc.assert(
    fc.property(request, (one) => {
      for (const entry of planned({ ...one, explicitDelete: false })) {
        expect(entry).toMatch(
          /^context\/(?:pack\.(?:json|md)|prompt\.json|swap\/index\.jsonl|swap\/chunk\/[^/]+|dedup\/blob\/[^/]+|\.cache\/.+)$/,
        );
      }
    }),
    { numRuns: 500 },
  );
});

test('GCP-6: packs go after pack_ttl, swap after swap_ttl, blobs below dedup_min_refs', () => {
  const files: GcFile[] = [
    { path: 'context/pack.json', sizeBytes: 10, usedMs: 9 * DAY },
    { path: 'context/pack.md', sizeBytes: 10, usedMs: 9 * DAY + 1 },
    { path: 'context/swap/chunk/sha256-a', sizeBytes: 20, usedMs: 0 },
    { path: 'context/swap/chunk/sha256-b', sizeBytes: 20, usedMs: 9 * DAY },
    { path: 'context/dedup/blob/sha256-c', sizeBytes: 30, usedMs: 0, references: 0 },
    { path: 'context/dedup/blob/sha256-d', sizeBytes: 30, usedMs: 0, references: 1 },
  ];
  expect(planGc({ files, policy: parseGcPolicy('pack_ttl=1d\nswap_ttl=10d'), nowMs: 10 * DAY })).toEqual([
    { path: 'context/dedup/blob/sha256-c', sizeBytes: 30, reason: 'dedup_min_refs' },
    { path: 'context/pack.json', sizeBytes: 10, reason: 'pack_ttl' },
    { path: 'context/swap/chunk/sha256-a', sizeBytes: 20, reason: 'swap_ttl' },
  ]);
});
