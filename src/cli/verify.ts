// ctx verify: which known keys signed an image, and whether that is enough here.
import type { Command } from 'commander';

import { requireImage } from '../image/image.ts';
import { signaturesOf } from '../image/sign.ts';
import { loadTrust, requireTrust } from '../image/trust.ts';
import { configDirectory, KeyRing } from '../image/trust-keys.ts';
import { verifyImage } from '../image/verify-image.ts';
import { CtxError } from '../abi/errors.ts';
import { EXIT } from './exit-codes.ts';
import { requireImages } from './image-store.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly key?: readonly string[];
  readonly json?: boolean;
}

export function registerVerify(program: Command, shell: Shell): void {
  program
    .command('verify')
    .description('check an image byte for byte, its signatures, and whether the trust policy lets it in; exit 5 when not')
    .argument('<image>', 'NAME[:TAG], or a digest')
    .option('--key <key...>', 'these keys must all have signed it')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(['ctx verify quilt/review:2026.05', 'by trust.yaml'], ['ctx verify quilt/review --key release', 'signed by this key?']),
    )
    .action(async (text: string, options: Options) => {
      const { store } = await requireImages(shell);
      const { descriptor } = await requireImage(store, text);
      await verifyImage(store, descriptor);
      const config = configDirectory(shell.env);
      const trust = await loadTrust(config);
      const ring = new KeyRing(config);
      const wanted = await Promise.all((options.key ?? []).map((key) => ring.find(key)));
      const found = await signaturesOf(store, descriptor.digest, trust.keys);
      const signedBy = [...new Set(found.flatMap((signature) => signature.signedBy.map(({ name }) => name)))];
      const missing = wanted.filter(({ name }) => !signedBy.includes(name)).map(({ name }) => name);
      let refused = missing.length === 0 ? undefined : `has no signature by ${missing.join(', ')}`;
      refused ??= await requireTrust(store, descriptor, text, trust).then(
        () => undefined,
        (error: unknown) => {
          if (error instanceof CtxError && error.code === 'image.untrusted') return error.message;
          throw error;
        },
      );
      const faults = found.flatMap(({ descriptor: { digest }, signedBy: by, fault }) =>
        fault !== undefined ? [`${digest}: ${fault}`] : by.length === 0 ? [`${digest}: by a key that is not known here`] : [],
      );
      const { terminal } = shell;
      if (options.json === true)
        terminal.json({ image: descriptor.digest, verified: refused === undefined, signed_by: signedBy, faults, refused: refused ?? null });
      else {
        for (const fault of faults) terminal.note(`does not count: ${fault}`);
        terminal.line(`${descriptor.digest}\t${signedBy.length === 0 ? 'whole, unsigned' : `whole, signed by ${signedBy.join(', ')}`}`);
        if (refused !== undefined) terminal.note(`ctx: image.untrusted: ${text} ${refused}`);
      }
      if (refused !== undefined) shell.exit(EXIT.findings);
    });
}
