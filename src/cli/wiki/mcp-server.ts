// WIK-61: an MCP server over one wiki. Every answer is bounded, every call looks at the files as they are, no path leaves the wiki.
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

import { CtxError } from '../../abi/errors.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { asCtxError } from '../errors.ts';
import type { Shell } from '../shell.ts';
import type { Drafting } from './mcp-drafting.ts';
import { ingestText, isOffered, lintText, MOST_SOURCE_CHARS, pageText, queryText, wikiPage } from './mcp-answers.ts';

const MOST_MESSAGE_BYTES = 8 << 20;
const MOST_LISTED = 1000;
const URI = 'wiki:///';

/** Resolves when the client has gone. */
export async function serveWiki(
  shell: Shell,
  place: WikiDirectory,
  { domain, drafting }: { readonly domain?: string; readonly drafting?: Drafting } = {},
): Promise<void> {
  const server = new McpServer(
    { name: 'ctx-wiki', version: '1' },
    { instructions: 'Durable knowledge of this person or team. Ask (query) before answering about it; a person reviews what you ingest.' },
  );
  const look = (): WikiDirectory => {
    place.refresh();
    return place;
  };
  server.registerTool(
    'query',
    {
      description: 'Rules, index, and the two to four pages or sections that answer a question, with the reason for each.',
      inputSchema: {
        question: z.string().min(1).max(4000),
        budget_tokens: z.number().int().min(100).max(20_000).default(4000),
        plan: z.array(z.string().max(1024)).max(8).default([]).describe('plans that are being carried out: what they cite comes first'),
      },
      annotations: { readOnlyHint: true },
    },
    ({ question, budget_tokens, plan }) => answered(() => queryText(look(), question, budget_tokens, plan, domain)),
  );
  server.registerTool(
    'read',
    {
      description: 'A file of the wiki: a page, or raw material in sources/. A long one comes in pieces.',
      inputSchema: { path: z.string().min(1).max(1024), from_line: z.number().int().min(1).default(1) },
      annotations: { readOnlyHint: true },
    },
    ({ path, from_line }) => answered(() => pageText(look(), path, from_line, domain)),
  );
  server.registerTool(
    'ingest',
    {
      description: 'File raw material under sources/ and propose which pages to work it into. No page is changed: a person reviews it.',
      inputSchema: {
        text: z.string().min(1).max(MOST_SOURCE_CHARS),
        name: z.string().min(1).max(200).describe('what it is called, such as meeting.md'),
        origin: z.string().min(1).max(1000).describe('where it comes from'),
      },
    },
    (material) => answered(() => ingestText(shell, look(), material, drafting)),
  );
  server.registerTool(
    'lint',
    {
      description: 'What is wrong with the wiki: broken links, stale pages, changes that the log does not name.',
      inputSchema: {
        file: z.string().max(1024).optional().describe('only this page'),
        rule: z.string().max(64).optional().describe('only this rule'),
        limit: z.number().int().min(1).max(200).default(50),
      },
      annotations: { readOnlyHint: true },
    },
    (asked) => answered(() => lintText(shell, look(), asked, domain)),
  );
  const list = (): { resources: { uri: string; name: string; mimeType: string }[] } => ({
    resources: look()
      .index.curated()
      .filter(({ path }) => isOffered(place, path, domain))
      .slice(0, MOST_LISTED)
      .map(({ path, facts }) => ({
        uri: `${URI}${path.split('/').map(encodeURIComponent).join('/')}`,
        name: facts.title ?? path,
        mimeType: 'text/markdown',
      })),
  });
  server.registerResource('page', new ResourceTemplate(`${URI}{+path}`, { list }), { mimeType: 'text/markdown' }, (uri, { path }) => ({
    contents: [{ uri: uri.href, mimeType: 'text/markdown', text: wikiPage(look(), decodeURIComponent(String(path)), domain) }],
  }));
  const transport = new StdioServerTransport(process.stdin, process.stdout, { maxBufferSize: MOST_MESSAGE_BYTES });
  const gone = new Promise<void>((resolve) => {
    process.stdin.once('close', resolve).once('end', resolve);
    process.stdout.once('error', () => resolve());
    server.server.onclose = resolve;
  });
  await server.connect(transport);
  await gone;
  await drafting?.close();
  await server.close();
}

/** A failure is an answer: the agent reads it, and the server goes on. */
async function answered(work: () => string | Promise<string>): Promise<CallToolResult> {
  try {
    return { content: [{ type: 'text', text: await work() }] };
  } catch (error) {
    const known = asCtxError(error);
    const text = known instanceof CtxError ? known.describe() : String(error);
    return { isError: true, content: [{ type: 'text', text }] };
  }
}
