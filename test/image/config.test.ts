import * as fs from 'node:fs';
import { expect, test } from 'vitest';
import { checkConfig, parseConfig, sourceHash } from '../../src/image/config.ts';
import { canonicalBytes, ociDigest } from '../../src/image/oci.ts';
import { imageConfig } from './image-config.ts';

test('IMG-6 a config lacks none of the required fields and has no other', () => {
  const config = imageConfig();
  expect(parseConfig(canonicalBytes(config), 'image')).toEqual(config);
  const required = [
    'schema',
    'name',
    'version',
    'created_at',
    'parent',
    'source',
    'model',
    'runtime',
    'compiled_state',
    'tool_schema_version',
    'mounts',
    'policy',
    'rebuild',
    'layers',
    'continuation',
  ];
  for (const field of required) expect(() => checkConfig({ ...config, [field]: undefined }, 'x'), field).toThrow(field);
  for (const [part, fields] of [
    ['source', ['source_hash', 'transcript']],
    ['model', ['weights_hash', 'tokenizer_hash', 'chat_template_hash', 'context_length', 'position_encoding']],
    ['runtime', ['engine', 'kv_layout', 'quantization', 'compatible_arch']],
    ['policy', ['exportable']],
    ['rebuild', ['command', 'build_order', 'dependencies']],
  ] as const) {
    for (const field of fields) {
      const { [field]: _gone, ...rest } = config[part] as unknown as Record<string, unknown>;
      expect(() => checkConfig({ ...config, [part]: rest }, 'x'), field).toThrow(field);
    }
  }
  expect(() => checkConfig({ ...config, surprise: 1 }, 'x')).toThrow('surprise');
  expect(() => checkConfig({ ...config, created_at: 'yesterday' }, 'x')).toThrow('created_at');
  const hostile = ['/etc/passwd', '../x', 'a/../b', 'a//b', 'a/./b', 'a\nb', '', 'a/', '.', '..', 'a/..'];
  for (const path of hostile) {
    const files = [{ path, size: 0, digest: ociDigest('') }];
    expect(() => checkConfig({ ...config, layers: [{ name: 'l', role: 'base', parts: [], files }] }, 'x'), path).toThrow('path');
  }
});

test('the schema is the published one', () => {
  const published = JSON.parse(fs.readFileSync(new URL('../../abi-spec/schema/image-config.json', import.meta.url), 'utf8')) as {
    $id: string;
  };
  expect(published.$id).toBe('image-config');
});

test('the source hash is of what the layers hold', () => {
  const [layer] = imageConfig().layers;
  if (layer === undefined) throw new Error('the example has a layer');
  const hash = sourceHash([layer]);
  expect(sourceHash([{ ...layer, name: 'other', role: 'team' }])).toBe(hash);
  expect(sourceHash([{ ...layer, files: [{ path: 'context/pinned/b.md', size: 1, digest: ociDigest('b') }] }])).not.toBe(hash);
});
