// ctx login: a registry's password, tried and then kept where Docker keeps it.
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Command } from 'commander';

import { usageError } from './errors.ts';
import { examples, type Shell } from './shell.ts';

interface Options {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly insecure?: boolean;
  readonly json?: boolean;
}

const MAX_PASSWORD_BYTES = 64 * 1024;

export function registerLogin(program: Command, shell: Shell): void {
  program
    .command('login')
    .description('try a password at a registry, and keep it in the Docker configuration')
    .argument('<registry>', 'HOST[:PORT]')
    .option('-u, --username <user>', 'ask for the password only')
    .option('--password-stdin', 'read the password from stdin')
    .option('--insecure', 'allow plain HTTP to another machine: the password can be read on the way')
    .option('--json', 'print an object')
    .addHelpText(
      'after',
      examples(
        ['ctx login registry.example', 'asks for user and password'],
        ['pass registry | ctx login registry.example -u me --password-stdin', 'in a script'],
      ) + '\nEnvironment: DOCKER_CONFIG (directory of config.json), SSL_CERT_FILE, NODE_EXTRA_CA_CERTS.\n',
    )
    .action(async (text: string, options: Options) => {
      const { parseRegistry } = await import('../image/registry/remote.ts');
      const registry = parseRegistry(text, options.insecure === true);
      if (options.passwordStdin === true && options.username === undefined)
        throw usageError('--password-stdin needs a user', 'add -u USER');
      if (options.passwordStdin !== true && !shell.terminal.interactive)
        throw usageError('no terminal to ask for the password on', 'pipe it in, with -u USER --password-stdin');
      const user = options.username ?? (await ask('User: ', false));
      const password = options.passwordStdin === true ? await piped() : await ask('Password: ', true);
      if (user === '' || password === '') throw usageError('user and password must not be empty');
      const credentials = { kind: 'password', user, password } as const;
      const { tryCredentials } = await import('../image/registry/login.ts');
      await tryCredentials(registry, credentials, { environment: shell.env });
      const { storeCredentials } = await import('../image/registry/docker-config.ts');
      const kept = await storeCredentials(registry.host, credentials, shell.env);
      if (options.json === true) shell.terminal.json({ registry: registry.host, user, kept });
      else shell.terminal.line(`${user} may use ${registry.host}; the password is kept in ${kept}`);
    });
}

async function piped(): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of process.stdin as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MAX_PASSWORD_BYTES) throw usageError('the password on stdin is too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

async function ask(question: string, hidden: boolean): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({ write: (_bytes, _encoding, done) => done() });
  const line = createInterface({ input: process.stdin, output: hidden ? silent : process.stderr, terminal: true });
  const stop = new AbortController();
  line.on('SIGINT', () => stop.abort());
  try {
    return await line.question('', { signal: stop.signal });
  } catch (error) {
    if (stop.signal.aborted) throw usageError('no password was given');
    throw error;
  } finally {
    line.close();
    if (hidden) process.stderr.write('\n');
  }
}
