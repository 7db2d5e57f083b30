// Every command line of the specification's section 15, run as written, on its example manifest with the placeholders filled.
import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mountStore, type MountedStore } from '../cli/mounted-store.ts';
import { ROOT } from '../cli/program.ts';

let mounted: MountedStore;
let sources: string;

beforeAll(async () => {
  mounted = await mountStore('ctx-section-15');
  sources = await mkdtemp(join(tmpdir(), 'ctx-section-15-sources-'));
  await cp(`${ROOT}test/fixtures/image`, sources, { recursive: true });
  const model = join(mounted.store, 'tiny.gguf');
  await mounted.must(`${ROOT}scripts/make-tiny-model ${model} && ctx model add ${model} --name tiny`);
  await mounted.must('ctx build .', { cwd: join(sources, 'base-engineering') });
});
afterAll(() => mounted.end());

test('IMG-40 the command lines of section 15 run as they are written there', async () => {
  const said: Record<string, string> = {};
  const lines = [
    'ctx build .',
    'ctx inspect quilt/customer-review',
    'ctx run quilt/customer-review',
    'ctx fork quilt/customer-review quilt/customer-review-alt',
    'ctx commit quilt/customer-review-alt:v2',
    'ctx diff quilt/customer-review quilt/customer-review-alt',
    'ctx evict quilt/customer-review --compiled-state',
    'ctx rebuild quilt/customer-review',
    'ctx gc',
  ];
  for (const line of lines) {
    const { code, stdout, stderr } = await mounted.sh(line, { cwd: join(sources, 'customer-review') });
    // diff(1) says with 1 that two differ.
    expect([line, code <= (line.startsWith('ctx diff') ? 1 : 0) ? 'ran' : code, stderr.includes('Error')], stderr).toEqual([
      line,
      'ran',
      false,
    ]);
    said[line] = stdout;
  }
  // build makes an image, run an instance, commit an image of an instance; evict and rebuild leave the image what it is.
  expect(said['ctx build .']).toMatch(/^quilt\/customer-review:2026\.05\.22@sha256:[0-9a-f]{64}\n$/);
  const digest = said['ctx build .']?.trim().split('@')[1] ?? '';
  expect(said['ctx inspect quilt/customer-review']).toContain('quilt/base-engineering');
  expect(said['ctx run quilt/customer-review']).toBe('customer-review/latest\n');
  expect(said['ctx commit quilt/customer-review-alt:v2']).toMatch(/^quilt\/customer-review-alt:v2@sha256:/);
  expect(said['ctx rebuild quilt/customer-review']).toContain('tokens of local/tiny');
  const images = JSON.parse(await mounted.must('ctx images --json')) as readonly { readonly image: string; readonly digest: string }[];
  expect(images.find(({ image }) => image === 'quilt/customer-review:latest')?.digest).toBe(digest);
  const ps = JSON.parse(await mounted.must('ctx ps --json')) as readonly {
    readonly reference: string;
    readonly image: { readonly name: string; readonly tag: string };
  }[];
  expect(ps.map(({ reference, image }) => `${reference} ${image.name}:${image.tag}`).sort()).toEqual([
    'customer-review-alt/latest quilt/customer-review-alt:v2',
    'customer-review/latest quilt/customer-review:latest',
  ]);
});
