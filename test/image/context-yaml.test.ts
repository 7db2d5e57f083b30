import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { buildDirectory, type Built } from '../../src/image/build-directory.ts';
import { tagImage } from '../../src/image/image.ts';
import { joinFiles } from '../../src/image/layers.ts';
import { ImageStore } from '../../src/image/layout-store.ts';
import { ROOT } from '../cli/program.ts';
import { scratch, scratchStore } from './scratch.ts';

interface Case {
  readonly what: string;
  readonly files: Readonly<Record<string, string>>;
  /** What the manifest must have. */
  readonly config?: object;
  /** The code of the refusal, and a word of its message. */
  readonly error?: string;
  readonly says?: string;
  readonly warns?: string;
}
const CASES = JSON.parse(readFileSync(`${ROOT}abi-spec/cases/context-yaml.json`, 'utf8')) as readonly Case[];
const FIXTURES = `${ROOT}test/fixtures/image`;

async function build(store: ImageStore, directory: string): Promise<Built> {
  const built = await buildDirectory(store, { directory, as: undefined, epochSeconds: undefined });
  await tagImage(store, built.image, built.key);
  return built;
}

test.each(CASES.map((one) => [one.what, one] as const))('IMG-8 %s', async (_what, { files, config, error, says, warns }) => {
  const directory = await scratch();
  for (const [path, text] of Object.entries(files)) await fs.writeFile(join(directory, path), text);
  const built = build(await scratchStore(), directory);
  if (error !== undefined) {
    await expect(built).rejects.toMatchObject({ code: error });
    await expect(built.catch((thrown: Error & { where?: string }) => `${thrown.where ?? ''} ${thrown.message}`)).resolves.toContain(
      says ?? '',
    );
    return;
  }
  const { image, warnings } = await built;
  expect(image.config).toMatchObject(config ?? {});
  expect(warnings.join('\n')).toContain(warns ?? '');
  if (warns === undefined) expect(warnings).toEqual([]);
});

test('IMG-8 the example manifest of the specification is built on its parent, as written', async () => {
  const store = await scratchStore();
  const base = await build(store, `${FIXTURES}/base-engineering`);
  const { image, key, warnings } = await build(store, `${FIXTURES}/customer-review`);
  expect([base.key, key, warnings]).toEqual(['quilt/base-engineering:2026.05', 'quilt/customer-review:2026.05.22', []]);
  const { config } = image;
  expect(config).toMatchObject({
    created_at: '2026-05-22T09:30:00-07:00',
    parent: 'quilt/base-engineering:2026.05',
    parent_digest: base.image.descriptor.digest,
    tool_schema_version: 'openai-function-v1',
    model: { name: 'llama-3.1-8b-instruct', context_length: 131_072, position_encoding: 'rope' },
    compiled_state: { prefix_layers: ['base-assistant', 'quilt-engineering', 'customer-review'] },
    mounts: {
      memory: [{ name: 'project-memory', mode: 'read-write', scope: 'project', path: 'wiki' }],
      retrieval: [{ name: 'docs-index', mode: 'read-only', path: 'documents' }],
      tools: [{ name: 'file-search' }, { name: 'shell' }],
    },
    policy: { exportable: false, redact_on_export: ['secrets', 'credentials', 'private_documents'] },
    rebuild: { command: 'ctx build .', deterministic: 'partial' },
    continuation: { messages: 5, events: 0, last_role: 'assistant', pending_tool_calls: [] },
  });
  expect(config.layers.map(({ name, role }) => `${role} ${name}`)).toEqual([
    'base base-assistant',
    'organization quilt-engineering',
    'project customer-review',
  ]);
  expect([...joinFiles(config.layers).keys()]).toEqual([
    'context/pinned/00-base-assistant-assistant.md',
    'context/pinned/01-quilt-engineering-releases.md',
    'context/tools.json',
    'documents/documents/limits.md',
    'environment.yaml',
    'memory.yaml',
    'retrieval.yaml',
    'tools.yaml',
  ]);
});

/** Another process, as another machine would have it. */
async function buildElsewhere(directory: string, place: string, umask: string, env: Readonly<Record<string, string>>): Promise<string> {
  const program = `
    import { ImageStore } from '${ROOT}dist/src/image/layout-store.js';
    import { buildDirectory } from '${ROOT}dist/src/image/build-directory.js';
    import { tagImage } from '${ROOT}dist/src/image/image.js';
    const store = await ImageStore.open(process.argv[1]);
    for (const name of ['base-engineering', 'customer-review']) {
      const built = await buildDirectory(store, { directory: process.argv[2] + '/' + name, as: undefined, epochSeconds: undefined });
      await tagImage(store, built.image, built.key);
      console.log(built.image.descriptor.digest);
    }`;
  const line = `umask ${umask}; exec "$0" --input-type=module -e "$1" "$2" "$3"`;
  const args = ['-c', line, process.execPath, program, join(place, 'layout'), directory];
  const { stdout } = await promisify(execFile)('sh', args, { env: { PATH: process.env['PATH'], ...env }, timeout: 240_000 });
  return stdout;
}

test('IMG-21 the same sources give the same digests: other place, times, modes, order of files, umask, time zone and locale', async () => {
  const [one, other] = [await scratch(), await scratch()];
  const copy = join(other, 'somewhere else');
  await fs.cp(FIXTURES, copy, { recursive: true });
  for (const path of ['customer-review/memory.yaml', 'customer-review/documents/limits.md', 'base-engineering/context.yaml']) {
    await fs.utimes(join(copy, path), 1_000_000, 2_000_000);
    await fs.chmod(join(copy, path), 0o755);
    // Written anew: it comes last in its directory.
    const bytes = await fs.readFile(join(copy, path));
    await fs.rm(join(copy, path));
    await fs.writeFile(join(copy, path), bytes, { mode: 0o600 });
  }
  const here = await buildElsewhere(FIXTURES, one, '022', { TZ: 'UTC', LC_ALL: 'C' });
  const there = await buildElsewhere(copy, other, '077', { TZ: 'Asia/Kathmandu', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8' });
  expect(there).toBe(here);
  expect(new Set(here.trim().split('\n')).size).toBe(2);
});

test('IMG-21 a changed byte of any source gives another digest', async () => {
  const store = await scratchStore();
  await build(store, `${FIXTURES}/base-engineering`);
  const before = (await build(store, `${FIXTURES}/customer-review`)).image.descriptor.digest;
  const seen = new Set([before]);
  const changes = [
    ['transcript.jsonl', '2 GB', '3 GB'],
    ['memory.yaml', 'path: wiki', 'path: wikis'],
    ['retrieval.yaml', 'organization', 'project'],
    ['tools.yaml', 'passages', 'passage'],
    ['environment.yaml', 'eu-west', 'eu-east'],
    ['documents/limits.md', '4.2', '4.3'],
    ['context.yaml', 'b7000', 'b7001'],
  ] as const;
  for (const [path, from, to] of changes) {
    const directory = join(await scratch(), 'changed');
    await fs.cp(`${FIXTURES}/customer-review`, directory, { recursive: true });
    const text = await fs.readFile(join(directory, path), 'utf8');
    expect(text).toContain(from);
    await fs.writeFile(join(directory, path), text.replace(from, to));
    seen.add((await build(store, directory)).image.descriptor.digest);
  }
  expect(seen.size).toBe(1 + changes.length);
});

test('IMG-8 a build waits for nothing in its directory, and says which name no image can hold', async () => {
  const directory = await scratch();
  const store = await scratchStore();
  await promisify(execFile)('mkfifo', [join(directory, 'fifo')]);
  for (const source of ['transcript: fifo', 'events: fifo', 'tools: fifo', 'documents: [fifo]']) {
    await fs.writeFile(join(directory, 'context.yaml'), `name: a\nsource: { ${source} }\n`);
    await expect(build(store, directory), source).rejects.toMatchObject({ code: 'image.source_kind', where: join(directory, 'fifo') });
  }
  await fs.mkdir(join(directory, 'docs'));
  await fs.writeFile(join(directory, 'docs', 'two\nlines'), 'x');
  await fs.writeFile(join(directory, 'context.yaml'), 'name: a\nsource: { documents: [docs] }\n');
  await expect(build(store, directory)).rejects.toMatchObject({ code: 'image.source_name', where: expect.stringContaining('two\\nlines') });
  expect(await store.entries()).toEqual([]);
});
