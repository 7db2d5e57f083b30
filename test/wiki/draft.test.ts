// WIK-62: what a model says about material is checked against it, and becomes a proposal at most.
import { describe, expect, it } from 'vitest';

import { digestOf } from '../../src/abi/digest.ts';
import { draftPrompt, draftProposal, readDraft, withChange } from '../../src/wiki/draft.ts';
import { readPage } from '../../src/wiki/page.ts';

const PAGE =
  '---\ntype: project\nlast_updated: 2026-04-01\n---\n\n# Gateway\n\nIt listens on port 8443.\n\n## Timeouts\n\n- Requests end after 30 seconds.\n\n## Owners\n\nAda.\n';
const pages = [{ path: 'net/gateway.md', text: PAGE }];
const MATERIAL = 'Ada: we moved the gateway to port 9000 last week.\nBob: and uploads may take 120 seconds now.\n';
const source = { path: 'sources/call.md', digest: digestOf('x'), origin: 'a call', time: '2026-04-20T00:00:00Z', by: 'dana' };

const change = (fields: Record<string, unknown>): Record<string, unknown> => ({
  page: 'net/gateway.md',
  under: '',
  replaces: '',
  ...fields,
});
const read = (...changes: readonly unknown[]): ReturnType<typeof readDraft> =>
  readDraft(JSON.stringify({ changes, why: 'It moved.' }), pages, MATERIAL);

describe('WIK-62 drafts', () => {
  it('WIK-62 keeps what the material proves, and names what it does not', () => {
    const draft = read(
      change({ under: 'Timeouts', text: '- Uploads may take 120 seconds.', quote: 'uploads may take 120 seconds' }),
      change({ replaces: 'It listens on port 8443.', text: 'It listens on port 9000.', quote: 'moved the gateway to   PORT 9000' }),
      change({ text: 'It listens on port 7000.', quote: 'moved the gateway to port 9000' }),
      change({ text: 'It is written in Ada.', quote: 'the gateway is written in Ada' }),
      change({ text: 'Ada moved it.', quote: 'Ada' }),
      change({ replaces: 'port 80.', text: 'It moved.', quote: 'moved the gateway to port 9000' }),
      { page: '../etc/passwd', under: '', replaces: '', text: 'x', quote: 'moved the gateway to port 9000' },
      'nonsense',
    );
    expect(draft?.changes.map(({ text }) => text)).toEqual(['- Uploads may take 120 seconds.', 'It listens on port 9000.']);
    expect(draft?.dropped.map(({ reason }) => reason)).toEqual([
      'neither the material nor the page has 7000',
      'the material does not say "the gateway is written in Ada"',
      'its quote is too short to prove anything',
      'what it replaces does not stand in the page exactly once',
    ]);
    expect(
      read(change({ text: '---\nstatus: done\n---', quote: 'moved the gateway to port 9000' }), { page: '../x' })?.dropped,
    ).toHaveLength(2);
    expect(read(change({ text: 'it listens on  port 8443.', quote: 'moved the gateway to port 9000' }))?.dropped[0]?.reason).toBe(
      'the page says it already',
    );
  });

  it('WIK-62 an answer that is cut or no JSON is none', () => {
    for (const answer of ['', '{"changes": [', '[]', '"x"', '{"why": "x"}', 'null'])
      expect(readDraft(answer, pages, MATERIAL)).toBeUndefined();
  });

  it('WIK-62 a change stands in its section or replaces its words, with a link to the material', () => {
    const added = withChange(
      PAGE,
      { page: '', under: 'Timeouts', replaces: '', text: '- Uploads may take 120 seconds.' },
      'net/gateway.md',
      source,
    );
    expect(added).toContain(
      '- Requests end after 30 seconds.\n- Uploads may take 120 seconds. ([source](../sources/call.md))\n\n## Owners\n',
    );
    const replaced = withChange(
      PAGE,
      { page: '', under: '', replaces: 'It listens on port 8443.', text: 'It listens on port 9000.' },
      'net/gateway.md',
      source,
    );
    expect(replaced).toContain('# Gateway\n\nIt listens on port 9000. ([source](../sources/call.md))\n\n## Timeouts');
    const last = withChange(PAGE, { page: '', under: 'No such heading', replaces: '', text: 'More.' }, 'gateway.md', source);
    expect(last.endsWith('Ada.\n\nMore. ([source](sources/call.md))\n')).toBe(true);
    for (const text of [added, replaced, last]) expect(readPage(Buffer.from(text)).frontmatterFault).toBeUndefined();
  });

  it('WIK-62 what comes of it is a proposal for the pages as they were, with provenance and a suggested reason', () => {
    const after = withChange(PAGE, { page: '', under: 'Timeouts', replaces: '', text: 'More.' }, 'net/gateway.md', source);
    const common = { source, title: 'call', why: 'It moved.', day: '2026-04-20', by: 'local/m for dana', at: '2026-04-20T00:00:00Z' };
    expect(draftProposal({ ...common, pages: [{ path: 'net/gateway.md', before: PAGE, after: PAGE }] })).toBeUndefined();
    const proposal = draftProposal({ ...common, pages: [{ path: 'net/gateway.md', before: PAGE, after }] });
    expect(proposal).toMatchObject({
      by: 'local/m for dana',
      changes: [{ path: 'net/gateway.md', base: digestOf(PAGE) }],
      log: { judgment: 'It moved.' },
    });
    expect(readPage(Buffer.from(proposal?.changes[0]?.text ?? ''))).toMatchObject({
      sources: ['sources/call.md'],
      lastUpdated: '2026-04-20',
    });
  });

  it('WIK-62 the prompt names the pages that may change, and only those', () => {
    const { schema, user } = draftPrompt(pages, MATERIAL);
    expect(JSON.stringify(schema)).toContain('"enum":["net/gateway.md"]');
    expect(user).toContain('port 8443');
    expect(user).not.toContain('last_updated');
  });
});
