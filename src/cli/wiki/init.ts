// ctx wiki init: the five-step starter, in git.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../../abi/errors.ts';
import { starter } from '../../wiki/starter.ts';
import { usageError } from '../errors.ts';
import { examples, type Shell } from '../shell.ts';
import { gitCommit, gitInit, gitState } from './git.ts';
import { today } from './place.ts';

export function registerInit(wiki: Command, shell: Shell): void {
  wiki
    .command('init')
    .description('make a wiki: index, log, schema, first pages, templates, git')
    .argument('[dir]', 'where (default: wiki)')
    .option('--name <name>', 'what it is called in its index')
    .option('--domain <name...>', 'a domain that is kept apart from the others')
    .option('--no-git', 'leave git out')
    .addHelpText(
      'after',
      examples(['ctx wiki init', 'a wiki in ./wiki'], ['ctx wiki init notes --domain acme --domain globex', 'two clients, apart']),
    )
    .action(async (given: string | undefined, options: { name?: string; domain?: readonly string[]; git: boolean }) => {
      const { terminal } = shell;
      const root = resolve(given ?? 'wiki');
      const domains = options.domain ?? [];
      for (const domain of domains)
        if (!/^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u.test(domain)) throw usageError(`${domain} is no name for a directory`);
      // On the mount `.ctx/` answers by name and is not listed, and git makes its own.
      if (existsSync(root) && readdirSync(root).some((name) => name !== '.git'))
        throw new CtxError('wiki.exists', 'EEXIST', 'is not empty', { where: root, next: 'run: ctx wiki adopt' });
      const files = starter({ day: today(shell), name: options.name ?? basename(root), domains });
      for (const { path, text } of files) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text, { flag: 'wx' });
      }
      terminal.line(root);
      if (options.git) {
        // A wiki is a repository of its own, unless it is part of one already.
        const inside = await gitState(root);
        if (inside === undefined) {
          if (!(await gitInit(root))) terminal.note('git is not installed: the wiki has no history');
          else
            await gitCommit(
              root,
              'wiki: begin',
              files.map(({ path }) => path),
            );
        }
      }
      terminal.note('next: write what you repeat most into its pages, then run: ctx wiki lint');
    });
}
