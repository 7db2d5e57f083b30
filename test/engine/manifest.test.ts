import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compare } from '../../src/engine/fingerprint.ts';
import {
  absent,
  compiling,
  failed,
  formatManifest,
  MANIFEST_STATES,
  parseManifest,
  progressed,
  queued,
  ready,
  stale,
} from '../../src/engine/manifest.ts';
import type { Manifest } from '../../src/engine/manifest.ts';
import { ManifestFiles } from '../../src/engine/manifest-files.ts';
import { prefixChain } from '../../src/engine/prefix.ts';
import { checkManifest, manifestIsValid } from './compiler-fixture.ts';

const engine = { model: 'local/tiny', driver: 'llama' } as const;
const pack = { digest: `sha256-${'1'.repeat(64)}`, epoch: 3 };
const waits = queued(engine, pack, 1000, null);
const runs = progressed(compiling(waits, 2000), 512, 2000);
const done = ready(
  runs,
  {
    reason: null,
    tokens: 2000,
    reused_tokens: 512,
    evaluated_tokens: 1488,
    bytes: 9000,
    key: 'a'.repeat(64),
    digest: `sha256-${'2'.repeat(64)}`,
    pack,
    prefix_chain: prefixChain(new Uint32Array(2000)),
    fingerprint: { driver: 'llama', tokens: 2000, lora_digest: null, flash_attention: false },
    compatibility: compare({ tokens: 2000 }, { context_tokens: 10 }),
  },
  5000,
);
const all: readonly Manifest[] = [
  absent('no engine'),
  waits,
  runs,
  done,
  stale(done, 'the pack has moved on', null),
  failed(runs, 'it crashed', 3000),
];

describe('manifest.json', () => {
  test('ENG-3 every state has every field and is valid', () => {
    expect(all.map(({ state }) => state)).toEqual([...MANIFEST_STATES]);
    for (const manifest of all) {
      checkManifest(manifest);
      expect(Object.keys(manifest)).toEqual(Object.keys(done));
    }
  });

  test('ENG-3 the schema refuses a manifest without its reason, without its numbers, or with anything else', () => {
    const wrong: readonly object[] = [
      { ...absent('x'), reason: null },
      { ...failed(runs, 'x', 1), reason: null },
      { ...done, tokens: null },
      { ...done, compatibility: null },
      { ...done, key: 'short' },
      { ...done, more: 1 },
      { ...done, state: 'done' },
      Object.fromEntries(Object.entries(done).filter(([name]) => name !== 'bytes')),
    ];
    for (const manifest of wrong) expect([manifest, manifestIsValid(manifest)]).toEqual([manifest, false]);
  });

  test('times and what they took', () => {
    expect(done).toMatchObject({
      queued_at: '1970-01-01T00:00:01.000Z',
      started_at: '1970-01-01T00:00:02.000Z',
      elapsed_ms: 3000,
      progress: null,
    });
    expect(failed(waits, 'x', 3000).elapsed_ms).toBeNull();
    // A clock that was set back gives no negative time.
    expect(failed(runs, 'x', 1000).elapsed_ms).toBe(0);
  });
});

describe('manifests between runs', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ctx-manifests-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  test('ENG-3 each is read back as written, by its session', () => {
    const files = new ManifestFiles(join(directory, 'manifests'));
    for (const [index, manifest] of all.entries()) files.write(`home/0/agent/a/session/${index}`, manifest);
    for (const [index, manifest] of all.entries()) expect(files.read(`home/0/agent/a/session/${index}`)).toEqual(manifest);
    expect(readdirSync(join(directory, 'manifests')).every((name) => name.endsWith('.json'))).toBe(true);
    files.forget('home/0/agent/a/session/0');
    expect(files.read('home/0/agent/a/session/0')).toBeUndefined();
  });

  test('ENG-3 a damaged one is none, and one that cannot be written costs nothing', () => {
    const files = new ManifestFiles(directory);
    files.write('a', done);
    const [name = ''] = readdirSync(directory);
    const { key: _, ...without } = done;
    for (const text of ['', '{', '[]', 'null', JSON.stringify(without), JSON.stringify({ ...done, state: 'other' })]) {
      writeFileSync(join(directory, name), text);
      expect(files.read('a')).toBeUndefined();
    }
    expect(parseManifest(formatManifest(done))).toEqual(done);
    writeFileSync(join(directory, 'file'), '');
    const nowhere = new ManifestFiles(join(directory, 'file', 'below'));
    nowhere.write('a', done);
    expect(nowhere.read('a')).toBeUndefined();
    rmSync(join(directory, name));
    mkdirSync(join(directory, name));
    files.write('a', done);
    expect(files.read('a')).toBeUndefined();
  });
});
