// ctx push: an image to a registry.
import type { Command } from 'commander';

import { requireImage } from '../image/image.ts';
import { parseImageReference } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { sizeWords } from './figures.ts';
import { requireImages } from './image-store.ts';
import { transfer, withTransferOptions, type TransferOptions } from './registry-transfer.ts';
import { pushShared, sharedPlace } from './shared-images.ts';
import { examples, type Shell } from './shell.ts';

export function registerPush(program: Command, shell: Shell): void {
  withTransferOptions(
    program
      .command('push')
      .description('send an image to a registry; what is there already is not sent')
      .argument('<image>', 'NAME[:TAG], or the start of its digest')
      .argument('[remote]', 'REGISTRY/NAME[:TAG] (default: the name of the image, when it begins with a registry)')
      .option('--redact', 'take out secrets, credentials and private documents, also where the policy asks for none of it'),
  )
    .addHelpText(
      'after',
      examples(
        ['ctx push quilt/customer-review:2026.05 registry.example/team/customer-review', 'with the same tag'],
        ['ctx push registry.example/team/review:1', 'an image that is called as in the registry'],
        ['ctx push review localhost:5000/review --json', 'what was sent, as JSON'],
        ['ctx push review shared/team/image/review:1', 'to other users of the mount'],
      ),
    )
    .action(async (name: string, to: string | undefined, options: TransferOptions & { readonly redact?: boolean }) => {
      const place = to === undefined ? undefined : sharedPlace(to);
      if (place !== undefined)
        return pushShared(shell, name, place, { compiled: options.compiled, redact: options.redact === true, json: options.json === true });
      const { parseRemote } = await import('../image/registry/remote.ts');
      const remote = parseRemote(to ?? name.replace(/^image:/, ''), options.insecure === true);
      const short = /^(?:image:)?sha256:[0-9a-f]{8,64}$/.test(name);
      const reference = short ? { name: remote.repository, tag: remote.tag, digest: undefined } : parseImageReference(name);
      if (remote.tag === undefined && reference.tag === undefined && (short || reference.digest !== undefined))
        throw usageError('a digest alone is no name there', 'write REGISTRY/NAME:TAG');
      const { store } = await requireImages(shell);
      const { descriptor: image } = await requireImage(store, name);
      const { pushImage } = await import('../image/registry/push.ts');
      const { uploadNotesDirectory } = await import('../image/registry/upload-notes.ts');
      const notesDirectory = uploadNotesDirectory(shell.env);
      await transfer(shell, remote, options, 'push', async (parts) => {
        const pushed = await pushImage({
          store,
          image,
          reference,
          remote,
          compiled: options.compiled,
          redact: options.redact === true,
          notesDirectory,
          ...parts,
        });
        const { terminal } = shell;
        const { blobs, sentBytes, resumedBytes, referrers, redacted, kept } = pushed;
        if (options.json === true)
          return terminal.json({
            remote: pushed.remote,
            digest: pushed.digest,
            blobs,
            sent_bytes: sentBytes,
            resumed_bytes: resumedBytes,
            referrers: referrers.map(({ digest, artifactType }) => ({ digest, artifact_type: artifactType })),
            redacted,
            kept,
          });
        for (const reason of kept) terminal.note(`ctx: ${reason}`);
        for (const [rule, count] of Object.entries(redacted)) terminal.note(`ctx: ${rule}: ${count} taken out`);
        terminal.line(`${pushed.remote}@${pushed.digest}`);
        const resumed = resumedBytes === 0 ? '' : `, ${sizeWords(resumedBytes)} sent before`;
        terminal.line(
          `${sizeWords(sentBytes)} sent${resumed}; blobs: ${blobs.sent} sent, ${blobs.there} there, ${blobs.mounted} mounted; referrers: ${referrers.length}`,
        );
      });
    });
}
