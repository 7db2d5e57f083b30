// ctx sign: a signature over the manifest of an image, kept beside it.
import { userInfo } from 'node:os';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { requireImage } from '../image/image.ts';
import { addProvenance } from '../image/provenance.ts';
import { signManifest } from '../image/sign.ts';
import { configDirectory, KeyRing, type KnownKey } from '../image/trust-keys.ts';
import { requireImages } from './image-store.ts';
import { passphrase } from './passphrase.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly key?: string;
  readonly passphraseFile?: string;
  readonly provenance?: boolean;
  readonly json?: boolean;
}

export function registerSign(program: Command, shell: Shell): void {
  program
    .command('sign')
    .description('sign the manifest of an image with a key of yours')
    .argument('<image>', 'NAME[:TAG], or a digest')
    .option('--key <key>', 'name or id of the key (default: the only one that is yours)')
    .option('--passphrase-file <file>', 'what opens the key (default: CTX_PASSPHRASE, or asked for)')
    .option('--provenance', 'say, signed, who made it, when, from which sources, with which engine')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(['ctx sign quilt/review:2026.05', 'with your only key'], ['ctx sign quilt/review --key release', 'with that one']),
    )
    .action(async (text: string, options: Options) => {
      const { store } = await requireImages(shell);
      const image = await requireImage(store, text);
      const ring = new KeyRing(configDirectory(shell.env));
      const key = await chosen(ring, options.key);
      const privateKey = await ring.privateKey(key, () => passphrase(shell, `passphrase for ${key.name}`, options.passphraseFile));
      const signer = { id: key.id, key: privateKey };
      const now = new Date();
      if (options.provenance === true) {
        const { config } = image;
        const facts = {
          by: userInfo().username,
          startedAt: new Date(config.created_at),
          finishedAt: now,
          version: program.version() ?? '',
        };
        await addProvenance(store, image, { ...facts, engine: `${config.runtime.engine} ${config.runtime.engine_version}` }, signer);
      }
      const { digest } = await signManifest(store, image.descriptor, signer, { name: image.config.name, signedAt: now });
      if (options.json === true) shell.terminal.json({ image: image.descriptor.digest, signature: digest, key: key.name, key_id: key.id });
      else shell.terminal.line(`${image.descriptor.digest}\tsigned by ${key.name}`);
    });
}

async function chosen(ring: KeyRing, name: string | undefined): Promise<KnownKey> {
  if (name !== undefined) return ring.find(name);
  const own = (await ring.list()).filter((key) => key.private !== 'none');
  if (own.length === 1 && own[0] !== undefined) return own[0];
  throw new CtxError('key.choose', 'EINVAL', own.length === 0 ? 'has no key to sign with' : `has ${own.length} keys to sign with`, {
    where: ring.directory,
    next: own.length === 0 ? 'run: ctx key new NAME' : `say which: --key ${own.map((key) => key.name).join(', --key ')}`,
  });
}
