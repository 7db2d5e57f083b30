// YAML that nobody vouches for: context.yaml and its bundle, and the policy that an image brings along.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { policyWith } from '../../src/cli/image-memory.ts';
import { isArchive } from '../../src/cli/image-import.ts';
import { parsePolicy } from '../../src/context/policy.ts';
import { parseYaml } from '../../src/image/yaml.ts';
import { scratch } from './scratch.ts';

const KEYS = (count: number, word = ''): string =>
  Array.from({ length: count }, (_, n) => `k${n}: ${word.replaceAll('#', String(n))}1`).join('\n');
const BOMB = 'a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n';
const DEEP: readonly (readonly [string, string])[] = [
  ['flow lists', '['.repeat(100_000)],
  ['flow maps', '{a: '.repeat(50_000)],
  ['lists on one line', `${'- '.repeat(100_000)}x`],
  ['keys that are maps', `${'? '.repeat(100_000)}x`],
  ['keys without an end', '? '.repeat(500_000)],
  ['keys and lists', '? - '.repeat(100_000)],
  ['indented maps', Array.from({ length: 400 }, (_, n) => `${' '.repeat(n)}a:`).join('\n')],
];

test.each(DEEP)('IMG-2 deep YAML is refused by name: %s', (_what, text) => {
  expect(() => parseYaml(Buffer.from(text), 'evil.yaml')).toThrow(
    expect.objectContaining({ code: 'image.yaml', where: 'evil.yaml' }) as Error,
  );
  expect(() => parsePolicy(text.slice(0, 65_000))).toThrow(expect.objectContaining({ code: 'context.policy' }) as Error);
});

test('IMG-2 huge YAML, aliases, merges of them, and keys that are there twice are refused by name', () => {
  const refused = (text: string | Buffer, what: RegExp): void => {
    expect(() => parseYaml(Buffer.from(text), 'evil.yaml')).toThrow(what);
  };
  refused(`a: ${'x'.repeat(1024 * 1024)}`, /bytes; at most 1048576 are read/);
  refused(BOMB, /has an alias/);
  refused('a: &a {b: 1}\nc: {<<: *a}', /has an alias/);
  refused('a: *a', /alias/i);
  refused('a: 1\nb: {c: 1, c: 2}', /"c" is there twice/);
  refused('--- 1\n--- 2', /not YAML/);
  refused(Buffer.from([0x61, 0x3a, 0xff]), /not UTF-8/);
  expect(Object.getPrototypeOf(parseYaml(Buffer.from('__proto__: {polluted: 1}'), 'evil.yaml'))).toBe(Object.prototype);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
});

test('IMG-2 what YAML costs is in proportion to its length', () => {
  // In the square of the number of keys this is half a minute and more.
  const startUs = process.cpuUsage();
  expect(Object.keys(parseYaml(Buffer.from(KEYS(30_000)), 'keys') as object)).toHaveLength(30_000);
  parseYaml(Buffer.from(KEYS(15_000, '&a# ')), 'anchors');
  expect(() => parsePolicy(KEYS(6_000))).toThrow('unknown key k0');
  // An error for each of them is ten seconds and more.
  for (const stray of ['}', ']', '} \n', '---\n', ', ', '- }\n'])
    expect(() => parseYaml(Buffer.from(stray.repeat(1_000_000 / stray.length)), 'stray'), stray).toThrow('is not YAML');
  const { user, system } = process.cpuUsage(startUs);
  expect((user + system) / 1e6).toBeLessThan(10);
});

test('IMG-2 a policy that no session would take is not looked into when an image brings it along', () => {
  const bindings = [{ name: 'notes', mode: 'read-only', path: 'wiki' }] as never;
  for (const text of [BOMB, `memory: &m [{name: a, path: wiki}]\nx: *m`, KEYS(20_000), '#'.repeat(70_000), '['.repeat(10_000)])
    expect(() => policyWith(Buffer.from(text), bindings), text.slice(0, 20)).toThrow(
      expect.objectContaining({ code: 'context.policy' }) as Error,
    );
  expect(policyWith(Buffer.from('tokenizer: o200k_base\n'), bindings)?.toString()).toContain('path: wiki');
});

test('IMG-76 what is compressed with another format is told as an archive, not as a transcript', async () => {
  const path = join(await scratch(), 'review.tar.zst');
  for (const magic of [
    [0x28, 0xb5, 0x2f, 0xfd],
    [0xfd, 0x37, 0x7a, 0x58],
    [0x42, 0x5a, 0x68],
    [0x50, 0x4b, 0x03, 0x04],
    [0x1f, 0x8b],
  ]) {
    await fs.writeFile(path, Buffer.concat([Buffer.from(magic), Buffer.alloc(100)]));
    expect(await isArchive(path), String(magic)).toBe(true);
  }
  for (const text of ['', '{"role":"user"}\n', '[]', 'BZ', 'P'])
    await fs.writeFile(path, text).then(async () => expect(await isArchive(path), text).toBe(false));
});
