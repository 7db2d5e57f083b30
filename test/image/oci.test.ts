import { expect, test } from 'vitest';
import { canonicalBytes, MEDIA, ociDigest, parseBounded, parseIndex, parseManifest } from '../../src/image/oci.ts';
import { parseImageReference, tagKey, tryImageReference } from '../../src/image/reference.ts';

const digest = ociDigest('x');

test('IMG-1 a reference is a name, a tag and a digest, and nothing else', () => {
  expect(parseImageReference('quilt/customer-review')).toEqual({ name: 'quilt/customer-review', tag: undefined, digest: undefined });
  expect(parseImageReference('image:quilt/customer-review:2026.05.22')).toMatchObject({ name: 'quilt/customer-review', tag: '2026.05.22' });
  expect(parseImageReference(`a:b@${digest}`)).toEqual({ name: 'a', tag: 'b', digest });
  expect(tagKey(parseImageReference('quilt/a'))).toBe('quilt/a:latest');
  for (const bad of [
    '',
    'A/b',
    '/a',
    'a/',
    'a//b',
    '../a',
    'a/../b',
    'a:',
    'a:b:c',
    'a@sha256:12',
    `a@${digest}@${digest}`,
    'a b',
    'a\nb',
    'a:.x',
    `${'a/'.repeat(8)}a`,
    '.a',
    'a:b/c',
  ])
    expect(tryImageReference(bad), bad).toBeUndefined();
  expect(() => parseImageReference('A')).toThrow('names no image');
});

test('IMG-2 hostile JSON is refused by name', () => {
  const refused = (text: string, what: RegExp): void =>
    expect(() => parseManifest(Buffer.from(text), 'evil'), text.slice(0, 40)).toThrow(what);
  const descriptor = { mediaType: 'a/b', digest, size: 1 };
  const whole = { schemaVersion: 2, mediaType: MEDIA.manifest, artifactType: MEDIA.image, config: descriptor, layers: [descriptor] };
  expect(parseManifest(canonicalBytes(whole), 'good')).toEqual(whole);
  refused('{', /is not JSON/);
  refused('[]', /is not an object/);
  refused(`{"schemaVersion":2,"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /deeper than 64/);
  refused(' '.repeat(4 * 1024 * 1024 + 1), /bytes of JSON/);
  refused(JSON.stringify({ ...whole, config: { ...descriptor, digest: 'sha512:00' } }), /only sha256/);
  refused(JSON.stringify({ ...whole, config: { ...descriptor, digest: `sha256:../${'a'.repeat(61)}` } }), /only sha256/);
  refused(JSON.stringify({ ...whole, layers: [{ ...descriptor, size: -1 }] }), /has no size/);
  refused(JSON.stringify({ ...whole, layers: [{ ...descriptor, size: 1e300 }] }), /has no size/);
  refused(JSON.stringify({ ...whole, layers: {} }), /has no list/);
  refused(JSON.stringify({ ...whole, annotations: { a: 1 } }), /annotations that are not text/);
  expect(() => parseBounded(Buffer.from([0x22, 0xff, 0x22]), 'evil')).toThrow('is not UTF-8');
  expect(() => parseIndex(Buffer.from('{"schemaVersion":2,"manifests":[{}]}'), 'evil')).toThrow('has no mediaType');
  try {
    parseManifest(Buffer.from('{'), 'sha256:1234');
  } catch (error) {
    expect(error).toMatchObject({ where: 'sha256:1234', code: 'image.invalid' });
  }
});

test('canonical JSON does not depend on the order of keys', () => {
  expect(canonicalBytes({ b: [1, { d: 1, c: undefined }], a: 'x' }).toString()).toBe('{"a":"x","b":[1,{"d":1}]}');
  expect(canonicalBytes({ a: 'x', b: [1, { c: undefined, d: 1 }] })).toEqual(canonicalBytes({ b: [1, { d: 1 }], a: 'x' }));
});
