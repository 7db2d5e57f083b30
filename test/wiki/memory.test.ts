import { rmSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { chooseMemory } from '../../src/wiki/memory.ts';
import { memoryPages } from '../../src/wiki/memory-pages.ts';
import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';
import { LONG, page, scratch, write } from './scratch.ts';

const count = (text: string): number => text.split(/\s+/).filter((word) => word !== '').length;

const FILES = {
  'INDEX.md': '# Index\n\n- [gateway](gateway.md)\n',
  'AGENTS.md': `# Rules\n\n${Array.from({ length: 35 }, (_, i) => `rule${i}`).join(' ')}\n`,
  'gateway.md': page(
    'type: project\ntags: [network]',
    '# Gateway\n\nIt listens on port 8443.\n\n## Timeouts\n\nRequests end after 30 seconds.\n',
  ),
  'billing.md': page(
    'type: project\naliases: [Invoicing]',
    '# Billing\n\nInvoices are sent every night. It asks the [gateway](gateway.md).\n',
  ),
  'people.md': page('type: reference', '# People\n\nAda runs the harbour desk.\n'),
  'old.md': page('type: project\nstatus: deprecated', '# Gateway before\n\nThe gateway listened on port 80, the port of all gateways.\n'),
  'plans/q3.md': page('type: plan', '# Quarter\n\nMove what [people](../people.md) do, and [[billing]].\n'),
} as const;

describe('query', () => {
  const choose = (root: string, question: string, budget = 1_000, plans: readonly string[] = []): ReturnType<typeof chooseMemory> =>
    chooseMemory(memoryPages(WikiDirectory.open(root), plans), question, budget, count);
  const pathsOf = (memory: ReturnType<typeof chooseMemory>): readonly string[] => memory.items.map(({ kind, path }) => `${kind} ${path}`);

  it('WIK-25 schema, index, then the pages that answer, each with its reason', () => {
    const memory = choose(scratch(FILES), 'On which ports do gateways listen?');
    expect(pathsOf(memory).slice(0, 3)).toEqual(['schema AGENTS.md', 'index INDEX.md', 'page gateway.md']);
    expect(memory.items.length).toBeLessThanOrEqual(6);
    expect(memory.items[2]?.reason).toContain('ports');
    expect(memory.items.every(({ reason }) => reason !== '')).toBe(true);
    expect(pathsOf(choose(scratch(FILES), 'invoicing'))[2]).toBe('page billing.md');
    expect(pathsOf(choose(scratch(FILES), 'network'))[2]).toBe('page gateway.md');
    expect(choose(scratch(FILES), 'the of and').items.length).toBe(2);
  });

  it('WIK-25 a page that is too long gives its best sections, and nothing ever exceeds the budget', () => {
    const root = scratch({
      ...FILES,
      'gateway.md': page('type: project', `# Gateway\n\n${LONG}\n\n## Port\n\nIt listens on port 8443.\n\n## More\n\n${LONG}\n`),
    });
    const memory = choose(root, 'gateway port', 120);
    const section = memory.items.find(({ kind }) => kind === 'section');
    expect(section).toMatchObject({ path: 'gateway.md', heading: 'Port', text: expect.stringContaining('8443') });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 400 }),
        fc.constantFrom('gateway port', 'Ada', 'invoices night gateway'),
        (budget, question) => {
          const chosen = choose(root, question, budget, ['plans/q3.md']);
          expect(chosen.tokens).toBeLessThanOrEqual(budget);
          expect(chosen.tokens).toBe(chosen.items.reduce((sum, { text }) => sum + count(text), 0));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('WIK-26 what was edited or deleted is never served as it was', () => {
    const root = scratch(FILES);
    const wiki = WikiDirectory.open(root);
    const ask = (question: string): string => {
      wiki.refresh();
      return JSON.stringify(chooseMemory(memoryPages(wiki), question, 1_000, count).items);
    };
    expect(ask('gateway port')).toContain('8443');
    write(root, 'gateway.md', page('type: project', '# Gateway\n\nIt listens on port 9999.\n'));
    expect(ask('gateway port')).toContain('9999');
    expect(ask('gateway port')).not.toContain('8443');
    rmSync(join(root, 'gateway.md'));
    expect(ask('gateway port')).not.toContain('9999');
  });

  it('WIK-27 carrying out a plan loads the pages that it cites', () => {
    const memory = choose(scratch(FILES), 'next steps', 1_000, ['plans/q3.md']);
    expect(pathsOf(memory).slice(2, 5)).toEqual(['plan plans/q3.md', 'page people.md', 'page billing.md']);
  });

  it('what is kept for the record counts for less', () => {
    const found = pathsOf(choose(scratch(FILES), 'gateway port'));
    expect(found.indexOf('page old.md')).toBeGreaterThan(found.indexOf('page gateway.md'));
  });
});
