// A passphrase: from a file, from CTX_PASSPHRASE, or asked for on the terminal without being shown.
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

import { asCtxError, usageError } from './errors.ts';
import type { Shell } from './shell.ts';

export async function passphrase(shell: Shell, question: string, file?: string): Promise<string> {
  if (file !== undefined) {
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      throw asCtxError(error, file);
    });
    return required(text.replace(/\r?\n$/, ''));
  }
  const given = shell.env['CTX_PASSPHRASE'];
  if (given !== undefined && given !== '') return given;
  if (!shell.terminal.interactive) throw usageError('a passphrase is needed', 'give it with --passphrase-file FILE or CTX_PASSPHRASE');
  process.stderr.write(`${question}: `);
  // Nothing that is typed is shown.
  const line = createInterface({
    input: process.stdin,
    output: new Writable({ write: (_piece, _encoding, done) => done() }),
    terminal: true,
  });
  try {
    return required(await line.question(''));
  } finally {
    line.close();
    process.stderr.write('\n');
  }
}

function required(text: string): string {
  if (text === '') throw usageError('the passphrase is empty');
  return text;
}
