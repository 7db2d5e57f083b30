// IMG-82: which images are let in and run. trust.yaml beside the keys says whose signatures which names need; without it, none.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CtxError } from '../abi/errors.ts';
import { MADE_HERE } from './compiled.ts';
import type { ImageStore } from './layout-store.ts';
import { MEDIA, record, type Descriptor, type OciDigest } from './oci.ts';
import { globPattern } from './policy.ts';
import { signaturesOf } from './sign.ts';
import { configDirectory, KeyRing, type KnownKey } from './trust-keys.ts';
import { readImage } from './image.ts';
import { parseYaml } from './yaml.ts';

export interface TrustRule {
  /** A glob over names without tags. */
  readonly name: string;
  /** Names or ids of known keys. */
  readonly keys: readonly string[];
  /** How many of them must have signed. */
  readonly threshold: number;
}

export interface Trust {
  readonly rules: readonly TrustRule[];
  readonly keys: readonly KnownKey[];
  readonly where: string;
}

export async function loadTrust(config: string = configDirectory()): Promise<Trust> {
  const where = join(config, 'trust.yaml');
  const bytes = await readFile(where).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return { rules: bytes === undefined ? [] : parseRules(parseYaml(bytes, where), where), keys: await new KeyRing(config).list(), where };
}

function parseRules(value: unknown, where: string): readonly TrustRule[] {
  const { images, ...more } = record(value, where);
  const [odd] = Object.keys(more);
  if (odd !== undefined) throw wrong(where, `has ${JSON.stringify(odd)}; it is images: a list of name, keys and threshold`);
  if (!Array.isArray(images)) throw wrong(where, 'has no list images');
  return images.map((entry, at) => {
    const { name, keys, threshold, ...rest } = record(entry, `${where} images.${at}`);
    if (typeof name !== 'string' || name === '') throw wrong(where, `images.${at} has no name`);
    if (!Array.isArray(keys) || keys.length === 0 || !keys.every((key) => typeof key === 'string'))
      throw wrong(where, `images.${at} has no list of keys`);
    const count = threshold ?? keys.length;
    if (typeof count !== 'number' || !Number.isInteger(count) || count < 1 || count > new Set(keys).size || Object.keys(rest).length > 0)
      throw wrong(where, `images.${at} asks for something else than some of its keys`);
    globPattern(name);
    return { name, keys: keys as readonly string[], threshold: count };
  });
}

/**
 * Throws `image.untrusted` unless the keys that the user's policy and the image's own policy ask for have signed its manifest.
 * `name` is what it is, or will be, called here; the name in its manifest counts as well, so that no other name avoids a rule.
 */
export async function requireTrust(store: ImageStore, descriptor: Descriptor, name: string, trust?: Trust): Promise<void> {
  const { rules, keys, where } = trust ?? (await loadTrust());
  const { config } = await readImage(store, descriptor);
  const names = [bareName(name), config.name];
  const demands = rules
    .filter((rule) => names.some((text) => globPattern(rule.name).matches(text)))
    .map((rule) => ({ ...rule, from: where }));
  const own = config.policy.require_signatures;
  if (own !== undefined)
    demands.push({ name: config.name, keys: own.keys, threshold: own.threshold ?? own.keys.length, from: 'its own policy' });
  if (demands.length === 0) return;
  const signed = await signers(store, descriptor.digest, keys);
  for (const demand of demands) {
    const missing = demand.keys.filter((key) => !signed.some((known) => known.name === key || known.id === key));
    if (demand.keys.length - missing.length >= demand.threshold) continue;
    const unknown = missing.filter((key) => !keys.some((known) => known.name === key || known.id === key));
    throw new CtxError(
      'image.untrusted',
      'EACCES',
      `needs signatures by ${demand.threshold} of ${demand.keys.join(', ')} (${demand.from}), and has none that is valid by ${missing.join(', ')}`,
      {
        where: `${name} ${descriptor.digest}`,
        next:
          unknown.length > 0
            ? `take the key in first: ctx key trust FILE --name ${unknown[0]}`
            : 'get the image from whom you trust, or see: ctx verify',
      },
    );
  }
}

/** Compiled state of an image that may be used: made here, or signed by a key that is known here. */
export async function trustedCompiled(store: ImageStore, image: Pick<Descriptor, 'digest'>, trust?: Trust): Promise<readonly Descriptor[]> {
  const found: Descriptor[] = [];
  for (const referrer of await store.referrers(image.digest)) {
    if (referrer.artifactType !== MEDIA.compiled) continue;
    const local = referrer.annotations?.[MADE_HERE] === '1';
    if (local || (await signers(store, referrer.digest, (trust ?? (await loadTrust())).keys)).length > 0) found.push(referrer);
  }
  return found;
}

async function signers(store: ImageStore, digest: OciDigest, keys: readonly KnownKey[]): Promise<readonly KnownKey[]> {
  return (await signaturesOf(store, digest, keys)).flatMap(({ signedBy }) => signedBy);
}

function bareName(text: string): string {
  const bare = (text.startsWith('image:') ? text.slice('image:'.length) : text).split('@')[0] ?? '';
  const colon = bare.lastIndexOf(':');
  return colon > bare.lastIndexOf('/') ? bare.slice(0, colon) : bare;
}

function wrong(where: string, what: string): CtxError {
  return new CtxError('image.trust_policy', 'EINVAL', what, { where, next: 'mend it; until then nothing is let in' });
}
