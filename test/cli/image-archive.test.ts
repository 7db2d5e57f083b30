// export, import, sign and verify of images on a real mount, as people type them.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { mountStore, type MountedStore } from './mounted-store.ts';

let mounted: MountedStore;
let work: string;
let env: Record<string, string>;

beforeAll(async () => {
  mounted = await mountStore('image-archive');
  work = mkdtempSync(join(tmpdir(), 'image-archive-'));
  env = { XDG_CONFIG_HOME: join(work, 'config') };
  const source = join(work, 'source');
  mkdirSync(join(source, 'documents'), { recursive: true });
  writeFileSync(join(source, 'documents/a.md'), 'about a\n');
  writeFileSync(
    join(source, 'context.yaml'),
    `name: quilt/review\nversion: '1'\nsource:\n  transcript: transcript.jsonl\n  documents: [documents/a.md]\npolicy:\n  exportable: true\n  allow_source_export: true\n`,
  );
  writeFileSync(join(source, 'transcript.jsonl'), '{"role":"user","content":"hello"}\n');
  await must(`ctx build '${source}' --tag quilt/review:1`);
});
afterAll(() => mounted.end());

const sh = (line: string): Promise<{ code: number; stdout: string; stderr: string }> => mounted.sh(`cd '${work}'; ${line}`, { env });
const must = (line: string): Promise<string> => mounted.must(`cd '${work}'; ${line}`, { env });

it('IMG-75 ctx export writes an image, ctx import brings it back under any name, and a session of that name is still a session', async () => {
  const { images } = JSON.parse(await must('ctx export quilt/review:1 -o a.tar --json')) as { images: { digest: string }[] };
  await must('ctx export image:quilt/review:1 > b.tar; cmp a.tar b.tar; ctx export quilt/review:1 | gzip > c.tar.gz');
  expect(JSON.parse(await must('ctx import c.tar.gz --as mine/copy:2 --json'))).toMatchObject([
    { image: 'mine/copy:2', digest: images[0]?.digest },
  ]);
  expect(await must('ctx import a.tar')).toBe(`quilt/review:1@${images[0]?.digest}\n`);
  expect((await must('ctx images --names')).trim().split('\n').sort()).toEqual(['mine/copy:2', 'quilt/review:1']);
  await must('ctx new quilt/other; ctx append quilt/other hello; ctx export quilt/other | grep -q hello');
  await must('ctx new mine/copy');
  await must('ctx export image:mine/copy:2 -o d.tar');
  expect((await sh('ctx export nothing/here')).code).toBe(4);
  expect((await sh('ctx export quilt/review:1 --to word')).code).toBe(2);
});

it('IMG-76 a file that is no whole archive changes nothing on the mount', async () => {
  await must('ctx export quilt/review:1 -o whole.tar; head -c 3000 whole.tar > cut.tar');
  const store = join(mounted.root, `home/${process.getuid?.() ?? 0}/image/.store`);
  const before = await must(`find '${store}/blobs' '${store}/tmp' | sort; cat '${store}/index.json'`);
  const { code, stderr } = await sh('ctx import cut.tar');
  expect([code, /^ctx: ([a-z._]+): /.exec(stderr)?.[1]]).toEqual([1, 'image.archive_invalid']);
  expect(await must(`find '${store}/blobs' '${store}/tmp' | sort; cat '${store}/index.json'`)).toBe(before);
});

it('IMG-84 an encrypted archive is opened by age, and by ctx import', async () => {
  execFileSync('age-keygen', ['-o', 'id.txt'], { cwd: work, stdio: 'ignore' });
  const recipient = execFileSync('age-keygen', ['-y', 'id.txt'], { cwd: work }).toString().trim();
  await must(`ctx export quilt/review:1 -o plain.tar; ctx export quilt/review:1 --encrypt-to ${recipient} -o sealed.age`);
  await must('age -d -i id.txt sealed.age | cmp - plain.tar');
  expect(await must('ctx import sealed.age --identity id.txt --as sealed:1')).toContain('sealed:1@sha256:');
  expect(await sh('ctx import sealed.age')).toMatchObject({ code: 2, stderr: expect.stringContaining('--identity FILE') });
  expect((await sh('CTX_PASSPHRASE=x ctx import sealed.age')).stderr).toContain('image.decrypt');
});

it('IMG-84 a passphrase closes an archive with the work factor of age, and what asks for more than age takes is refused at once', async () => {
  await must("printf 'open sesame' > pass; ctx export quilt/review:1 --passphrase-file pass -o closed.age");
  expect(readFileSync(join(work, 'closed.age')).subarray(0, 100).toString('latin1')).toMatch(
    /^age-encryption\.org\/v1\n-> scrypt \S+ 18\n/,
  );
  expect(await must('ctx import closed.age --passphrase-file pass --as closed:1')).toContain('closed:1@sha256:');
  const { code, stderr } = await sh(
    "LC_ALL=C sed '2s/ 18$/ 30/' closed.age > slow.age; ctx import slow.age --passphrase-file pass --as slow:1",
  );
  expect([code, stderr]).toEqual([1, expect.stringContaining('work factor is too high')]);
});

it('IMG-82 ctx sign, ctx verify and trust.yaml decide together what ctx import lets in', async () => {
  await must('ctx key new release; ctx key new other; ctx key export release > release.pub');
  expect((await must('ctx key ls')).trim().split('\n')).toHaveLength(2);
  expect((await sh('ctx verify quilt/review:1 --key release')).code).toBe(5);
  expect((await sh('ctx sign quilt/review:1')).stderr).toContain('--key');
  await must(
    'ctx export quilt/review:1 -o unsigned.tar; ctx sign quilt/review:1 --key release --provenance; ctx export quilt/review:1 -o signed.tar',
  );
  expect(await must('ctx verify quilt/review:1 --key release')).toContain('signed by release');
  expect((await sh('ctx verify quilt/review:1 --key release other')).code).toBe(5);
  // Another user, who trusts the public half only.
  const theirs = { ...env };
  env['XDG_CONFIG_HOME'] = join(work, 'theirs');
  try {
    await must(
      'ctx key trust release.pub --name from-release; printf "images:\\n  - name: quilt/**\\n    keys: [from-release]\\n" > theirs/ctxfs/trust.yaml',
    );
    const { code, stderr } = await sh('ctx import unsigned.tar --as fresh:1');
    expect([code, /^ctx: ([a-z._]+): /.exec(stderr)?.[1]]).toEqual([1, 'image.untrusted']);
    expect(await must('ctx images --names')).not.toContain('fresh:1');
    await must('ctx import signed.tar --as fresh:1; ctx verify fresh:1');
  } finally {
    env['XDG_CONFIG_HOME'] = theirs['XDG_CONFIG_HOME'] ?? '';
  }
});

it('IMG-79 ctx fsck checks the images of the user, too', async () => {
  expect((await sh('ctx fsck')).code).toBe(0);
  const blobs = join(mounted.store, `home/${process.getuid?.() ?? 0}/image/.store/blobs/sha256`);
  const { images } = JSON.parse(await must('ctx export quilt/review:1 -o f.tar --json')) as { images: { digest: string }[] };
  const path = join(blobs, images[0]?.digest.slice(7) ?? '');
  const good = readFileSync(path);
  await must(`chmod 600 '${path}'; printf x >> '${path}'`);
  const { code, stdout } = await sh('ctx fsck --json');
  expect(code).toBe(5);
  expect(stdout).toContain('image.blob_damaged');
  writeFileSync(path, good);
  expect((await sh('ctx fsck')).code).toBe(0);
});
