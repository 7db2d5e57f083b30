import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decrypted, encrypted, identitiesOf, isAge } from '../../src/image/encrypt.ts';
import { scratch } from './scratch.ts';
import { once, whole } from './stored-image.ts';

test('IMG-84 what is encrypted here age decrypts, and what age encrypts is decrypted here', async () => {
  const directory = await scratch();
  execFileSync('age-keygen', ['-o', 'key.txt'], { cwd: directory, stdio: 'ignore' });
  const recipient = execFileSync('age-keygen', ['-y', 'key.txt'], { cwd: directory }).toString().trim();
  const identities = identitiesOf(await fs.readFile(join(directory, 'key.txt'), 'utf8'));
  const plain = Buffer.alloc(300_000, 'context ');
  const pieces = async function* (bytes: Buffer): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += 70_001) yield bytes.subarray(at, at + 70_001);
  };
  const ours = await whole(encrypted(pieces(plain), { recipients: [recipient] }));
  expect(isAge(ours)).toBe(true);
  expect(ours.includes('context context')).toBe(false);
  expect(execFileSync('age', ['-d', '-i', 'key.txt'], { cwd: directory, input: ours }).equals(plain)).toBe(true);
  const theirs = execFileSync('age', ['-r', recipient], { cwd: directory, input: plain });
  expect((await whole(decrypted(pieces(theirs), { identities }, 'f'))).equals(plain)).toBe(true);
  // Cut anywhere, changed, or for somebody else: an error that says so, never other bytes.
  for (const length of [0, 10, 100, 250, 65_000, theirs.length - 1, theirs.length - 100])
    await expect(whole(decrypted(once(theirs.subarray(0, length)), { identities }, 'f')), String(length)).rejects.toMatchObject({
      code: 'image.decrypt',
      where: 'f',
    });
  const changed = Buffer.from(theirs);
  changed[100_000] = (changed[100_000] ?? 0) ^ 1;
  await expect(whole(decrypted(once(changed), { identities }, 'f'))).rejects.toMatchObject({ code: 'image.decrypt' });
  await expect(whole(decrypted(once(theirs), { passphrase: 'x' }, 'f'))).rejects.toMatchObject({ code: 'image.decrypt' });
  await expect(whole(encrypted(once(plain), { recipients: ['age1nonsense'] }))).rejects.toMatchObject({ code: 'image.recipient' });
  await expect(whole(decrypted(once(theirs), { identities: ['nonsense'] }, 'f'))).rejects.toMatchObject({ code: 'image.identity' });
});

test('IMG-84 a passphrase opens what it closed', async () => {
  const closed = await whole(encrypted(once(Buffer.from('secret')), { passphrase: 'correct horse', workFactor: 10 }));
  expect((await whole(decrypted(once(closed), { passphrase: 'correct horse' }, 'f'))).toString()).toBe('secret');
  await expect(whole(decrypted(once(closed), { passphrase: 'wrong horse' }, 'f'))).rejects.toMatchObject({ code: 'image.decrypt' });
});
