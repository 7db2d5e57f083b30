// ctx fsck: reads journals, order logs, recorded inputs and images of a store, and says what is not as it should be. Changes nothing.
import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { Command } from 'commander';

import { CtxError } from '../abi/errors.ts';
import { isObjectName, parseSessionRelativePath } from '../abi/names.ts';
import { EXIT } from './exit-codes.ts';
import { parseStatus, readGuarded } from './mounted.ts';
import { parseReference } from './reference.ts';
import { mountRoot, storeRoot } from './roots.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly store?: string;
  readonly json?: boolean;
}

export function registerFsck(program: Command, shell: Shell): void {
  program
    .command('fsck')
    .description('check journals, order logs, recorded inputs and images; changes nothing')
    .argument('[session...]', 'AGENT/SESSION (default: every session of the store, and its images)')
    .option('--store <dir>', 'the store (default: that of the live mount, else CTX_STORE or the default store)')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx fsck', 'everything; exit 5 when bytes are missing or wrong'],
        ['ctx fsck coder/default --store ./backup', 'one session of a copy'],
      ),
    )
    .action(async (references: readonly string[], options: Options) => {
      const store = storeRoot(shell, options.store ?? (await mountedStore(shell)));
      const closed: string[] = [];
      const sessions = references.length > 0 ? references.map((text) => named(shell, text, store)) : await sessionsOf(store, closed);
      const { fsckSession } = await import('../journal/fsck.ts');
      const { terminal } = shell;
      let unread = 0;
      const progress = terminal.progress();
      const findings: {
        readonly session: string;
        readonly severity: 'error' | 'warning';
        readonly code: string;
        readonly where: string;
        readonly message: string;
      }[] = [];
      for (const [index, session] of sessions.entries()) {
        progress.update(`${index + 1} of ${sessions.length}: ${session}`);
        const directory = join(store, session);
        await stat(directory).catch(() => {
          throw new CtxError('cli.no_session', 'ENOENT', 'does not exist', {
            where: directory,
            next: 'run: ctx ls, or name the store with --store',
          });
        });
        const found = fsckSession(directory);
        // Bytes that this user may not read are not wrong.
        if (found.some(({ code, message }) => code === 'fsck.unreadable' && message.startsWith('EACCES'))) {
          closed.push(directory);
          unread++;
        } else findings.push(...found.map((finding) => ({ session, ...finding })));
      }
      if (references.length === 0)
        for (const [place, directory] of await imageStores(store, closed)) {
          const { ImageStore } = await import('../image/layout-store.ts');
          const { checkStore } = await import('../image/fsck.ts');
          const found = await checkStore(ImageStore.at(directory), (blob, of) => progress.update(`${place}: blob ${blob} of ${of}`));
          findings.push(...found.map((finding) => ({ session: place, ...finding })));
        }
      progress.done();
      const errors = findings.filter(({ severity }) => severity === 'error').length;
      if (options.json === true) terminal.json(findings);
      else
        for (const { session, severity, code, where, message } of findings)
          terminal.line(`${terminal.style(severity === 'error' ? 'red' : 'yellow', severity)} ${session}: ${code}: ${where} ${message}`);
      for (const place of closed) terminal.note(`not checked: ${place} may not be read by this user`);
      terminal.note(`${sessions.length - unread} sessions, ${errors} errors, ${findings.length - errors} warnings`);
      if (errors > 0) shell.exit(EXIT.findings);
    });
}

async function mountedStore(shell: Shell): Promise<string | undefined> {
  return parseStatus((await readGuarded(join(mountRoot(shell), 'status'))) ?? '').get('store');
}

/** A reference may be a path on the mount or in the store. */
function named(shell: Shell, text: string, store: string): string {
  const cwd = process.cwd();
  const inStore = relative(store, cwd).startsWith('..') && !text.startsWith(store) ? mountRoot(shell) : store;
  return parseReference(text, { root: inStore, cwd, uid: shell.uid }).path;
}

/** Session paths of a store, in name order. Homes of other users are left to them, and named in `closed`. */
async function sessionsOf(store: string, closed: string[]): Promise<readonly string[]> {
  const found: string[] = [];
  const names = (directory: string): Promise<readonly string[]> => list(directory, closed);
  for (const top of ['home', 'shared']) {
    for (const owner of await names(join(store, top))) {
      for (const agent of await names(join(store, top, owner, 'agent'))) {
        for (const session of await names(join(store, top, owner, 'agent', agent, 'session'))) {
          const path = `${top}/${owner}/agent/${agent}/session/${session}`;
          if (parseSessionRelativePath(path) !== undefined) found.push(path);
        }
      }
    }
  }
  return found;
}

/** Layouts of images, by their place in the tree. */
async function imageStores(store: string, closed: string[]): Promise<readonly (readonly [string, string])[]> {
  const found: (readonly [string, string])[] = [];
  for (const owner of await list(join(store, 'home'), closed)) {
    const place = `home/${owner}/image`;
    const facts = await stat(join(store, place, '.store/oci-layout')).catch(() => undefined);
    if (facts !== undefined) found.push([place, join(store, place, '.store')]);
  }
  return found;
}

async function list(directory: string, closed: string[]): Promise<readonly string[]> {
  const entries = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    if (error.code === 'EACCES') {
      closed.push(directory);
      return [];
    }
    throw error;
  });
  return entries.filter(isObjectName).sort();
}
