// ctx rebuild: compiled state of an image from its source, and whether the source still is what the manifest says.
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';

import { evictCompiled, writeCompiled, type Compiled } from '../image/compiled.ts';
import { checkSources } from '../image/sources.ts';
import { prefixTokens } from '../image/prefix-layers.ts';
import { ask } from './control-client.ts';
import { EXIT } from './exit-codes.ts';
import { CtxError } from '../abi/errors.ts';
import { countWords, sizeWords } from './figures.ts';
import { movedMemory } from './image-memory.ts';
import { requireNamedImage, type NamedImage } from './image-named.ts';
import { startUnnamed } from './instance.ts';
import { settledManifest } from './compiled-state.ts';
import { examples, type Shell } from './shell.ts';

interface RebuildOptions {
  readonly check?: boolean;
  readonly json?: boolean;
}

export function registerRebuild(program: Command, shell: Shell): void {
  program
    .command('rebuild')
    .description("compile an image's state anew from its source, and say which recorded hashes no longer match")
    .argument('<image>', 'NAME[:TAG]')
    .option('--check', 'only compare the recorded hashes')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx rebuild quilt/customer-review', 'needs a model: ctx model add'],
        ['ctx rebuild quilt/customer-review --check', 'hashes of sources and mounts only'],
      ),
    )
    .action(async (text: string, options: RebuildOptions) => {
      const named = await requireNamedImage(shell, text);
      const hold = await named.store.hold();
      try {
        const broken = await checkSources(named.store, named.image);
        // Memory that has moved on is the mount's, and no reason not to compile.
        const mismatches = [...broken, ...(await movedMemory(named.mounted, named.image.config))];
        const compiled = options.check === true || broken.length > 0 ? undefined : await compile(shell, named);
        report(shell, named, mismatches, compiled, options);
      } finally {
        await hold.release();
      }
    });
}

/** Through an instance that nobody else sees: what a session compiles is what an image's instances will want. */
async function compile(shell: Shell, named: NamedImage): Promise<Compiled> {
  const { image, store, mounted } = named;
  const target = await startUnnamed(named, image, named.key);
  const directory = join(mounted.root, target.path);
  try {
    // Reading the pack is what asks for a compile.
    const pack = JSON.parse(await readFile(join(directory, 'context/pack.json'), 'utf8')) as Parameters<typeof prefixTokens>[1];
    const kv = await settledManifest(shell, directory);
    if (kv?.state !== 'ready' || kv.fingerprint === null || kv.bytes === null)
      throw new CtxError(
        'image.not_compiled',
        'ENODATA',
        kv === undefined ? 'cannot be compiled' : `was not compiled: ${kv.state}: ${kv.reason ?? 'the state stays in the server'}`,
        {
          where: named.key,
          next: kv?.reason?.includes('no model') === true ? 'run: ctx model add FILE.gguf' : 'see: ctx status, ctx model ls',
        },
      );
    const config = {
      schema: 'context-image-compiled/v1.0',
      image: image.descriptor.digest,
      model: kv.model ?? '',
      driver: kv.driver ?? '',
      fingerprint: kv.fingerprint as Readonly<Record<string, string | number | boolean | null>>,
      tokens: kv.tokens ?? 0,
      prefix_layers: prefixTokens(image.config, pack),
      compiled_at: kv.finished_at ?? new Date().toISOString(),
    } as const;
    const read = (name: string): AsyncIterable<Uint8Array> =>
      createReadStream(join(directory, 'context/kv', name), { highWaterMark: 1 << 20 });
    await evictCompiled(store, image.descriptor.digest);
    return await writeCompiled(store, image.descriptor, config, read('state.bin'), read('tokens.bin'));
  } finally {
    await ask(mounted.root, { verb: 'rm', session: target.path, force: true });
  }
}

function report(
  shell: Shell,
  { key, image }: NamedImage,
  mismatches: readonly string[],
  compiled: Compiled | undefined,
  options: RebuildOptions,
): void {
  const { terminal } = shell;
  if (mismatches.length > 0) shell.exit(EXIT.findings);
  if (options.json === true)
    return terminal.json({
      image: key,
      digest: image.descriptor.digest,
      mismatches,
      compiled:
        compiled === undefined
          ? null
          : {
              digest: compiled.descriptor.digest,
              model: compiled.config.model,
              tokens: compiled.config.tokens,
              bytes: compiled.state.size,
              prefix_layers: compiled.config.prefix_layers,
            },
    });
  for (const mismatch of mismatches) terminal.line(mismatch);
  if (compiled !== undefined)
    terminal.line(`${key}: ${countWords(compiled.config.tokens)} tokens of ${compiled.config.model}, ${sizeWords(compiled.state.size)}`);
  else if (mismatches.length === 0) terminal.note('every recorded hash matches');
}
