// ctx engine: the native engine, which is installed apart from ctxfs, without GPU packages. Locked versions (scripts/engine);
// no script of a package runs. scripts/lib/ground.sh (need_engine) does the same before there is a ctx.
import { copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';

import { runCommand } from '../../mount/command.ts';
import { CtxError } from '../abi/errors.ts';
import { ENGINE_PACKAGE, ENGINE_VERSION, engineDirectory, installedEngine } from '../engine/llama/native.ts';
import { asCtxError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { examples, type Shell } from './shell.ts';

const INSTALL_LIMIT_MS = 10 * 60_000;

export function registerEngine(program: Command, shell: Shell): void {
  const engine = program.command('engine').description('the native engine that evaluates model files: install, status');
  engine.addHelpText(
    'after',
    examples(['ctx engine install', 'about 83 MB, without GPU packages'], ['ctx engine status', 'what is installed, and where']),
  );
  engine
    .command('install')
    .description('install it where ctx looks for it (CTX_ENGINE_DIR, or the data directory)')
    .action(() => install(shell));
  engine
    .command('status')
    .description('what is installed, and where; ends with 1 when there is nothing')
    .option('--json', 'print an object')
    .action((options: { json?: boolean }) => {
      const directory = engineDirectory(shell.env);
      const found = installedEngine(directory);
      const usable = found?.version === ENGINE_VERSION;
      if (options.json === true)
        shell.terminal.json({ directory, installed: usable, version: found?.version ?? null, llama: found?.release ?? null });
      else if (usable) shell.terminal.line(`${ENGINE_PACKAGE} ${found.version} (llama.cpp ${found.release}) in ${directory}`);
      else
        shell.terminal.line(
          found === undefined ? `nothing in ${directory}` : `${found.version} in ${directory}; ${ENGINE_VERSION} is needed`,
        );
      if (!usable) {
        shell.terminal.note('run: ctx engine install');
        shell.exit(EXIT.failed);
      }
    });
}

async function install(shell: Shell): Promise<void> {
  const directory = engineDirectory(shell.env);
  const { terminal } = shell;
  if (installedEngine(directory)?.version === ENGINE_VERSION) return terminal.note(`ctx: ${ENGINE_VERSION} is installed in ${directory}`);
  const locked = lockedPackages();
  terminal.note(`ctx: installing ${ENGINE_PACKAGE} ${ENGINE_VERSION} (about 83 MB) into ${directory}`);
  const failed = (error: unknown): never => {
    throw asCtxError(error, directory);
  };
  await mkdir(dirname(directory), { recursive: true }).catch(failed);
  // Installed beside its place and moved there whole: a broken install never looks like one.
  const partial = await mkdtemp(`${directory}.`).catch(failed);
  try {
    for (const name of ['package.json', 'package-lock.json']) await copyFile(join(locked, name), join(partial, name));
    const flags = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];
    const { status, stderr, missing, timedOut } = await runCommand('npm', ['ci', '--prefix', partial, ...flags], {
      timeoutMs: INSTALL_LIMIT_MS,
    });
    if (status !== 0) {
      const why = missing ? 'npm is missing' : timedOut ? 'npm took too long' : stderr.trim().split('\n').slice(-3).join(' ').slice(0, 400);
      const next = missing ? 'install npm, then run this again' : 'check the network, then run this again';
      throw new CtxError('engine.install', 'EIO', `was not installed: ${why}`, { where: directory, next });
    }
    await mkdir(directory, { recursive: true });
    await rm(join(directory, 'node_modules'), { recursive: true, force: true });
    for (const name of ['node_modules', 'package.json', 'package-lock.json']) await rename(join(partial, name), join(directory, name));
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
  terminal.note('ctx: installed');
}

function lockedPackages(): string {
  if (process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64'))
    return fileURLToPath(new URL(`../../../scripts/engine/${process.arch}`, import.meta.url));
  throw new CtxError('engine.platform', 'EOPNOTSUPP', `is not locked for ${process.platform} on ${process.arch}`, {
    where: ENGINE_PACKAGE,
    next: 'use a server instead: ctx model add URL',
  });
}
