// The section on compiled state of docs/performance.md, and its plot: docs/bench/{engine,bad-states,mounted-kv,artifact-cache}.json
// and evaluated.jsonl as the benchmarks printed them.

/** Lines of Markdown; none where nothing was measured. */
export function engineReport({ json, lines, number, table }) {
  const parts = [];
  const engine = json('engine.json');
  if (engine !== undefined) parts.push(...restoreTable(engine, number, table));
  const bad = json('bad-states.json');
  if (bad !== undefined) {
    parts.push(
      `What a bad state file does (${number(bad.tokens)} tokens, the same damage for both; a refused state is built from source):`,
      '',
      table(
        ['damage', 'llama-server', 'ctx'],
        bad.rows.map((row) => [row.damage, row.llama_server, row.ctx]),
      ),
      '',
    );
  }
  const evaluated = lines('evaluated.jsonl');
  if (evaluated.length > 0) {
    parts.push(
      'Tokens evaluated a turn, over the calls after the first overflow. The bound: within an epoch what the prompt grew by, at an epoch’s start all but the pinned part. `full` is the whole prompt at every turn. Counted by the tiny model’s tokenizer, of which the budget’s tokens hold about two each.',
      '',
      table(
        ['transcripts', 'budget', 'calls', 'epochs', 'full', 'tail:N', 'ctx', 'bound', 'ctx / bound', 'ctx / full'],
        evaluated.map((row) => [
          row.files.join(', ') + (row.rounds > 1 ? ` (${row.rounds} times)` : ''),
          ...[row.budget, row.calls, row.epochs, row.mean_prompt_tokens, row.tail_n_a_turn, row.evaluated_a_turn, row.bound_a_turn].map(
            number,
          ),
          row.ours_over_bound.toFixed(3),
          row.ours_over_full.toFixed(3),
        ]),
      ),
      '',
    );
  }
  const mounted = json('mounted-kv.json');
  if (mounted !== undefined) {
    const { fork, wait } = mounted;
    parts.push(
      `A fork of a session compiled to ${number(fork.tokens)} tokens (${number(fork.state_bytes)} bytes of state): ${fork.child_evaluated_tokens} tokens evaluated, ${fork.state_bytes_written} bytes of state written; the parent’s compile evaluated ${number(fork.parent_evaluated_tokens)}.`,
      '',
      'Waiting for the mount, in ms, alone and while a compile takes every processor, in one run: what a busy machine adds is in both.',
      '',
      table(
        ['operation', 'alone p50 / p99', 'while it compiles p50 / p99', 'worst'],
        ['stat', 'append'].map((name) => [
          name,
          `${number(wait.alone[name].p50)} / ${number(wait.alone[name].p99)}`,
          `${number(wait.compiling[name].p50)} / ${number(wait.compiling[name].p99)}`,
          number(wait.compiling[name].max),
        ]),
      ),
      '',
    );
  }
  const cache = json('artifact-cache.json');
  if (cache !== undefined) {
    parts.push(
      'The artifact cache, in ms of processor time: all artifacts share a system prompt and part within one link.',
      '',
      table(
        ['artifacts', 'first look of a process', 'best base', 'put', 'evict'],
        cache.rows.map((row) =>
          [row.artifacts, row.first_best_base_cpu_ms, row.best_base_cpu_ms, row.put_cpu_ms, row.evict_cpu_ms].map(number),
        ),
      ),
      '',
    );
  }
  return parts.length === 0 ? [] : ['## Compiled state', '', ...parts];
}

function restoreTable({ commit, cpu, processors, rounds, rows }, number, table) {
  const each = (...costs) => costs.map((cost) => (cost === undefined ? '' : number(cost))).join(' / ');
  const clock = (row, ...names) => each(...names.map((name) => row[name]?.ms));
  const processor = (row, ...names) => each(...names.map((name) => row[name]?.cpu_ms));
  return [
    `Restore against prefill: random Llama of the shape of 0.4 billion weights, F16 K/V, ${commit === undefined ? '' : `commit ${commit}, `}${cpu}, ${processors} processors, medians of ${rounds} interleaved rounds. Milliseconds of processor time; the ratios take prefill as spread over all processors.`,
    '`restore` is by a process that never saw the file, which nobody wrote since it was saved: open, structure, native load, proof of reuse; `known` the same process again; `proven` until the digest holds too, which is taken while the first tokens are evaluated; `digest first` a file that looks otherwise. `read + load`: a plain read of the file and llama’s own load.',
    '',
    table(
      [
        'tokens',
        'MB',
        'prefill',
        'restore',
        'known',
        'proven',
        'digest first',
        'read + load',
        'prefill / restore',
        'prefill / known',
        'restore / read + load',
      ],
      rows.map((row) => [
        number(row.tokens),
        number(row.bytes / 1e6),
        number(row.prefill.cpu_ms),
        number(row.restore.cpu_ms),
        number(row.known.cpu_ms),
        processor(row, 'proven'),
        number(row.digest.cpu_ms),
        number(row.read.cpu_ms + row.load.cpu_ms),
        number(row.prefill_over_restore),
        number(row.prefill_over_known),
        number(row.restore_over_read_and_load),
      ]),
    ),
    '',
    'The same against llama-server’s slots, in the same rounds: ms on the clock, and of processor time. Its save and restore verify nothing and end when the file is written or read, over HTTP; `save` is until the file is whole and the engine may go on, `sealed` until its sha256 is known too.',
    '',
    table(
      ['tokens', 'restore / known / llama-server, clock', 'processor', 'save / sealed / llama-server, clock', 'processor'],
      rows
        .filter((row) => row.server_restore !== undefined)
        .map((row) => [
          number(row.tokens),
          clock(row, 'restore', 'known', 'server_restore'),
          processor(row, 'restore', 'known', 'server_restore'),
          clock(row, 'save', 'sealed', 'server_save'),
          processor(row, 'save', 'sealed', 'server_save'),
        ]),
    ),
    '',
    '![Prefill as a multiple of a restore](restore.svg)',
    '',
  ];
}

/** Bars: prefill as a multiple of a restore, by tokens; the line is the goal of 1,000. */
export function restorePlot({ rows }) {
  const bars = rows.flatMap((row) => [
    { label: `${row.tokens} tokens, restored`, ratio: row.prefill_over_restore, fill: '#2a7f62' },
    { label: `${row.tokens} tokens, known`, ratio: row.prefill_over_known, fill: '#5aa98c' },
  ]);
  const [width, left, height] = [760, 180, 24];
  const scale = (ratio) => ((Math.log10(Math.min(10_000, Math.max(100, ratio))) - 2) / 2) * (width - left - 80);
  const goal = left + scale(1000);
  const body = bars.map(({ label, ratio, fill }, index) => {
    const y = 40 + index * height;
    return `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${label}</text><rect x="${left}" y="${y}" width="${scale(ratio).toFixed(1)}" height="16" fill="${fill}"/><text x="${(left + scale(ratio) + 6).toFixed(1)}" y="${y + 12}">${Math.round(ratio).toLocaleString('en-US')}x</text>`;
  });
  const bottom = 60 + bars.length * height;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${bottom}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/><text x="${left}" y="20" font-weight="bold">prefill as a multiple of a restore (log scale; line: 1,000)</text>${body.join('')}<line x1="${goal}" x2="${goal}" y1="32" y2="${bottom - 16}" stroke="#444" stroke-dasharray="4 3"/></svg>\n`;
}
