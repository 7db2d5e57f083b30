// ctx wiki mcp: the wiki for agents that speak the Model Context Protocol, over stdin and stdout. The SDK is loaded for this verb alone.
import type { Command } from 'commander';

import { examples, type Shell } from '../shell.ts';
import { requireWiki } from './place.ts';

export function registerMcp(wiki: Command, shell: Shell): void {
  wiki
    .command('mcp')
    .description('serve query, read, ingest and lint to an agent, as an MCP server over stdio')
    .argument('[dir]', 'the wiki (default: the one here)')
    .option('--domain <name>', 'offer only what is common, and this domain')
    .addHelpText(
      'after',
      examples(
        ['claude mcp add wiki -- ctx wiki mcp ~/AI/wiki', 'for Claude Code'],
        ['ctx wiki mcp ~/AI/wiki', 'a command for the settings of any other agent'],
      ),
    )
    .action(async (directory: string | undefined, options: { domain?: string }) => {
      const place = requireWiki(directory);
      const { serveWiki } = await import('./mcp-server.ts');
      await serveWiki(shell, place, options.domain);
    });
}
