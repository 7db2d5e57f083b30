import { spawn } from 'node:child_process';
import { once as onceEvent } from 'node:events';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeArchive } from '../../src/image/archive.ts';
import { planExport } from '../../src/image/export.ts';
import { checkStore } from '../../src/image/fsck.ts';
import { importArchive } from '../../src/image/import.ts';
import { scratch, scratchStore } from './scratch.ts';
import { once, storeImage, whole } from './stored-image.ts';

const ROUNDS = 30;

const built = (name: string): string => JSON.stringify(new URL(`../../dist/src/image/${name}.js`, import.meta.url).href);

// Imports, signs and exports (which redacts) for ever, over and over with new names.
const WORKER = `
import { createReadStream, readFileSync } from 'node:fs';
import { ImageStore } from ${built('layout-store')};
import { importArchive } from ${built('import')};
import { planExport } from ${built('export')};
import { writeArchive } from ${built('archive')};
import { signManifest } from ${built('sign')};
import { KeyRing } from ${built('trust-keys')};
const [directory, archive, round] = process.argv.slice(1);
const store = await ImageStore.open(directory);
const ring = new KeyRing();
const key = await ring.find('k');
const signer = { id: key.id, key: await ring.privateKey(key, () => Promise.reject(new Error())) };
await import(${built('redact-scan')});
console.log('ready');
for (let n = 0; ; n++) {
  const tag = 'r' + round + ':' + n;
  const [{ digest }] = await importArchive(store, createReadStream(archive), { where: archive, as: tag });
  const descriptor = await store.resolve(tag);
  await signManifest(store, descriptor, signer, { name: tag, signedAt: new Date(n * 1000) });
  const held = await store.hold();
  for await (const piece of writeArchive(store, await planExport(store, [{ key: tag, descriptor }], { redact: true }))) void piece;
  await held.release();
  await store.change((entries) => entries.filter(({ digest }) => digest === descriptor.digest));
}
`;

test('IMG-78 import, sign, redact and export that are killed at any point leave a store that verifies, and work again', async () => {
  const [from, store, work] = [await scratchStore(), await scratchStore(), await scratch()];
  const lines = Array.from({ length: 300 }, (_, n) => `${JSON.stringify({ role: 'user', content: `line ${n} ${'x'.repeat(200)}` })}\n`);
  const descriptor = await storeImage(from, 'a:1', { messages: lines.join(''), files: { 'memory.yaml': 'a: 1\n', 'documents/a.md': 'b' } });
  const archive = await whole(writeArchive(from, await planExport(from, [{ key: 'a:1', descriptor }])));
  await fs.writeFile(join(work, 'a.tar'), archive);
  const env = { ...process.env, XDG_CONFIG_HOME: join(work, 'config') };
  const { KeyRing } = await import('../../src/image/trust-keys.ts');
  await new KeyRing(join(work, 'config/ctxfs')).create('k');
  for (let round = 0; round < ROUNDS; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', WORKER, store.directory, join(work, 'a.tar'), String(round)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await onceEvent(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, (round * 17) % 101));
    expect(child.exitCode).toBeNull();
    child.kill('SIGKILL');
    await onceEvent(child, 'exit');
    expect((await checkStore(store)).filter(({ severity }) => severity === 'error')).toEqual([]);
  }
  expect(await importArchive(store, once(archive), { where: 'a.tar' })).toEqual([{ key: 'a:1', digest: descriptor.digest }]);
  expect((await checkStore(store)).filter(({ severity }) => severity === 'error')).toEqual([]);
});
