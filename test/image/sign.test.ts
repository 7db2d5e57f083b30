import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkStore } from '../../src/image/fsck.ts';
import { MADE_HERE } from '../../src/image/compiled.ts';
import { FOREIGN, SUBJECT, type ImageStore } from '../../src/image/layout-store.ts';
import { canonicalBytes, MEDIA, ociDigest, type Descriptor } from '../../src/image/oci.ts';
import { addProvenance, PROVENANCE_PREDICATE } from '../../src/image/provenance.ts';
import { addAbout, envelopeBytes, openEnvelope, SIGNATURE_PREDICATE, signaturesOf, signManifest } from '../../src/image/sign.ts';
import { loadTrust, requireTrust, trustedCompiled } from '../../src/image/trust.ts';
import { KeyRing, type KnownKey } from '../../src/image/trust-keys.ts';
import { readImage } from '../../src/image/image.ts';
import { scratch, scratchStore } from './scratch.ts';
import { storeCompiled, storeImage } from './stored-image.ts';

const noPassphrase = (): Promise<string> => Promise.reject(new Error('not asked'));
const signedAt = new Date('2026-05-22T00:00:00Z');

async function sign(store: ImageStore, subject: Descriptor, ring: KeyRing, name: string): Promise<Descriptor> {
  const key = await ring.find(name);
  return signManifest(store, subject, { id: key.id, key: await ring.privateKey(key, noPassphrase) }, { name: 'a:1', signedAt });
}

test('IMG-80 private keys are for their owner only, public halves travel, and OpenSSL reads both', async () => {
  const config = await scratch();
  const ring = new KeyRing(config);
  expect(await ring.list()).toEqual([]);
  const key = await ring.create('release');
  expect((await fs.stat(join(config, 'keys'))).mode & 0o777).toBe(0o700);
  expect((await fs.stat(join(config, 'keys/release.key'))).mode & 0o777).toBe(0o600);
  const text = execFileSync('openssl', ['pkey', '-in', join(config, 'keys/release.key'), '-pubout']).toString();
  expect(text).toBe(await fs.readFile(join(config, 'keys/release.pub'), 'utf8'));
  const other = new KeyRing(await scratch());
  const trusted = await other.trust('from-afar', text, 'release.pub');
  expect(trusted).toMatchObject({ id: key.id, private: 'none' });
  await expect(other.privateKey(trusted, noPassphrase)).rejects.toMatchObject({ code: 'key.public_only' });
  const secret = await ring.create('guarded', { passphrase: 'open sesame', workFactor: 10 });
  expect(await fs.readdir(join(config, 'keys'))).toEqual(['guarded.key.age', 'guarded.pub', 'release.key', 'release.pub']);
  expect((await fs.readFile(join(config, 'keys/guarded.key.age'))).includes('PRIVATE')).toBe(false);
  expect((await ring.privateKey(secret, () => Promise.resolve('open sesame'))).asymmetricKeyType).toBe('ed25519');
  await expect(ring.privateKey(secret, () => Promise.resolve('wrong'))).rejects.toMatchObject({ code: 'key.passphrase' });
  await expect(ring.create('release')).rejects.toMatchObject({ code: 'key.exists' });
  for (const bad of ['', '../x', 'a b', '.x', 'a/b']) await expect(ring.create(bad)).rejects.toMatchObject({ code: 'key.name' });
  await expect(other.trust('x', await fs.readFile(join(config, 'keys/release.key'), 'utf8'), 'f')).rejects.toThrow('it is a private key');
  await expect(other.trust('x', 'nonsense', 'f')).rejects.toMatchObject({ code: 'key.invalid', where: 'f' });
  await fs.chmod(join(config, 'keys/release.key'), 0o644);
  await expect(ring.privateKey(key, noPassphrase)).rejects.toMatchObject({ code: 'key.too_open' });
  await ring.remove('release');
  await expect(ring.find('release')).rejects.toMatchObject({ code: 'key.unknown' });
});

test('IMG-81 a signature is of one manifest by one key, and nothing else is taken for it', async () => {
  const [store, ring] = [await scratchStore(), new KeyRing(await scratch())];
  const [one, two] = [await ring.create('one'), await ring.create('two')];
  const image = await storeImage(store, 'a:1', { messages: 'm\n' });
  const other = await storeImage(store, 'b:1', { messages: 'n\n' });
  const signature = await sign(store, image, ring, 'one');
  const names = async (keys: readonly KnownKey[]): Promise<unknown> =>
    (await signaturesOf(store, image.digest, keys)).map(({ signedBy, fault }) => [signedBy.map(({ name }) => name), fault]);
  expect(await names([one, two])).toEqual([[['one'], undefined]]);
  expect(await names([two])).toEqual([[[], undefined]]);
  expect(await checkStore(store)).toEqual([]);
  const [layer] = (await store.manifest(signature)).layers;
  const bytes = await store.read(layer as Descriptor);
  // Verified by something else: OpenSSL over DSSE's pre-authentication encoding.
  const envelope = JSON.parse(bytes.toString()) as { payload: string; payloadType: string; signatures: { sig: string; keyid: string }[] };
  const body = Buffer.from(envelope.payload, 'base64');
  const directory = await scratch();
  await fs.writeFile(join(directory, 'pae'), Buffer.concat([Buffer.from(`DSSEv1 28 ${envelope.payloadType} ${body.length} `), body]));
  await fs.writeFile(join(directory, 'sig'), Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64'));
  await fs.writeFile(join(directory, 'pub'), one.publicKey.export({ type: 'spki', format: 'pem' }));
  expect(
    execFileSync('openssl', ['pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', 'pub', '-in', 'pae', '-sigfile', 'sig'], {
      cwd: directory,
    }).toString(),
  ).toContain('Verified Successfully');
  // A changed payload, a signature moved to another image, another predicate, nonsense: none counts.
  const changed = {
    ...envelope,
    payload: Buffer.from(body.toString().replace(image.digest.slice(7), other.digest.slice(7))).toString('base64'),
  };
  expect(openEnvelope(canonicalBytes(changed), [one], 'x').signedBy).toEqual([]);
  await addAbout(store, other, MEDIA.signature, { mediaType: MEDIA.envelope, bytes });
  await addAbout(store, other, MEDIA.signature, { mediaType: MEDIA.envelope, bytes: Buffer.from('{"payload":[') });
  const signer = { id: one.id, key: await ring.privateKey(one, noPassphrase) };
  const statement = { predicateType: 'urn:x', predicate: {}, subjectName: 'b', subject: other.digest };
  await addAbout(store, other, MEDIA.signature, { mediaType: MEDIA.envelope, bytes: envelopeBytes(statement, [signer]) });
  const forged = envelopeBytes({ ...statement, predicateType: SIGNATURE_PREDICATE }, [
    { id: one.id, key: await ring.privateKey(two, noPassphrase) },
  ]);
  await addAbout(store, other, MEDIA.signature, { mediaType: MEDIA.envelope, bytes: forged });
  const found = await signaturesOf(store, other.digest, [one]);
  expect(found.flatMap(({ signedBy }) => signedBy)).toEqual([]);
  expect(found.map(({ fault }) => fault?.replace(/sha256:\w+/g, 'D'))).toEqual([
    'is about D',
    'image.invalid: D is not JSON; get the image again from where it was built',
    'says "urn:x"',
    undefined,
  ]);
});

test('IMG-82 the trust policy lets in what its keys signed, whatever it is called, and fails closed', async () => {
  const [store, config] = [await scratchStore(), await scratch()];
  const ring = new KeyRing(config);
  for (const name of ['one', 'two', 'three']) await ring.create(name);
  const image = await storeImage(store, 'quilt/a:1', { messages: 'm\n' });
  const policy = (text: string): Promise<void> => fs.writeFile(join(config, 'trust.yaml'), text);
  const accepted = async (name = 'quilt/a:1', of = image): Promise<boolean> =>
    requireTrust(store, of, name, await loadTrust(config)).then(
      () => true,
      (error: { code: string }) => {
        expect(error.code).toBe('image.untrusted');
        return false;
      },
    );
  expect(await accepted()).toBe(true);
  await policy('images:\n  - name: quilt/**\n    keys: [one, two, three]\n    threshold: 2\n');
  expect(await accepted()).toBe(false);
  expect(await accepted('mine:1')).toBe(false);
  await sign(store, image, ring, 'one');
  await sign(store, image, ring, 'one');
  expect(await accepted()).toBe(false);
  await sign(store, image, ring, 'three');
  expect(await accepted()).toBe(true);
  expect(await accepted('mine:1')).toBe(true);
  const free = await storeImage(store, 'mine:1', { messages: 'o\n' });
  expect(await accepted('mine:1', free)).toBe(true);
  expect(await accepted('quilt/x', free)).toBe(false);
  await policy('images:\n  - { name: "**", keys: [gone] }\n');
  await expect(requireTrust(store, image, 'quilt/a:1', await loadTrust(config))).rejects.toMatchObject({
    next: expect.stringContaining('--name gone') as string,
  });
  await policy('images: []\n');
  // The image's own policy counts too.
  const strict = await storeImage(
    store,
    'c:1',
    { messages: 'c\n' },
    {
      policy: {
        exportable: true,
        allow_compiled_state_export: false,
        allow_source_export: true,
        redact_on_export: [],
        require_signatures: { keys: ['two'] },
      },
    },
  );
  expect(await accepted('c:1', strict)).toBe(false);
  await sign(store, strict, ring, 'two');
  expect(await accepted('c:1', strict)).toBe(true);
  for (const bad of [
    'images: 1',
    'imagse: []',
    'images: [{name: a}]',
    'images: [{name: a, keys: [k], threshold: 2}]',
    'images: [{name: a, keys: [k], x: 1}]',
    '{',
    'images: [{name: a, keys: []}]',
  ])
    await policy(bad).then(() => expect(loadTrust(config), bad).rejects.toThrow());
});

test('IMG-82 compiled state from elsewhere is used only when a known key signed it', async () => {
  const [store, config] = [await scratchStore(), await scratch()];
  const ring = new KeyRing(config);
  await ring.create('ci');
  const image = await storeImage(store, 'a:1', { messages: 'm\n' });
  const own = await storeCompiled(store, image, 'own');
  const foreign = await storeCompiled(store, image, 'foreign');
  await store.change((entries) =>
    entries.map((entry) =>
      entry.digest === foreign.digest
        ? { ...entry, annotations: { [SUBJECT]: image.digest, [FOREIGN]: 'import' } }
        : entry.digest === own.digest
          ? { ...entry, annotations: { [SUBJECT]: image.digest, [MADE_HERE]: '1' } }
          : entry,
    ),
  );
  const used = async (): Promise<unknown> => (await trustedCompiled(store, image, await loadTrust(config))).map(({ digest }) => digest);
  expect(await used()).toEqual([own.digest]);
  await sign(store, image, ring, 'ci');
  expect(await used()).toEqual([own.digest]);
  await sign(store, foreign, ring, 'ci');
  expect(await used()).toEqual([own.digest, foreign.digest]);
  await ring.remove('ci');
  expect(await used()).toEqual([own.digest]);
});

test('IMG-83 provenance says who, when, from which sources and with which engine', async () => {
  const [store, ring] = [await scratchStore(), new KeyRing(await scratch())];
  const key = await ring.create('ci');
  const parent = ociDigest('p');
  const image = await storeImage(store, 'a:1', { messages: 'm\n' }, { parent: 'base:1', parent_digest: parent });
  const facts = { by: 'ada@build', startedAt: signedAt, finishedAt: signedAt, version: '1.2.3', engine: 'llama.cpp b1' };
  const signed = await addProvenance(store, await readImage(store, image), facts, {
    id: key.id,
    key: await ring.privateKey(key, noPassphrase),
  });
  const [layer] = (await store.manifest(signed)).layers;
  const { statement, signedBy } = openEnvelope(await store.read(layer as Descriptor), [key], 'x');
  expect(signedBy).toEqual([key]);
  expect(statement).toMatchObject({
    predicateType: PROVENANCE_PREDICATE,
    subject: image.digest,
    predicate: {
      buildDefinition: {
        internalParameters: { engine: 'llama.cpp b1' },
        resolvedDependencies: [{ name: 'base:1', digest: { sha256: parent.slice(7) } }, { digest: { sha256: ociDigest('m\n').slice(7) } }],
      },
      runDetails: {
        builder: { id: 'urn:ctxfs:builder:ada%40build', version: { ctxfs: '1.2.3' } },
        metadata: { startedOn: '2026-05-22T00:00:00.000Z' },
      },
    },
  });
  const bare = await addProvenance(store, await readImage(store, image), facts);
  expect((await store.manifest(bare)).layers[0]?.mediaType).toBe(MEDIA.statement);
  expect(await checkStore(store)).toEqual([]);
});
