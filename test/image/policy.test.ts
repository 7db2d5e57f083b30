import { expect, test } from 'vitest';
import type { ImagePolicy } from '../../src/image/config.ts';
import { checkPolicy, exportVerdict, policyPatterns, requireExportable } from '../../src/image/policy.ts';

const policy = (change: Partial<ImagePolicy>): ImagePolicy => ({
  exportable: true,
  allow_source_export: true,
  allow_compiled_state_export: true,
  redact_on_export: [],
  ...change,
});

test('IMG-70 the policy says what may leave: source, compiled state, or nothing', () => {
  const rows: [Partial<ImagePolicy>, boolean, boolean][] = [
    [{}, true, true],
    [{ allow_compiled_state_export: false }, true, false],
    [{ redact_on_export: ['secrets'] }, true, false],
    [{ allow_source_export: false }, false, false],
    [{ exportable: false }, true, false],
    [{ exportable: false, allow_source_export: false }, false, false],
  ];
  for (const [change, source, compiled] of rows) {
    const verdict = exportVerdict(policy(change));
    expect({ source: verdict.source, compiled: verdict.compiled }, JSON.stringify(change)).toEqual({ source, compiled });
    expect(verdict.reasons.length > 0, JSON.stringify(change)).toBe(!(source && compiled));
  }
  expect(() => requireExportable(policy({ exportable: false, allow_source_export: false }), 'a:latest')).toThrow(
    'policy.allow_source_export is false',
  );
});

test('IMG-71 patterns and globs of a policy that are not understood are refused, and none is slow', () => {
  const documents = (glob: string, path: string): boolean =>
    policyPatterns(policy({ private_documents: [glob] }), 'a').documents.some((pattern) => pattern.matches(path));
  for (const [glob, path, hit] of [
    ['documents/private/**', 'documents/private/a/b.md', true],
    ['documents/private', 'documents/private/a.md', true],
    ['documents/private/', 'documents/private/a.md', true],
    ['documents/private', 'documents/privateer.md', false],
    ['**/*.key', 'a.key', true],
    ['**/*.key', 'documents/.x/.a.key', true],
    ['*.key', 'documents/a.key', false],
    ['documents/?.md', 'documents/ä.md', true],
    ['documents/[a].md', 'documents/a.md', false],
    ['documents/[a].md', 'documents/[a].md', true],
    ['**', 'anything\nat all', true],
  ] as const)
    expect(documents(glob, path), `${glob} ${path}`).toBe(hit);
  const [slow] = policyPatterns(policy({ redact_patterns: ['(a+)+$'] }), 'a').secrets;
  expect(slow?.matcher(`${'a'.repeat(50_000)}!`).find()).toBe(false);
  for (const bad of ['(', '(?=a)', '(a)\\1', ''])
    expect(() => policyPatterns(policy({ redact_patterns: [bad] }), 'quilt:latest'), bad).toThrow('policy.redact_patterns.0');
  expect(() => checkPolicy({ policy: policy({ require_signatures: { keys: ['a'], threshold: 2 } }) }, 'a')).toThrow('asks 2 of 1 keys');
  expect(() => checkPolicy({ policy: policy({ require_signatures: { keys: [] } }) }, 'a')).toThrow('policy.require_signatures');
  expect(() => checkPolicy({ policy: policy({ require_signatures: { keys: ['a', 'b'] } }) }, 'a')).not.toThrow();
});
