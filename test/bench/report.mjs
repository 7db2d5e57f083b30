// docs/bench/*.json → docs/performance.md and docs/performance.svg. Figures are what the benchmarks printed, never edited.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { engineReport, restorePlot } from './engine-report.mjs';

const at = (name) => new URL(`../../docs/bench/${name}`, import.meta.url);
const text = (name) => (existsSync(at(name)) ? readFileSync(at(name), 'utf8') : undefined);
const json = (name) => (text(name) === undefined ? undefined : JSON.parse(text(name)));
const lines = (name) =>
  (text(name) ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
const number = (value) => Number(value).toLocaleString('en-US', { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const parts = [
  '# Performance',
  '',
  'Written by `scripts/bench` from `docs/bench/`. These machines are shared and noisy: read ratios, not times.',
  '',
];
const mount = json('mount.json');
if (mount !== undefined) {
  parts.push(
    '## The mount',
    '',
    `Commit ${mount.commit}, Linux ${mount.kernel}, Node ${mount.node}, ${mount.cpu}; medians of ${[...new Set(mount.results.map(({ rounds }) => rounds))].sort((a, b) => a - b).join(' or ')} interleaved rounds.`,
  );
  parts.push('`passthrough_ll never` is libfuse’s own C example with `cache=never`; ratios are ctx / that peer.', '');
  for (const cpus of new Set(mount.results.map((row) => row.cpus))) {
    const rows = mount.results.filter((row) => row.cpus === cpus);
    const targets = [...new Set(rows.map((row) => row.target))];
    const of = (metric, target) => rows.find((row) => row.metric === metric && row.target === target)?.median;
    const metrics = [...new Set(rows.map((row) => row.metric))];
    parts.push(
      `CPUs ${cpus}:`,
      '',
      table(
        ['figure', ...targets, 'ctx / passthrough_ll never'],
        metrics.map((metric) => [
          metric,
          ...targets.map((target) =>
            of(metric, target) === undefined
              ? ''
              : number(of(metric, target) / (metric.includes('read of') && metric.includes('GiB') ? 1048576 : 1)),
          ),
          number(of(metric, 'ctx kernel') / of(metric, 'passthrough_ll never')),
        ]),
      ),
      '',
    );
  }
  parts.push('![ctx beside libfuse’s passthrough_ll](performance.svg)', '');
  writeFileSync(new URL('../../docs/performance.svg', import.meta.url), plot(mount));
}
const pack = lines('pack.jsonl');
if (pack.length > 0) {
  parts.push(
    '## The pack on a mount',
    '',
    `Synthetic agent sessions, ${pack[0].cpus} CPUs, budget 32,000 tokens. Times in ms.${pack[0].reread_after_append_ms.user_at_once === undefined ? '' : ' Every other question comes 100 ms after the answer before it, as from a person; the rest at once, as from a program.'}`,
    '',
  );
  parts.push(
    table(
      [
        'messages',
        'history MB',
        'cold: MB/s',
        'cold: ms',
        'first pack after restart',
        're-read after a non-user line p50 / p95',
        'after a user line p50 / p95 (the first after the restart)',
        'the same at once',
        'worst epoch turn',
        'stat of other files while cold p99',
        'daemon MB now / peak / cold peak',
      ],
      pack.map((row) => [
        number(row.messages),
        number(row.history_mb),
        number(row.cold_mb_s),
        number(row.cold_ms),
        number(row.first_pack_after_restart_ms),
        `${number(row.reread_after_append_ms.other.p50)} / ${number(row.reread_after_append_ms.other.p95)}`,
        `${number(row.reread_after_append_ms.user.p50)} / ${number(row.reread_after_append_ms.user.p95)}${row.reread_after_append_ms.first_user === undefined ? '' : ` (${number(row.reread_after_append_ms.first_user)})`}`,
        row.reread_after_append_ms.user_at_once === undefined
          ? ''
          : `${number(row.reread_after_append_ms.user_at_once.p50)} / ${number(row.reread_after_append_ms.user_at_once.p95)}`,
        row.reread_after_append_ms.epoch_turns === undefined ? '' : number(row.reread_after_append_ms.epoch_turns.max),
        number(row.stat_of_others_while_cold_ms.p99),
        `${number(row.daemon_mb)} / ${number(row.daemon_peak_mb)} / ${number(row.cold_daemon_peak_mb)}`,
      ]),
    ),
    '',
  );
}
const images = lines('image.jsonl');
if (images.length > 0) {
  const figure = ({ ms, new_bytes }) => `${number(ms)} / ${number(new_bytes / 1024)}`;
  parts.push(
    '## Images',
    '',
    `An image of such a session, ${images[0].cpus} CPUs: milliseconds as the command reports them / new KiB on the disk. \`tar | sha256sum\` of the same files in the same run.`,
    '',
    table(
      [
        'messages',
        'history MB',
        'build',
        'build, of `tar | sha256sum`',
        'commit of 100 messages: first',
        'best of 5',
        'their KiB',
        'image forks: p50 ms / p95 ms / KiB each',
        'disk with them',
        '`ctx images` ms, its start included',
      ],
      images.map((row) => [
        number(row.messages),
        number(row.history_mb),
        figure(row.build),
        `${number(row.build.of_tar_sha256sum)}x its speed`,
        figure(row.commit_100.first),
        figure(row.commit_100.best),
        number(row.commit_100.bytes_of_100 / 1024),
        `${number(row.forks.count)}: ${number(row.forks.p50_ms)} / ${number(row.forks.p95_ms)} / ${number(row.forks.new_bytes_each / 1024)}`,
        `${number(row.forks.disk_ratio)}x`,
        `${number(row.images.ms)} of ${number(row.images.count)}`,
      ]),
    ),
    '',
  );
}
const archives = lines('image-archive.jsonl');
if (archives.length > 0) {
  const speed = ({ wall_s, cpu_s, mib_per_s }) => `${number(mib_per_s)} MiB/s (${number(wall_s)} s, CPU ${number(cpu_s)} s)`;
  parts.push(
    '## Export and import of an image',
    '',
    `One file out and in, every digest checked, beside \`tar | sha256sum\` of the same layout before and after, on ${archives[0].machine.cpu}, Node ${archives[0].machine.node}.`,
    '',
    table(
      ['MiB', '`tar | sha256sum`', 'export', 'import'],
      archives.map((row) => [number(row.mebibytes), row.tar_sha256sum.map(speed).join(', '), speed(row.export), speed(row.import)]),
    ),
    '',
  );
}
const gc = json('image-gc.json');
if (gc !== undefined)
  parts.push(
    '## Garbage collection',
    '',
    `${number(gc.removed)} blobs that nothing names: ${number(gc.wall_ms)} ms, CPU ${number(gc.cpu_ms)} ms.`,
    '',
  );
const forks = lines('fork.jsonl');
if (forks.length > 0) {
  const figure = ({ ms, new_bytes }) => `${number(ms)} / ${number(new_bytes / 1024)}`;
  parts.push(
    '## Forks',
    '',
    `A session on a mount whose messages have an order record each, ${forks[0].cpus} CPUs: milliseconds of the operation / new KiB on the disk (\`du\`). The daemon was just started before the first. \`cp -r\` and git (add and commit; a branch) of the same files in the same run.`,
    '',
    table(
      [
        'messages',
        'history MB',
        'first',
        'second',
        '--at the middle',
        'after one more message',
        'many: p50 ms / p95 ms / KiB each',
        '`cp -r`',
        'git commit',
        'git branch',
      ],
      forks.map((row) => [
        number(row.messages),
        number(row.history_mb),
        figure(row.first),
        figure(row.second),
        figure(row.at_middle),
        figure(row.after_one_message),
        `${number(row.forks.count)}: ${number(row.forks.p50_ms)} / ${number(row.forks.p95_ms)} / ${number(row.forks.new_bytes_each / 1024)}`,
        figure(row.cp_r),
        figure(row.git_commit),
        figure(row.git_branch),
      ]),
    ),
    '',
  );
}
for (const [name, title, note] of [
  ['tokens', 'Token counting', 'MB/s; tiktoken (WASM) on the same text in the same run.'],
  [
    'recall',
    'Recall',
    'Share of questions whose evidence is all in the pack: 20,000-token conversations, 4,000-token budget, half of it left to the tail. `plain` asks as a person does; `middle` as one who has forgotten the exact words; `other` shares almost no word with the evidence. The held-out set was written after the thesaurus was frozen; the fresh set after the vocabulary was, by someone who had read nothing of the search; nobody tunes on it.',
  ],
  ['extract', 'Extraction', ''],
  [
    'wiki',
    'Lint of a wiki',
    'A generated vault: from nothing, and after one edit (`seen`: whoever wrote says which page; `searched`: the directory is walked), beside remark-validate-links on the same vault. Milliseconds, and milliseconds of processor time.',
  ],
  [
    'wiki-mount',
    'A wiki on the mount',
    'A look at `.ctx/lint.json` after one edit among all pages, and what noticing changes costs: processor time of the serving thread and of the daemon with a wiki and without, in turns (`page`: a file of 3 KB written; `page_append`: a line appended to one, where each close asks /proc who wrote; `message_append`, `event_append`: a session of a home with a wiki against one of a space without).',
  ],
]) {
  if (text(`${name}.json`) !== undefined) parts.push(`## ${title}`, '', note, '', '```json', text(`${name}.json`).trim(), '```', '');
}
parts.push(...engineReport({ json, lines, number, table }));
const engine = json('engine.json');
if (engine !== undefined) writeFileSync(new URL('../../docs/restore.svg', import.meta.url), restorePlot(engine));
const prefix = lines('prefix.jsonl');
if (prefix.length > 0)
  parts.push(
    '## Byte-stable prefix',
    '',
    'Share of a turn’s prompt tokens that are a byte-stable prefix, after the first overflow, beside tail:N and summarize-at-threshold, and the bound no packer with the same low-water mark can pass (summarize-at-threshold keeps less than half, so it may). Each transcript alone at budgets that it overflows, and several end to end as one long session.',
    '',
    '```json',
    prefix.map((row) => JSON.stringify(row)).join('\n'),
    '```',
    '',
  );
writeFileSync(new URL('../../docs/performance.md', import.meta.url), `${parts.join('\n').trimEnd()}\n`);

/** Bars: ctx as a multiple of passthrough_ll cache=never, for each figure and CPU set. */
function plot({ results }) {
  const bars = [];
  for (const row of results.filter(({ target }) => target === 'ctx kernel')) {
    const peer = results.find((other) => other.cpus === row.cpus && other.metric === row.metric && other.target === 'passthrough_ll never');
    if (peer !== undefined) bars.push({ label: `${row.metric.replaceAll('`', '')} (CPUs ${row.cpus})`, ratio: row.median / peer.median });
  }
  const [width, left, row] = [860, 330, 24];
  const scale = (ratio) => (Math.log2(Math.min(32, Math.max(0.25, ratio))) + 2) * ((width - left - 70) / 7);
  const escape = (value) => value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const one = left + scale(1);
  const body = bars.map(({ label, ratio }, index) => {
    const y = 40 + index * row;
    return `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${escape(label)}</text><rect x="${left}" y="${y}" width="${scale(ratio).toFixed(1)}" height="16" fill="${ratio >= 1 ? '#2a7f62' : '#b5651d'}"/><text x="${(left + scale(ratio) + 6).toFixed(1)}" y="${y + 12}">${ratio.toFixed(2)}x</text>`;
  });
  const height = 60 + bars.length * row;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/><text x="${left}" y="20" font-weight="bold">ctx as a multiple of libfuse passthrough_ll cache=never (log scale)</text>${body.join('')}<line x1="${one}" x2="${one}" y1="32" y2="${height - 16}" stroke="#444" stroke-dasharray="4 3"/></svg>\n`;
}
