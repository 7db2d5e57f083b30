// ctx logout: a registry's password is forgotten.
import type { Command } from 'commander';

import { examples, type Shell } from './shell.ts';

export function registerLogout(program: Command, shell: Shell): void {
  program
    .command('logout')
    .description('forget the password of a registry')
    .argument('<registry>', 'HOST[:PORT]')
    .option('--json', 'print an object')
    .addHelpText('after', examples(['ctx logout registry.example', 'takes it out of the Docker configuration']))
    .action(async (text: string, { json }: { readonly json?: boolean }) => {
      const { parseRegistry } = await import('../image/registry/remote.ts');
      const { eraseCredentials } = await import('../image/registry/docker-config.ts');
      const { host } = parseRegistry(text, true);
      const removed = await eraseCredentials(host, shell.env);
      if (json === true) shell.terminal.json({ registry: host, removed });
      else shell.terminal.line(removed ? `the password for ${host} is forgotten` : `there was no password for ${host}`);
    });
}
