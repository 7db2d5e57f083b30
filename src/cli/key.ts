// ctx key: keys to sign images with, and keys whose signatures count.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';

import { configDirectory, KeyRing, type KnownKey } from '../image/trust-keys.ts';
import { asCtxError, usageError } from './errors.ts';
import { passphrase } from './passphrase.ts';
import { examples, type Shell } from './shell.ts';

export function registerKey(program: Command, shell: Shell): void {
  const key = program.command('key').description('keys to sign images with, and keys whose signatures count: new, ls, trust, export, rm');
  const ring = (): KeyRing => new KeyRing(configDirectory(shell.env));
  key.addHelpText(
    'after',
    examples(
      ['ctx key new release', 'a key pair; its private half stays here'],
      ['ctx key export release > release.pub', 'for those who check your signatures'],
      ['ctx key trust release.pub', 'on their machine'],
    ),
  );
  key
    .command('new')
    .description('make an Ed25519 key pair')
    .argument('<name>')
    .option('--passphrase', 'ask for a passphrase that closes the private half (age)')
    .option('--passphrase-file <file>', 'take it from a file')
    .option('--json', 'print an object')
    .action(async (name: string, options: { passphrase?: boolean; passphraseFile?: string; json?: boolean }) => {
      const closed = options.passphrase === true || options.passphraseFile !== undefined;
      const secret = closed ? { passphrase: await passphrase(shell, `passphrase for ${name}`, options.passphraseFile) } : {};
      say(shell, await ring().create(name, secret), options.json === true);
    });
  key
    .command('ls')
    .description('list the keys that are known here')
    .option('--json', 'print an array')
    .action(async (options: { json?: boolean }) => {
      const keys = await ring().list();
      if (options.json === true) return shell.terminal.json(keys.map(shown));
      if (keys.length === 0) return shell.terminal.note('no keys yet; run: ctx key new NAME, or ctx key trust FILE');
      for (const known of keys) shell.terminal.line(`${known.name}\t${known.id}\t${known.private === 'none' ? 'trusted' : 'own'}`);
    });
  key
    .command('trust')
    .description('let the signatures of a public key count')
    .argument('<file>', 'public key in PEM; - is stdin')
    .option('--name <name>', 'what to call it (default: the name of the file)')
    .option('--json', 'print an object')
    .action(async (file: string, options: { name?: string; json?: boolean }) => {
      if (file === '-' && options.name === undefined) throw usageError('a key from stdin needs --name');
      const pem = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8').catch((error: unknown) => {
        throw asCtxError(error, file);
      });
      say(shell, await ring().trust(options.name ?? basename(file).replace(/\.(pub|pem)$/, ''), pem, file), options.json === true);
    });
  key
    .command('export')
    .description('print the public half in PEM')
    .argument('<name>')
    .action(async (name: string) => {
      const { publicKey } = await ring().find(name);
      await shell.terminal.write(publicKey.export({ type: 'spki', format: 'pem' }));
    });
  key
    .command('rm')
    .description('forget a key: what it signed no longer counts here')
    .argument('<name>')
    .option('--json', 'print an object')
    .action(async (name: string, options: { json?: boolean }) => {
      say(shell, await ring().remove(name), options.json === true);
    });
}

function shown({ name, id, private: own }: KnownKey): object {
  return { name, id, private: own };
}

function say(shell: Shell, key: KnownKey, json: boolean): void {
  if (json) shell.terminal.json(shown(key));
  else shell.terminal.line(`${key.name}\t${key.id}`);
}
