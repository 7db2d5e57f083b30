// A wiki on a real mount: what the tripwire costs whoever writes, and how soon `.ctx/` says what there is to say after an edit.
// Writes with the tripwire (pages of a wiki, journals of a home that has one) and without (an ordinary directory, a space without
// a wiki) take turns in one run; the ratio of their medians is the figure. Prints JSON.
//   node test/bench/run.mjs test/bench/wiki-mount.ts [PAGES] [ROUNDS]
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CTX = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
const PAGES = Number(process.argv[2] ?? 5000);
const ROUNDS = Number(process.argv[3] ?? 15);
const WRITES = 300;
const EDITS = 40;
const uid = process.getuid?.() ?? 0;

/** In a process of its own: one that waits for a mount could not report it. Prints milliseconds. */
const CLIENT = `
const fs = require('node:fs');
const [what, place, count, first] = [process.argv[1], process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const text = (n) => '# Page ' + n + '\\n\\n' + ('The gateway of page ' + n + ' listens on a port. ').repeat(60) + '\\n';
if (what === 'look') {
  const ms = [];
  for (let n = 0; n < count; n += 1) {
    const page = place + '/page-' + ((n * 37) % first) + '.md';
    fs.appendFileSync(page, 'Edit ' + n + ' [x](nowhere-' + n + '.md)\\n');
    const started = process.hrtime.bigint();
    const said = fs.readFileSync(place + '/.ctx/lint.json', 'utf8');
    ms.push(Number(process.hrtime.bigint() - started) / 1e6);
    if (!said.includes('nowhere-' + n + '.md')) throw new Error('edit ' + n + ' is not seen');
  }
  console.log(JSON.stringify(ms));
} else {
  const started = process.hrtime.bigint();
  if (what === 'pages') for (let n = 0; n < count; n += 1) fs.writeFileSync(place + '/w' + (n % 50) + '.md', text(first + n));
  else if (what === 'append') for (let n = 0; n < count; n += 1) fs.appendFileSync(place + '/a' + (n % 50) + '.md', 'line ' + n + '\\n');
  else for (let n = 0; n < count; n += 1) fs.appendFileSync(place, what === 'events' ? '{"type":"note","n":' + n + '}\\n' : '{"role":"assistant","content":"line ' + n + '"}\\n');
  console.log(JSON.stringify(Number(process.hrtime.bigint() - started) / 1e6));
}`;

const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-wiki-mount-'));
const [mountpoint, store] = [join(root, 'mnt'), join(root, 'store')];
const env = { ...process.env, CTX_ROOT: mountpoint, CTX_STORE: store };
const ctx = (...args: string[]): Promise<{ stdout: string }> => run(process.execPath, [CTX, ...args], { env });
const client = async (...args: readonly (string | number)[]): Promise<unknown> =>
  JSON.parse((await run(process.execPath, ['-e', CLIENT, ...args.map(String)], { cwd: '/', maxBuffer: 1 << 26 })).stdout);
const middle = (values: readonly number[], share = 0.5): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 1000) / 1000;
};
/** Processor time of each thread of the daemon: what a loaded machine does not change much. */
const threadsMs = (pid: string): ReadonlyMap<string, number> =>
  new Map(
    readdirSync(`/proc/${pid}/task`).map((thread) => {
      const fields = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
      return [thread, (Number(fields[11]) + Number(fields[12])) * 10];
    }),
  );
const since = (before: ReadonlyMap<string, number>, pid: string): readonly number[] =>
  [...threadsMs(pid)].map(([thread, ms]) => ms - (before.get(thread) ?? 0));
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

try {
  mkdirSync(mountpoint);
  const wiki = `home/${uid}/wiki`;
  mkdirSync(join(store, wiki), { recursive: true });
  writeFileSync(join(store, wiki, 'log.md'), '# Log\n\n## 2026-01-01 begin\n\n- everything\n- Judgment: a beginning\n');
  const links = Array.from({ length: PAGES }, (_, i) => `- [Page ${i}](page-${i}.md)\n`).join('');
  writeFileSync(join(store, wiki, 'INDEX.md'), `# Index\n\nLast lint: 2026-01-01\n\n${links}`);
  for (let i = 0; i < PAGES; i += 1) {
    const prose = Array.from({ length: 60 }, (_, n) => `word${(i * 31 + n * 17) % 4000} lies by [[page-${(i + n * 7) % PAGES}]].`).join(
      ' ',
    );
    writeFileSync(join(store, wiki, `page-${i}.md`), `---\ntype: concept\ntitle: Page ${i}\n---\n\n# Page ${i}\n\n${prose}\n`);
  }
  await ctx('mount');
  const pid = /^pid=(\d+)$/m.exec((await run('cat', [join(mountpoint, 'status')])).stdout)?.[1] ?? '';
  await ctx('new', 'coder/bench');
  const plain = 'shared/none/agent/coder/session/bench';
  await run('mkdir', ['-p', join(mountpoint, plain), join(mountpoint, 'tool/bench')]);

  const first = (await client('look', join(mountpoint, wiki), 1, PAGES)) as number[];
  const beforeLooks = threadsMs(pid);
  const looks = (await client('look', join(mountpoint, wiki), EDITS, PAGES)) as number[];

  const lookCpuMs = sum(since(beforeLooks, pid)) / EDITS;

  const pairs = {
    page: ['pages', wiki, 'tool/bench'],
    page_append: ['append', wiki, 'tool/bench'],
    message_append: ['messages', `home/${uid}/agent/coder/session/bench/messages.jsonl`, `${plain}/messages.jsonl`],
    event_append: ['events', `home/${uid}/agent/coder/session/bench/events.jsonl`, `${plain}/events.jsonl`],
  } as const;
  const tripwire: Record<string, object> = {};
  for (const [name, [what, ...places]] of Object.entries(pairs)) {
    const spent: [number[], number[]] = [[], []];
    const ratios: number[] = [];
    const all = [0, 0];
    const serving = [0, 0];
    let servingAt = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const side of round % 2 === 0 ? ([1, 0] as const) : ([0, 1] as const)) {
        const before = threadsMs(pid);
        spent[side].push((await client(what, join(mountpoint, places[side] ?? ''), WRITES, round * WRITES)) as number);
        // What is left to do belongs to whoever caused it.
        await new Promise((resolve) => setTimeout(resolve, 400));
        const spentMs = since(before, pid);
        all[side] = (all[side] ?? 0) + sum(spentMs);
        // Without a wiki the thread that answers the kernel has most to do.
        if (side === 1) servingAt = spentMs.indexOf(Math.max(...spentMs));
        serving[side] = (serving[side] ?? 0) + (spentMs[servingAt] ?? 0);
      }
      ratios.push((spent[0][round] ?? 0) / (spent[1][round] ?? 1));
    }
    const each = (side: 0 | 1): number => middle(spent[side].map((ms) => (ms * 1000) / WRITES));
    const cpu = (spentMs: readonly number[]): readonly number[] => spentMs.map((ms) => Math.round((ms * 1000) / WRITES / ROUNDS));
    tripwire[name] = {
      with_us: each(0),
      without_us: each(1),
      ratio: middle(ratios),
      serving_cpu_us: cpu(serving),
      serving_cpu_ratio: Math.round(((serving[0] ?? 0) / (serving[1] ?? 1)) * 1000) / 1000,
      daemon_cpu_us: cpu(all),
    };
  }
  const result = {
    node: process.version,
    cpu: cpus()[0]?.model,
    pages: PAGES,
    first_look_ms: middle(first),
    look_after_edit_ms: { p50: middle(looks), p95: middle(looks, 0.95), most: middle(looks, 1), daemon_cpu: lookCpuMs },
    tripwire,
  };
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} finally {
  await ctx('umount', '--lazy').catch(() => undefined);
  rmSync(root, { recursive: true, force: true });
}
