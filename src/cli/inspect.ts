// ctx inspect: an image, or what is compiled of a session, and at which of the four levels it fits what is here.
import type { Command } from 'commander';

import { LEVELS } from '../engine/fingerprint.ts';
import type { Compatibility } from '../engine/fingerprint.ts';
import type { Manifest } from '../engine/manifest.ts';
import { ask } from './control-client.ts';
import { countWords, sizeWords } from './figures.ts';
import { inspectImage } from './image-inspect.ts';
import { imageNamed, requireSessionNamed } from './image-named.ts';
import { examples, type Shell } from './shell.ts';

export function registerInspect(program: Command, shell: Shell): void {
  program
    .command('inspect')
    .description("show an image, or a session's compiled state, and at which levels it fits what is here")
    .argument('<session>', 'AGENT/SESSION, a path on the mount, or an image')
    .option('--json', 'print the manifest')
    .addHelpText(
      'after',
      examples(
        ['ctx inspect coder/default', 'state, tokens, the four levels'],
        ['ctx inspect coder/default --json | jq .fingerprint', 'every field that was recorded'],
        ['ctx inspect quilt/review', 'manifest, lineage, sources, bindings, the four levels'],
      ),
    )
    .action(async (reference: string, options: { json?: boolean }) => {
      const named = await imageNamed(shell, reference);
      if (named !== undefined) return inspectImage(shell, named, options.json === true);
      const { path, mounted } = await requireSessionNamed(shell, reference);
      const manifest = (await ask(mounted.root, { verb: 'kv.inspect', session: path })) as Manifest;
      if (options.json === true) shell.terminal.json(manifest);
      else for (const line of inspection(manifest)) shell.terminal.line(line);
    });
}

/** The manifest for people. Pure. */
export function inspection(manifest: Manifest): readonly string[] {
  const { state, reason, model, driver, progress, tokens, bytes, key, pack, compatibility } = manifest;
  const done = progress === null ? undefined : `${countWords(progress.done)} of ${countWords(progress.total)} tokens`;
  const reused =
    manifest.reused_tokens === null
      ? undefined
      : `${countWords(manifest.reused_tokens)} reused, ${countWords(manifest.evaluated_tokens ?? 0)} evaluated`;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['state', state],
    ['reason', reason ?? undefined],
    ['model', model === null ? undefined : `${model} (${driver})`],
    ['progress', done],
    ['tokens', tokens === null ? undefined : `${countWords(tokens)}${reused === undefined ? '' : ` (${reused})`}`],
    ['size', bytes === null ? undefined : sizeWords(bytes)],
    ['key', key ?? undefined],
    ['pack', pack?.digest],
    ['elapsed', manifest.elapsed_ms === null ? undefined : `${manifest.elapsed_ms} ms`],
  ];
  const lines = facts.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`);
  return compatibility === null ? lines : [...lines, 'compatibility:', ...levels(compatibility)];
}

function levels(compatibility: Compatibility): readonly string[] {
  return LEVELS.flatMap((level) => {
    const { compatible, fields } = compatibility[level];
    const differ = fields.map(({ field, wanted, here }) => `    ${field}: compiled with ${wanted ?? 'none'}, here ${here ?? 'none'}`);
    return [`  ${level}: ${compatible ? 'compatible' : 'not compatible'}`, ...differ];
  });
}
