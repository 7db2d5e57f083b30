import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { writeArchive } from '../../src/image/archive.ts';
import type { ImageConfig, ImagePolicy } from '../../src/image/config.ts';
import { planExport } from '../../src/image/export.ts';
import { checkStore } from '../../src/image/fsck.ts';
import { importArchive } from '../../src/image/import.ts';
import { readImage, type Image } from '../../src/image/image.ts';
import type { ImageStore } from '../../src/image/layout-store.ts';
import { MEDIA, type Descriptor } from '../../src/image/oci.ts';
import { scannerOf } from '../../src/image/redact-scan.ts';
import { redactLines, redactString } from '../../src/image/redact-text.ts';
import { redactImage, REDACTIONS } from '../../src/image/redact.ts';
import { verifyImage } from '../../src/image/verify-image.ts';
import { scratchStore } from './scratch.ts';
import { once, storeCompiled, storeImage, whole, type Sources } from './stored-image.ts';

const policy = (change: Partial<ImagePolicy> = {}): ImagePolicy => ({
  exportable: true,
  allow_compiled_state_export: true,
  allow_source_export: true,
  redact_on_export: ['secrets', 'credentials', 'private_documents'],
  ...change,
});

// Made here, so that no file of the project looks as if it held a secret.
const GITHUB = `ghp_${'aB3dE5gH7'.repeat(4)}`;
const AWS_ID = `AKIA${'Q3EGVRKXN7ABCDEF'}`;
const AWS_SECRET = `wJalrXUtnFEMIK7MDENG+bPxRfiCY${'zAMPLKKYabc'}`;
const PEM = `-----BEGIN ${'RSA'} PRIVATE KEY-----\n${'MIIEow'.repeat(20)}\n-----END RSA PRIVATE KEY-----`;
const PASSWORD = 'hunter2-correct';
const SECRETS = [GITHUB, AWS_ID, AWS_SECRET, 'MIIEow', PASSWORD, 'TICKET-4711', 'sesame-open', 'dbpass99'];

async function allBytes(store: ImageStore, image: Descriptor): Promise<Buffer> {
  const manifest = await store.manifest(image);
  const blobs = [image, manifest.config, ...manifest.layers];
  for (const referrer of await store.referrers(image.digest)) blobs.push(referrer, ...(await store.manifest(referrer)).layers);
  return Buffer.concat(await Promise.all(blobs.map(async (blob) => whole(store.stream(blob)))));
}

let config: string;
beforeAll(async () => {
  config = await fs.mkdtemp(join(tmpdir(), 'ctx-redact-'));
  vi.stubEnv('XDG_CONFIG_HOME', config);
  return () => fs.rm(config, { recursive: true, force: true });
});

async function redacted(
  sources: Sources,
  change: Partial<ImagePolicy> = {},
): Promise<{ store: ImageStore; image: Image; before: Image; text: string }> {
  const store = await scratchStore();
  const descriptor = await storeImage(store, 'a:1', sources, { policy: policy(change) });
  const before = await readImage(store, descriptor);
  const result = await redactImage(store, before, before.config.policy.redact_on_export);
  if (result === undefined) throw new Error('not redacted');
  await verifyImage(store, result.image.descriptor);
  expect(await checkStore(store)).toEqual([]);
  return { store, image: result.image, before, text: (await allBytes(store, result.image.descriptor)).toString() };
}

test('IMG-85 secrets are taken out wherever a string can stand, and nothing else changes', async () => {
  const inner = JSON.stringify({ env: { [GITHUB]: 'a key', deep: JSON.stringify({ AWS_SECRET_ACCESS_KEY: AWS_SECRET }) } });
  const escaped = `{"role":"user","content":"\\u0067hp_${GITHUB.slice(4)}"}`;
  const lines = [
    `{"role":"user", "content":"my token is ${GITHUB}, and 1e400 stays", "n":12345678901234567890}`,
    JSON.stringify({ role: 'assistant', tool_calls: [{ function: { name: 'shell', arguments: inner } }] }),
    JSON.stringify({ role: 'tool', content: `key ${AWS_ID} // secretlint-disable\n${PEM}` }),
    JSON.stringify({ role: 'tool', content: [{ type: 'text', text: 'postgres://app:dbpass99@db.internal.example.net:5432/x' }] }),
    JSON.stringify({ config: { password: PASSWORD, user: 'ada' } }),
    `{"password":"first","password":"${PASSWORD}"}`,
    escaped,
    `{"role":"user","content":"nothing here, only a tokenizer and passwords in general"}`,
  ];
  const { store, image, before, text } = await redacted(
    {
      messages: `${lines.join('\n')}\n`,
      events: `${JSON.stringify({ detail: `TICKET-4711 and ${AWS_ID}` })}\n`,
      files: {
        'tools.json': `{\n  "url": "x", "api_key": "sesame-open" }\n`,
        'memory.yaml': `# ${GITHUB}\npages:\n  - password: ${PASSWORD} # ${AWS_ID}\n  - "\\x67hp_${GITHUB.slice(4)}"\n`,
        [`documents/${GITHUB}.md`]: `bearer ${GITHUB}\naws_secret_access_key    =     "${AWS_SECRET}"\n`,
        'documents/plain.md': 'plain\n',
      },
    },
    { redact_patterns: ['TICKET-[0-9]+'] },
  );
  for (const secret of SECRETS) expect(text, secret).not.toContain(secret);
  for (const part of ['MDENG', GITHUB.slice(-10), AWS_SECRET.slice(-8)]) expect(text, part).not.toContain(part);
  const messages = image.config.layers[0]?.parts.find(({ mediaType }) => mediaType === MEDIA.messages);
  const after = (await whole(store.stream(messages as Descriptor))).toString().trimEnd().split('\n');
  expect(after).toHaveLength(lines.length);
  expect(after[0]).toBe(`{"role":"user", "content":"my token is [redacted:github], and 1e400 stays", "n":12345678901234567890}`);
  expect(after[7]).toBe(lines[7]);
  expect(JSON.parse(after[4] ?? '')).toEqual({ config: { password: '[redacted:credential]', user: 'ada' } });
  expect(text).toContain('plain\n');
  expect(image.descriptor.digest).not.toBe(before.descriptor.digest);
  expect(text).not.toContain(before.descriptor.digest.slice(7));
  const { redacted: said } = image.config as ImageConfig & { redacted: { rules: Record<string, number>; from: string } };
  expect(said.from).toMatch(/^hmac-sha256:[0-9a-f]{64}$/);
  expect(said.rules).toMatchObject({ github: expect.any(Number) as number, 'pattern-0': 1 });
  expect(text).toContain('"files":{');
});

test('IMG-85 private documents leave nothing behind, not even their names, and a clean image only loses its order log', async () => {
  const { image, text, before, store } = await redacted(
    { messages: '{"a":1}\n', files: { 'documents/private/salaries.md': 'Ada earns', 'documents/open.md': 'open', 'memory.yaml': 'a: 1' } },
    { private_documents: ['documents/private/**', 'memory.yaml'] },
  );
  for (const gone of ['salaries', 'Ada earns', 'private/']) expect(text).not.toContain(gone);
  expect(image.config.layers[0]?.files.map(({ path }) => path)).toEqual(['documents/open.md']);
  expect(image.config.redacted).toMatchObject({ count: 0, documents: 2 });
  expect(image.config.source.memory_graph).toBeNull();
  // Again, it is the same image; and what was redacted so is not redacted again.
  expect((await redactImage(store, before, REDACTIONS))?.image.descriptor.digest).toBe(image.descriptor.digest);
  expect(await redactImage(store, image, REDACTIONS)).toBeUndefined();
});

test('IMG-86 what cannot be scanned is refused by name, and the image does not leave', async () => {
  const refused = async (sources: Sources, what: RegExp): Promise<void> => {
    const store = await scratchStore();
    const descriptor = await storeImage(store, 'a:1', sources, { policy: policy() });
    const error: unknown = await planExport(store, [{ key: 'a:1', descriptor }]).catch((thrown: unknown) => thrown);
    expect(error, what.source).toMatchObject({ code: expect.stringMatching(/^image\.(cannot_redact|yaml)$/) as string });
    expect(`${(error as { where: string }).where} ${(error as Error).message}`).toMatch(what);
    expect(await store.entries()).toHaveLength(1);
  };
  await refused({ messages: '{"a":1}\nnot json\n' }, /messages\.jsonl line 2 is not JSON/);
  await refused({ messages: '"a string"\n' }, /line 1 is not JSON/);
  await refused({ files: { 'a.json': '{' } }, /a\.json is not JSON/);
  await refused({ files: { 'a.png': '\u0000PNG' } }, /a\.png is binary/);
  await refused({ files: { 'a.yaml': 'a: [' } }, /a\.yaml/);
  await refused({ files: { 'a.yaml': `a: &${GITHUB} b\n` } }, /a\.yaml has a secret \(github\)/);
  await refused({ files: { 'a.jsonl': '{}\n{' } }, /a\.jsonl line 2/);
});

test('IMG-85 an export takes out what the policy names, drops compiled state, and what arrives holds nothing of it', async () => {
  const store = await scratchStore();
  const descriptor = await storeImage(store, 'a:1', { messages: `{"content":"${GITHUB}"}\n` }, { policy: policy() });
  await storeCompiled(store, descriptor, `state of ${GITHUB}`);
  const plan = await planExport(store, [{ key: 'a:1', descriptor }]);
  expect(plan.images[0]?.redacted).toEqual({ github: 1 });
  expect(plan.compiled).toBe(0);
  const tar = await whole(writeArchive(store, plan));
  expect(tar.includes(GITHUB)).toBe(false);
  const to = await scratchStore();
  const [arrived] = await importArchive(to, once(tar), { where: 'a.tar' });
  expect(arrived?.digest).toBe(plan.images[0]?.descriptor.digest);
  const [report] = await to.referrers(arrived?.digest as Descriptor['digest']);
  expect(report?.artifactType).toBe(MEDIA.redaction);
  expect(await checkStore(to)).toEqual([]);
  // Asked for, it is done whatever the policy says.
  const open = await storeImage(store, 'b:1', { messages: `{"content":"${GITHUB}"}\n` }, { policy: policy({ redact_on_export: [] }) });
  expect((await planExport(store, [{ key: 'b:1', descriptor: open }])).images[0]?.redacted).toBeUndefined();
  expect((await planExport(store, [{ key: 'b:1', descriptor: open }], { redact: true })).images[0]?.redacted).toEqual({ github: 1 });
});

test('IMG-112 a text that takes too long or too much memory to search is refused by name, and the next one is searched', async () => {
  // A rule for addresses with a password looks at each of these from every place on.
  const hostile = `${'a'.repeat(256)}:${'a'.repeat(256)}@${'.'.repeat(256)} `.repeat(2000);
  const many = 'token=abcdefgh '.repeat(50_000);
  for (const [content, limits] of [
    [hostile, { msPerMillion: 20, heapMB: 256 }],
    [many, { msPerMillion: 120_000, heapMB: 8 }],
  ] as const) {
    const lines = `${JSON.stringify({ role: 'user', content: 'mine' })}\n${JSON.stringify({ role: 'user', content })}\n`;
    const scanner = scannerOf([], limits);
    try {
      await expect(whole(redactLines(scanner, 'messages.jsonl', once(Buffer.from(lines)), () => undefined))).rejects.toMatchObject({
        code: 'image.cannot_redact',
        where: 'messages.jsonl lines 1 to 2',
        next: expect.stringContaining('private_documents') as string,
      });
    } finally {
      scanner.close();
    }
  }
  const scanner = scannerOf([]);
  try {
    expect(await redactString(scanner, `my key is ${GITHUB}`, () => undefined, 'm')).toBe('my key is [redacted:github]');
  } finally {
    scanner.close();
  }
});
