// ctx wiki adopt: use a directory of Markdown as a wiki. Changes no file unless asked; --write adds what is missing.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Command } from 'commander';

import { SCHEMA_NAME, starter } from '../../wiki/starter.ts';
import { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { replaceFile } from '../../wiki/write.ts';
import { examples, type Shell } from '../shell.ts';
import { linkTo } from '../../wiki/link-text.ts';
import { lintWiki, plain, today, wikiRoot } from './place.ts';

export function registerAdopt(wiki: Command, shell: Shell): void {
  wiki
    .command('adopt')
    .description('use a vault as a wiki; says what it lacks, and changes nothing without --write')
    .argument('<dir>', 'a directory of Markdown')
    .option('--write', 'add the files that are missing; none that is there is touched')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx wiki adopt ~/notes', 'what is there, what is missing'],
        ['ctx wiki adopt ~/notes --write', 'add index, log, schema, configuration'],
      ),
    )
    .action(async (directory: string, options: { write?: boolean; json?: boolean }) => {
      const { terminal } = shell;
      const root = wikiRoot(directory);
      const place = WikiDirectory.open(root);
      const { index } = place;
      const has = (part: 'index' | 'log' | 'schema'): boolean => index.special(part).length > 0;
      const offered = starter({ day: today(shell), name: basename(root), domains: [] });
      const pages = index.curated();
      const lines = pages.map(({ path, facts }) => `- ${linkTo(facts.title ?? path, path)}\n`);
      const wanted: { readonly path: string; readonly text: string }[] = [];
      const take = (path: string): string => offered.find((file) => file.path === path)?.text ?? '';
      if (!has('index')) wanted.push({ path: 'INDEX.md', text: `# ${basename(root)}\n\n## Pages\n\n${lines.join('')}` });
      if (!has('log'))
        wanted.push({ path: 'log.md', text: take('log.md').replace(/- Created .*\n/, '- Adopted this directory as a wiki.\n') });
      if (!has('schema')) wanted.push({ path: SCHEMA_NAME, text: take(SCHEMA_NAME) }, { path: 'CLAUDE.md', text: take('CLAUDE.md') });
      if (!existsSync(join(root, '.wiki/config.yaml'))) wanted.push({ path: '.wiki/config.yaml', text: take('.wiki/config.yaml') });
      if (options.write === true) for (const { path, text } of wanted) replaceFile(root, path, text, undefined);
      place.refresh();
      const { open } = await lintWiki(shell, place);
      const rules: Record<string, number> = {};
      for (const { rule } of open) rules[rule] = (rules[rule] ?? 0) + 1;
      const missing = options.write === true ? [] : wanted.map(({ path }) => path);
      if (options.json === true) return terminal.json({ root, pages: pages.length, missing, findings: rules });
      terminal.line(`${plain(root)}: ${pages.length} pages`);
      for (const path of missing) terminal.line(`  missing: ${path}`);
      if (options.write === true) for (const { path } of wanted) terminal.line(`  added: ${path}`);
      for (const [rule, count] of Object.entries(rules)) terminal.line(`  ${rule}: ${count}`);
      if (missing.length > 0) terminal.note('nothing was changed; to add what is missing: ctx wiki adopt DIR --write');
      return undefined;
    });
}
