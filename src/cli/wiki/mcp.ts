// ctx wiki mcp: the wiki for agents that speak the Model Context Protocol, over stdin and stdout. The SDK is loaded for this verb alone.
import type { Command } from 'commander';

import { examples, type Shell } from '../shell.ts';
import { requireWiki } from './place.ts';

interface McpArguments {
  readonly domain?: string;
  readonly draft?: boolean;
  readonly model?: string;
}

export function registerMcp(wiki: Command, shell: Shell): void {
  wiki
    .command('mcp')
    .description('serve query, read, ingest and lint to an agent, as an MCP server over stdio')
    .argument('[dir]', 'the wiki (default: the one here)')
    .option('--draft', 'have the model of the mounted store draft page changes for what is ingested; a person reviews them')
    .option('--model <name>', 'PROVIDER/NAME of a model, to draft with')
    .option('--domain <name>', 'offer only what is common, and this domain')
    .addHelpText(
      'after',
      examples(
        ['claude mcp add wiki -- ctx wiki mcp ~/AI/wiki', 'for Claude Code'],
        ['ctx wiki mcp ~/AI/wiki', 'a command for the settings of any other agent'],
      ),
    )
    .action(async (directory: string | undefined, { domain, draft, model }: McpArguments) => {
      const place = requireWiki(directory);
      const { serveWiki } = await import('./mcp-server.ts');
      const drafts = draft === true || model !== undefined ? await import('./mcp-drafting.ts') : undefined;
      const drafting = drafts === undefined ? undefined : new drafts.Drafting(shell, model);
      await serveWiki(shell, place, { ...(domain === undefined ? {} : { domain }), ...(drafting === undefined ? {} : { drafting }) });
    });
}
