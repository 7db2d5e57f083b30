// ctx pull: an image from a registry, checked whole before it gets its name.
import type { Command } from 'commander';

import { parseImageReference, tagKey } from '../image/reference.ts';
import { usageError } from './errors.ts';
import { sizeWords } from './figures.ts';
import { requireImages } from './image-store.ts';
import { transfer, withTransferOptions, type TransferOptions } from './registry-transfer.ts';
import { pullShared, sharedPlace } from './shared-images.ts';
import { examples, type Shell } from './shell.ts';

interface PullOptions extends TransferOptions {
  readonly as?: string;
}

export function registerPull(program: Command, shell: Shell): void {
  withTransferOptions(
    program
      .command('pull')
      .description('get an image from a registry; it has a name here only when all of it is here and right')
      .argument('<remote>', 'REGISTRY/NAME[:TAG][@sha256:…]')
      .option('--as <name>', 'NAME[:TAG] of it here (default: as there, without the registry)'),
  )
    .addHelpText(
      'after',
      examples(
        ['ctx pull registry.example/team/customer-review:2026.05', 'as team/customer-review:2026.05'],
        ['ctx pull registry.example/team/review --as quilt/review:latest', 'under another name'],
        ['ctx pull shared/team/image/review:1', 'what another user of the mount has published'],
      ),
    )
    .action(async (from: string, options: PullOptions) => {
      const place = sharedPlace(from);
      if (place !== undefined) return pullShared(shell, place, options.as, { compiled: options.compiled, json: options.json === true });
      const { parseRemote } = await import('../image/registry/remote.ts');
      const remote = parseRemote(from, options.insecure === true);
      if (options.as === undefined && remote.tag === undefined && remote.digest !== undefined)
        throw usageError('a digest alone is no name here', 'add --as NAME[:TAG]');
      const as =
        options.as === undefined ? { name: remote.repository, tag: remote.tag, digest: undefined } : parseImageReference(options.as);
      if (as.digest !== undefined) throw usageError('--as takes a name, not a digest');
      const tag = tagKey(as);
      const { store } = await requireImages(shell);
      const { pullImage } = await import('../image/registry/pull.ts');
      const { requireTrust } = await import('../image/trust.ts');
      const trusted = { requireTrust: (image: Parameters<typeof requireTrust>[1]) => requireTrust(store, image, tag) };
      await transfer(shell, remote, options, 'pull', async (parts) => {
        const pulled = await pullImage({ store, remote, tag, compiled: options.compiled, ...trusted, ...parts });
        const { terminal } = shell;
        const { blobs, fetchedBytes, referrers, replaced } = pulled;
        if (options.json === true)
          return terminal.json({
            image: tag,
            digest: pulled.digest,
            remote: pulled.remote,
            blobs,
            fetched_bytes: fetchedBytes,
            referrers: referrers.map(({ digest, artifactType }) => ({ digest, artifact_type: artifactType })),
            replaced,
          });
        if (replaced !== null) terminal.note(`ctx: ${tag} was ${replaced}; ctx tag gives that a name again, until ctx gc`);
        terminal.line(`${tag}@${pulled.digest}`);
        terminal.line(
          `${sizeWords(fetchedBytes)} fetched; blobs: ${blobs.fetched} fetched, ${blobs.there} there; referrers: ${referrers.length}`,
        );
      });
    });
}
