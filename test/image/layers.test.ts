import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ContextLayer } from '../../src/image/config.ts';
import { joinFiles, sharedLayers, stretchesOf, whiteoutOf, whiteoutTarget } from '../../src/image/layers.ts';
import { MEDIA, ociDigest } from '../../src/image/oci.ts';

const layer = (paths: readonly string[], parts: ContextLayer['parts'] = [], tag = ''): ContextLayer => ({
  name: 'l',
  role: 'project',
  parts,
  files: paths.map((path) => ({ path, size: 1, digest: ociDigest(path + tag) })),
});
const part = (of: 'messages' | 'events', text: string): ContextLayer['parts'][number] => ({
  mediaType: MEDIA[of],
  digest: ociDigest(text),
  size: text.length,
});

test('IMG-7 the topmost file of a path counts, and a whiteout takes away what is below it', () => {
  const joined = joinFiles([
    layer(['a', 'd/x', 'd/y', 'e/f', 'g'], [], 'base'),
    layer(['a', '.wh.d', 'e/.wh.f', 'd2/x'], [], 'middle'),
    layer(['d/z', 'g/h'], [], 'top'),
  ]);
  expect([...joined.keys()]).toEqual(['a', 'd/z', 'd2/x', 'g/h']);
  expect(joined.get('a')).toMatchObject({ digest: ociDigest('amiddle'), layer: 1 });
  expect(joined.get('d/z')?.layer).toBe(2);
  // A file where a directory was.
  expect([...joinFiles([layer(['n/a', 'n/b']), layer(['n'])]).keys()]).toEqual(['n']);
  expect(whiteoutTarget(whiteoutOf('a/b/c'))).toBe('a/b/c');
  expect(whiteoutTarget('a/b')).toBeUndefined();
});

test('joining layers is what unpacking one after the other gives', () => {
  const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  // Within one layer no file is another's directory, as in any tar that is accepted.
  const files = fc
    .uniqueArray(path, { maxLength: 6 })
    .map((paths) => paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`))));
  const change = fc.record({ files, gone: fc.uniqueArray(path, { maxLength: 3 }) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 5 }), (changes) => {
      const unpacked = new Map<string, number>();
      changes.forEach(({ files: put, gone }, index) => {
        for (const target of gone)
          for (const at of Array.from(unpacked.keys())) if (at === target || at.startsWith(`${target}/`)) unpacked.delete(at);
        for (const at of put) {
          for (const other of Array.from(unpacked.keys()))
            if (other.startsWith(`${at}/`) || at.startsWith(`${other}/`)) unpacked.delete(other);
          unpacked.set(at, index);
        }
      });
      const joined = joinFiles(changes.map(({ files: put, gone }) => layer([...put, ...gone.map(whiteoutOf)])));
      expect([...joined].map(([at, file]) => [at, file.layer])).toEqual([...unpacked].sort(([a], [b]) => (a < b ? -1 : 1)));
    }),
    { numRuns: 500 },
  );
});

test('a journal is its stretches in order, and a fork at an earlier line shares only the layers before it', () => {
  const base = layer([], [part('messages', 'm1'), part('events', 'e1')]);
  const next = layer([], [part('messages', 'm2')]);
  expect(stretchesOf([base, next], 'messages').map(({ digest }) => digest)).toEqual([ociDigest('m1'), ociDigest('m2')]);
  const history = (messages: readonly string[], events: readonly string[]): Parameters<typeof sharedLayers>[1] => ({
    messages: messages.map((text) => part('messages', text)),
    events: events.map((text) => part('events', text)),
    order: [],
    inputs: [],
  });
  expect(sharedLayers([base, next], history(['m1', 'm2', 'm3'], ['e1']))).toBe(2);
  expect(sharedLayers([base, next], history(['m1', 'other'], ['e1']))).toBe(1);
  expect(sharedLayers([base, next], history(['m1', 'm2'], []))).toBe(0);
});
