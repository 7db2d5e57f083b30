// Lint of a large vault: from nothing, and after one edit; beside remark-validate-links on the same vault. Prints JSON.
//   node test/bench/run.mjs test/bench/wiki.ts [PAGES] [--no-peer]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Writable } from 'node:stream';

import { WikiDirectory } from '../../src/wiki/wiki-directory.ts';

const pages = Number(process.argv[2] ?? 5_000);
const EDITS = 15;
const TODAY = '2026-04-20';
const WORDS =
  'ledger invoice tariff voyage harbour lantern orchard granite meadow compass glacier thicket saddle barley copper violin canvas anchor rudder beacon quarry timber weaver kettle gateway deploy queue port cache index retry budget alert metric storage backup restore snapshot policy access token session client contract vendor quarter review decision'.split(
    ' ',
  );

/** About 4 KB: frontmatter, five headings, prose with eight links of both kinds, lists, tables, code. One link in a hundred is broken. */
function pageText(i: number): string {
  let state = (i * 7919 + 13) >>> 0;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
  const prose = (words: number): string => Array.from({ length: words }, () => WORDS[random(WORDS.length)]).join(' ');
  let text = `---\ntype: concept\ntitle: Page ${i}\ntags: [t${i % 9}, u${i % 5}]\nlast_updated: 2026-04-0${1 + (i % 9)}\n---\n\n# Page ${i}\n\n`;
  for (let section = 0; section < 4; section += 1) {
    const broken = random(100) === 0;
    const to = `page-${random(pages)}`;
    text += `## Section ${section}\n\n${prose(40)} [a link](${broken ? 'no-such-page' : to}.md#section-${random(4)}) ${prose(30)}.\n\n`;
    text += `${prose(30)} and \`code ${section}\` *here* [[${random(100) === 0 ? 'nobody' : to}]] ${prose(20)}.\n\n`;
    text += `- ${prose(4)}\n- ${prose(5)}\n\n| a | b |\n| - | - |\n| ${prose(1)} | ${prose(2)} |\n\n`;
    text += '```js\nconst link = "[x](y.md)";\n```\n\n';
  }
  return text;
}

interface Cost {
  readonly ms: number;
  readonly cpuMs: number;
}

async function cost(work: () => unknown): Promise<Cost> {
  const started = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { ms: Math.round((performance.now() - started) * 10) / 10, cpuMs: Math.round((user + system) / 100) / 10 };
}

function median(costs: readonly Cost[]): Cost {
  const middle = (pick: (cost: Cost) => number): number => costs.map(pick).sort((a, b) => a - b)[Math.floor(costs.length / 2)] ?? 0;
  return { ms: middle(({ ms }) => ms), cpuMs: middle(({ cpuMs }) => cpuMs) };
}

/** The peer: links to files and headings of the whole set, with its repository look-up off. */
async function peer(root: string): Promise<Cost & { readonly messages: number }> {
  const [{ engine }, { remark }, { default: validateLinks }] = await Promise.all([
    import('unified-engine'),
    import('remark'),
    import('remark-validate-links'),
  ]);
  let messages = 0;
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const spent = await cost(
    () =>
      new Promise<void>((resolve, reject) => {
        engine(
          {
            processor: remark(),
            files: [root],
            extensions: ['md'],
            plugins: [[validateLinks as never, { repository: false }]],
            output: false,
            out: false,
            streamOut: nowhere,
            streamError: nowhere,
            cwd: root,
          },
          (error, _code, context) => {
            messages = (context?.files ?? []).reduce((sum, file) => sum + file.messages.length, 0);
            if (error) reject(error);
            else resolve();
          },
        );
      }),
  );
  return { ...spent, messages };
}

const root = mkdtempSync(join(tmpdir(), 'ctx-wiki-bench-'));
try {
  mkdirSync(root, { recursive: true });
  const index = Array.from({ length: pages }, (_, i) => `- [Page ${i}](page-${i}.md)\n`).join('');
  writeFileSync(join(root, 'INDEX.md'), `# Index\n\nLast lint: ${TODAY}\n\n${index}`);
  writeFileSync(join(root, 'log.md'), `# Log\n\n## ${TODAY} begin\n\n- everything\n- Judgment: a beginning\n`);
  for (let i = 0; i < pages; i += 1) writeFileSync(join(root, `page-${i}.md`), pageText(i));

  let wiki: WikiDirectory | undefined;
  let findings = 0;
  const first = await cost(() => {
    wiki = WikiDirectory.open(root);
    findings = wiki.lint({ today: TODAY }).length;
  });
  const open = wiki as unknown as WikiDirectory;
  const told: Cost[] = [];
  const looked: Cost[] = [];
  // Files written less than a clock tick before they were read are read once more.
  open.refresh();
  for (let edit = 0; edit < EDITS; edit += 1) {
    const name = `page-${(edit * 37) % pages}.md`;
    writeFileSync(join(root, name), `${pageText((edit * 37) % pages)}\nEdit ${edit} [x](nowhere-${edit}.md)\n`);
    told.push(
      await cost(() => {
        open.update([name]);
        return open.lint({ today: TODAY });
      }),
    );
    writeFileSync(join(root, name), `${pageText((edit * 37) % pages)}\nEdit ${edit}\n\n## New heading ${edit}\n`);
    looked.push(
      await cost(() => {
        open.refresh();
        return open.lint({ today: TODAY });
      }),
    );
  }
  const result = {
    pages,
    findings,
    first,
    after_edit_seen: median(told),
    after_edit_searched: median(looked),
    ...(process.argv.includes('--no-peer') ? {} : { remark_validate_links: await peer(root) }),
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} finally {
  rmSync(root, { recursive: true, force: true });
}
