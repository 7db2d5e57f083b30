// ctx search: full-text search in a session's history, by the same index that recall uses, or in documents that it binds.
import type { Command } from 'commander';

import { ask } from './control-client.ts';
import { usageError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { requireSession } from './mounted.ts';
import { whileBuilding } from './rebuilt.ts';
import { searchDocuments, showDocuments } from './search-documents.ts';
import { examples, type Shell } from './shell.ts';
import { plain } from './wiki/place.ts';

interface Hit {
  readonly line: number;
  readonly score: number;
  readonly role: string;
  readonly excerpt: string;
}

export function registerSearch(program: Command, shell: Shell): void {
  program
    .command('search')
    .description('search the history of a session, or documents that it binds')
    .argument('<session>', 'AGENT/SESSION, or a path on the mount')
    .argument('<query...>', 'words')
    .option('--in <directory>', 'memory/NAME or retrieval/NAME of the session instead of its history')
    .option('-n, --limit <count>', 'hits at most', '10')
    .option('--json', 'print an array')
    .addHelpText(
      'after',
      examples(
        ['ctx search coder/default which port does the server use', 'best lines first'],
        ['ctx search review/one --in retrieval/docs-index upload limit', 'the documents of its image'],
        ['ctx search . NATS --json | jq .[0].line', 'inside a session'],
      ),
    )
    .action(async (reference: string, words: readonly string[], options: { limit: string; in?: string; json?: boolean }) => {
      const limit = Number(options.limit);
      if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw usageError('--limit is a whole number from 1 to 1000');
      const { path, mounted, directory, rest } = await requireSession(shell, reference);
      const { terminal } = shell;
      const place = options.in ?? (/^(?:memory|retrieval)\//.test(rest) ? rest : undefined);
      if (place !== undefined) {
        const { hits, left } = await searchDocuments(directory, place, words.join(' '), limit);
        if (options.json === true) terminal.json(hits);
        else showDocuments(terminal, hits);
        for (const one of left.slice(0, 5)) terminal.note(`left out: ${plain(one)}`);
        if (hits.length === 0) shell.exit(EXIT.failed);
        return;
      }
      const request = { verb: 'search', session: path, query: words.join(' '), limit } as const;
      const hits = (await whileBuilding(shell, () => ask(mounted.root, request))) as readonly Hit[];
      if (options.json === true) terminal.json(hits);
      else
        for (const hit of hits)
          terminal.line(
            `${terminal.style('cyan', `messages:${hit.line}`)} ${terminal.style('dim', plain(hit.role))} ${plain(hit.excerpt.replace(/\s+/g, ' '))}`,
          );
      // As grep: finding nothing is told by the exit code.
      if (hits.length === 0) shell.exit(EXIT.failed);
    });
}
