import { describe, expect, test } from 'vitest';
import { CONTEXT_CONTROLS, SESSION_CONTROLS } from '../../src/abi/session-files.ts';
import type { CtxError } from '../../src/abi/errors.ts';
import { DEFAULT_POLICY, parsePolicy } from '../../src/context/policy.ts';
import { isBeyondMending, initialControls, isControlFile, parseBudget, validateControl } from '../../src/session/controls.ts';

const CASES: Readonly<Record<string, { readonly valid: readonly string[]; readonly invalid: readonly string[] }>> = {
  state: {
    valid: ['active\n', 'idle', 'done\n', 'error\n', 'cancelled\n'],
    invalid: ['', 'Active\n', 'active\n\n', 'busy', 'active idle', 'active\r\n'],
  },
  cwd: {
    valid: ['/\n', '/home/a b/c', '/x/..y/.z\n', '/é'],
    invalid: ['', 'home', './a', '/a/../b', '/a/./b', '/a//b', '/a/\n', '/a\n/b\n', '/a\0b', `/${'x'.repeat(4096)}`],
  },
  'meta.json': { valid: ['{}', '{"client":"x","scope":"private"}\n'], invalid: ['', '[]', 'null', '"x"', '{', '{"scope":"public"}'] },
  created_at: {
    valid: [
      '2026-11-20T11:00:00Z\n',
      '2026-11-20T11:00:00.123+01:00',
      '2024-02-29t00:00:00z',
      '2016-12-31T23:59:60Z',
      '2000-02-29T00:00:00Z',
    ],
    invalid: [
      '',
      '2026-11-20',
      '2026-13-01T00:00:00Z',
      '2025-02-29T00:00:00Z',
      '1900-02-29T00:00:00Z',
      '2026-04-31T00:00:00Z',
      '2026-11-20T24:00:00Z',
      '2026-11-20T11:00:00',
      'yesterday',
    ],
  },
  'context/budget': { valid: ['', '\n', '0\n', '32000\n', ' 7 '], invalid: ['-1', '1.5', '1e3', '0x10', 'many', '1\n2\n', '9'.repeat(16)] },
  'context/gc.policy': { valid: ['', 'pack_ttl=1d\n'], invalid: ['pack_ttl=soon', 'nothing'] },
  'context/policy.yaml': {
    valid: [
      '',
      '# nothing\n',
      'tokenizer: cl100k_base\nshares: {recall: 0.2}\nlow_water: 0.6\n',
      'compact: {mode: off}\nremote: {allow: false}\n',
      'max_line_bytes: 1048576',
      'memory: []',
      'memory: [{path: wiki, plan: plans/q3.md}, {path: shared/acme/wiki/team, name: team, mode: read-only, scope: organization, share: 0.1}]',
    ],
    invalid: [
      'tokeniser: x',
      'tokenizer: nope',
      'shares: {tail: 0.5}',
      'shares: [1]',
      'shares: {recall: 2}',
      'low_water: 0.2',
      'max_line_bytes: 1.5',
      'max_line_bytes: 10',
      'compact: {mode: always}',
      'remote: {allow: perhaps}',
      '- a\n- b',
      'a: [',
      'memory: wiki',
      'memory: [{}]',
      'memory: [{path: /etc}]',
      'memory: [{path: wiki/../../x}]',
      'memory: [{path: wiki/.git}]',
      'memory: [{path: wiki}, {path: home/1/wiki}]',
      'memory: [{path: wiki, share: 2}]',
      'memory: [{path: wiki, mode: write}]',
      'memory: [{path: wiki, plan: ../x.md}]',
      'memory: [{path: wiki, other: 1}]',
      'tokenizer: a\ntokenizer: b',
      'tokenizer: "a b"',
      'tokenizer: &x o200k_base\nremote: {url: *x}',
      'shares: {recall: .nan}',
      '__proto__: {x: 1}',
    ],
  },
  'context/tools.json': {
    valid: [
      '',
      '[]\n',
      '[{"type":"function","function":{"name":"ls","description":"list","parameters":{"type":"object"}}}]',
      '[{"name":"a","input_schema":{}},{"name":"b","inputSchema":{}}]',
      '[{"type":"web_search_20250305","name":"web_search"}]',
    ],
    invalid: [
      '{}',
      '[1]',
      '[{}]',
      '[{"name":""}]',
      '[{"name":"a"},{"name":"a"}]',
      '[{"name":"a","parameters":[]}]',
      '[{"type":"function","function":7}]',
      '[{"type":"function","function":{}}]',
      '[{"name":"a","description":1}]',
      '[',
    ],
  },
};

test.each([
  ['context/policy.yaml', 'x: 1', true],
  ['context/policy.yaml', 'shares:\n  x: 1', true],
  ['context/policy.yaml', 'low_water: 0.', false],
  ['context/policy.yaml', 'low_wat', false],
  ['context/policy.yaml', 'tokenizer: o200k', false],
  ['context/policy.yaml', 'shares: {', false],
  ['context/gc.policy', 'ttl=1', true],
  ['context/gc.policy', 'pack_t', false],
  ['context/gc.policy', 'pack_ttl=', false],
  ['meta.json', '{"scope":"all"}', true],
  ['meta.json', '{"a" 1', true],
  ['meta.json', '{"a":1', false],
  ['meta.json', '{"a":1}', false],
  ['meta.json', '{"a":1\n', false],
  ['meta.json', '{"a"', false],
  ['context/tools.json', '[{"nam', false],
])('CTF-1: of %s, %j: whether nothing behind it can make it valid is %s', (path, text, beyond) => {
  expect(isBeyondMending(path, text)).toBe(beyond);
});

describe.each(Object.entries(CASES))('%s', (path, { valid, invalid }) => {
  test.each(valid)('CTF-1: %j may be written', (text) => {
    expect(() => validateControl(path, Buffer.from(text))).not.toThrow();
  });

  test.each(invalid)('CTF-1: %j is refused with EINVAL', (text) => {
    expect(() => validateControl(path, Buffer.from(text))).toThrow(expect.objectContaining({ errno: 'EINVAL' }) as CtxError);
  });

  test('CTF-1: invalid UTF-8 is refused with EINVAL, over-long content with EFBIG', () => {
    expect(() => validateControl(path, Buffer.from([0x30, 0xff]))).toThrow(expect.objectContaining({ errno: 'EINVAL' }) as CtxError);
    expect(() => validateControl(path, Buffer.alloc(1024 * 1024 + 1, 0x20))).toThrow(
      expect.objectContaining({ errno: 'EFBIG' }) as CtxError,
    );
  });
});

test('CTF-2: a new session has a valid value in every control file', () => {
  const controls = initialControls(Date.UTC(2026, 10, 20, 11, 0, 0), '/home/a');
  expect([...controls.keys()].sort()).toEqual([...SESSION_CONTROLS, ...CONTEXT_CONTROLS.map((name) => `context/${name}`)].sort());
  for (const [path, content] of controls) {
    expect(isControlFile(path)).toBe(true);
    expect(() => validateControl(path, Buffer.from(content))).not.toThrow();
  }
  expect(controls.get('created_at')).toBe('2026-11-20T11:00:00.000Z\n');
  expect(controls.get('state')).toBe('active\n');
});

test('other files are no control files', () => {
  expect(isControlFile('context/pack.json')).toBe(false);
  expect(() => validateControl('context/pack.json', Buffer.alloc(0))).toThrow(expect.objectContaining({ errno: 'EINVAL' }) as CtxError);
});

test('an empty or zero budget is unlimited', () => {
  expect(['', '\n', '0\n', '32000\n'].map(parseBudget)).toEqual([undefined, undefined, undefined, 32_000]);
});

test('policy.yaml: an empty file is the default; given keys override one by one', () => {
  expect(parsePolicy('')).toEqual(DEFAULT_POLICY);
  expect(parsePolicy('shares:\n  recall: 0.2\ncompact:\n  mode: off\n')).toEqual({
    ...DEFAULT_POLICY,
    shares: { ...DEFAULT_POLICY.shares, recall: 0.2 },
    compact: { ...DEFAULT_POLICY.compact, mode: 'off' },
  });
});
