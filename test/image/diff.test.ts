import { expect, test } from 'vitest';
import { diffSides, DIFF_PARTS, type DiffSide, type SourceFile } from '../../src/image/diff.ts';
import { historyOf } from '../../src/image/history.ts';
import { readImage } from '../../src/image/image.ts';
import { ociDigest } from '../../src/image/oci.ts';
import { diffJournals, type JournalSide } from '../../src/image/transcript-diff.ts';
import { imageConfig } from './image-config.ts';
import { scratchStore } from './scratch.ts';
import { storeImage, storeLayer } from './stored-image.ts';

/** What was read of it is counted: shared stretches must not be. */
function journal(texts: readonly string[], known = true): JournalSide & { readBytes: number } {
  const bytes = Buffer.from(texts.join(''));
  return {
    bytes: bytes.length,
    lines: known ? bytes.toString().split('\n').length - 1 : undefined,
    stretches: known ? texts.map((text) => ({ digest: ociDigest(text), size: Buffer.byteLength(text) })) : [],
    readBytes: 0,
    read(offset, count) {
      const piece = bytes.subarray(offset, offset + count);
      this.readBytes += piece.length;
      return Promise.resolve(piece);
    },
  };
}
const line = (text: string): string => `{"role":"user","content":"${text}"}\n`;

test('IMG-17 shared stretches are not read, and the lines behind the point where two transcripts part are told with their numbers', async () => {
  const shared = Array.from({ length: 1000 }, (_, n) => line(`shared ${n}`)).join('');
  const a = journal([shared, line('a 1') + line('a 2')]);
  const b = journal([shared, line('b 1')]);
  const diff = await diffJournals(a, b);
  expect(diff.common).toBe(1000);
  expect(diff.commonBytes).toBe(shared.length);
  expect(diff.a).toMatchObject({ lines: 2, shown: [{ line: 1001, text: line('a 1').trim(), cut: 0 }, { line: 1002 }] });
  expect(diff.b).toMatchObject({ lines: 1, shown: [{ line: 1001 }] });
  expect(Math.max(a.readBytes, b.readBytes)).toBeLessThan(200);
});

test('IMG-17 transcripts that share no stretch are compared line by line, wherever they part', async () => {
  const lines = Array.from({ length: 40 }, (_, n) => line(`${n} é`));
  for (const part of [0, 1, 17, 39, 40]) {
    const other = [...lines.slice(0, part), line('another'), line('and more')];
    for (const known of [true, false]) {
      const diff = await diffJournals(journal([lines.join('')], known), journal([other.join('')], known), 0, 5);
      expect(diff.common).toBe(part);
      expect(diff.a.lines).toBe(40 - part);
      expect(diff.b.lines).toBe(2);
      expect(diff.a.shown.map((shown) => shown.line)).toEqual(Array.from({ length: Math.min(5, 40 - part) }, (_, n) => part + n + 1));
    }
  }
  expect(await diffJournals(journal(lines), journal(lines, false))).toMatchObject({ common: 40, a: { bytes: 0 }, b: { bytes: 0 } });
});

test('IMG-17 a record of what is shared is believed only when it ends in the same line', async () => {
  const shared = line('1') + line('2');
  const image = journal([shared]);
  const grown = journal([shared + line('3')], false);
  expect(await diffJournals(image, grown, shared.length)).toMatchObject({ common: 2, a: { lines: 0 }, b: { lines: 1 } });
  // Forked before the end of its image, and gone on.
  const other = journal([line('1') + line('x') + line('3')], false);
  expect(await diffJournals(image, other, shared.length)).toMatchObject({ common: 1, a: { lines: 1 }, b: { lines: 2 } });
  expect(await diffJournals(image, journal([line('1')], false), shared.length)).toMatchObject({ common: 1, b: { lines: 0 } });
});

test('IMG-17 long lines and long rests are cut, and say so', async () => {
  const long = `{"content":"${'x'.repeat(3_000_000)}"}\n`;
  const { a } = await diffJournals(journal([long + line('2').repeat(50)]), journal([]));
  expect(a.lines).toBe(51);
  expect(a.shown).toHaveLength(20);
  expect(a.shown[0]).toMatchObject({ line: 1, cut: long.length - 1 - 2000 });
});

function side(
  name: string,
  files: Readonly<Record<string, string | Buffer>>,
  change: Parameters<typeof imageConfig>[0] | null = {},
): DiffSide {
  const file = (content: string | Buffer): SourceFile => {
    const bytes = Buffer.from(content);
    return { size: bytes.length, digest: ociDigest(bytes), read: () => Promise.resolve(bytes) };
  };
  return {
    name,
    config: change === null ? undefined : imageConfig(change),
    files: new Map(Object.entries(files).map(([path, content]) => [path, file(content)])),
    messages: journal([]),
    events: journal([]),
  };
}
const NOTHING = { messages: 0, events: 0 };

test('IMG-16 files that came, went or changed are told with their text, and large or binary ones by size and digest', async () => {
  const a = side('a', {
    'x.md': 'one\ntwo\nthree\n',
    'gone.md': 'was\n',
    same: 'same',
    'big.txt': 'x'.repeat(300_000),
    bin: Buffer.from([0, 1]),
  });
  const b = side('b', { 'x.md': 'one\nTWO\nthree\n', 'new.md': 'is\n', same: 'same', 'big.txt': 'y', bin: Buffer.from([0, 2]) });
  const { source, same } = await diffSides(a, b, ['source'], NOTHING);
  expect(same).toBe(false);
  expect(source?.map(({ path, change }) => `${change} ${path}`)).toEqual([
    'changed big.txt',
    'changed bin',
    'removed gone.md',
    'added new.md',
    'changed x.md',
  ]);
  const text = Object.fromEntries((source ?? []).map(({ path, diff }) => [path, diff]));
  expect(text['x.md']).toBe('--- a/x.md\n+++ b/x.md\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n');
  expect(text['gone.md']).toBe('--- a/gone.md\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-was\n');
  expect(text['new.md']).toContain('--- /dev/null\n+++ b/new.md\n');
  expect([text['big.txt'], text['bin']]).toEqual([null, null]);
});

test('IMG-16 manifests differ by field, memory by binding; a session has neither', async () => {
  const mounts = { memory: [{ name: 'project-memory', mode: 'read-write' as const }], retrieval: [], tools: [{ name: 'shell' }] };
  const a = side('a', {});
  const b = side('b', {}, { version: '2', mounts });
  const diff = await diffSides(a, b, DIFF_PARTS, NOTHING);
  expect(diff.manifest).toEqual([
    { field: 'mounts.tools', before: [], after: [{ name: 'shell' }] },
    { field: 'version', before: '2026.05.22', after: '2' },
  ]);
  expect(diff.memory?.map(({ field }) => field)).toEqual(['memory.project-memory.bound', 'memory.project-memory.mode']);
  expect(await diffSides(a, side('session', {}, null), DIFF_PARTS, NOTHING)).toMatchObject({ manifest: null, memory: null, same: true });
  expect((await diffSides(a, side('c', {}), DIFF_PARTS, NOTHING)).same).toBe(true);
});

test('IMG-18 each layer is said to come from the oldest image of the lineage that has it', async () => {
  const store = await scratchStore();
  const layers = await Promise.all(['one', 'two', 'three'].map((name) => storeLayer(store, name, { messages: line(name) })));
  const base = await storeImage(store, 'base:1', layers.slice(0, 1));
  const middle = await storeImage(store, 'middle:1', layers.slice(0, 2), { parent: 'base:1', parent_digest: base.digest });
  const top = await storeImage(store, 'top:1', layers, { parent: 'middle:1', parent_digest: middle.digest });
  const history = await historyOf(store, await readImage(store, top), 'top:1');
  expect(history.layers.map(({ name, brought_by }) => [name, brought_by.reference])).toEqual([
    ['one', 'base:1'],
    ['two', 'middle:1'],
    ['three', 'top:1'],
  ]);
  expect(history.lineage.map(({ reference, digest }) => [reference, digest])).toEqual([
    ['top:1', top.digest],
    ['middle:1', middle.digest],
    ['base:1', base.digest],
  ]);
  const orphan = await storeImage(store, 'orphan:1', layers, { parent: 'gone:1', parent_digest: ociDigest('gone') });
  const lost = await historyOf(store, await readImage(store, orphan), 'orphan:1');
  expect(lost.lineage.at(-1)).toEqual({ reference: 'gone:1', digest: ociDigest('gone'), created_at: null });
  expect(lost.layers.every(({ brought_by }) => brought_by.reference === 'orphan:1')).toBe(true);
});
