// Speed of the mount beside libfuse's C examples, bindfs and the native directory: one run, the same CPUs,
// interleaved rounds. Run as root: node test/bench/run.mjs test/bench/mount.ts [--rounds N] [--seconds S]
// [--entries N] [--gib N] [--cpus 0,1 --cpus 0] [--fuse-source DIR] [--ctx DRIVER]… [--only METRIC]… [--json FILE]
// Prints a Markdown table per CPU set and one JSON document.
import { existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, release } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runCommand } from '../../mount/command.ts';
import { cost, costTable, median, rateTable, type Figure, type Spent } from './mount-report.ts';
import { buildPrograms, mountPeers, type Peer } from './peers.ts';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const CTX = path.join(HERE, '../../bin/ctx');
const LINE_BYTES = 200;

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '0.4' },
    entries: { type: 'string', default: '10000' },
    gib: { type: 'string', default: '1' },
    cpus: { type: 'string', multiple: true, default: ['0,1'] },
    'fuse-source': { type: 'string' },
    ctx: { type: 'string', multiple: true, default: ['kernel'] },
    only: { type: 'string', multiple: true },
    json: { type: 'string' },
  },
});
const ROUNDS = Number(flags.rounds);
const ENTRIES = Number(flags.entries);
// `--ctx none` measures the peers alone.
const DRIVERS = flags.ctx.filter((name) => name !== 'none');
const READ_BYTES = Math.floor((Number(flags.gib) * 1024 ** 3) / LINE_BYTES) * LINE_BYTES;

/** Where a target keeps what the metrics use. */
interface Target extends Peer {
  /** A fresh, empty file (a journal in ctx) for each number. */
  appendFile(index: number): string;
  readonly entriesDirectory: string;
  /** printf format of the entries' paths. */
  readonly entryFormat: string;
  readonly bigFile: string;
}

interface Metric extends Figure {
  readonly args: (target: Target, file: string) => readonly string[];
  readonly appends: boolean;
}

const METRICS: readonly Metric[] = [
  { name: '`>>` of a line, 1 writer', unit: 'lines/s', appends: true, args: (_, file) => ['append-each', file, '1', flags.seconds] },
  { name: '`>>` of a line, 8 writers', unit: 'lines/s', appends: true, args: (_, file) => ['append-each', file, '8', flags.seconds] },
  { name: 'append, open descriptor, 1 writer', unit: 'lines/s', appends: true, args: (_, file) => ['append', file, '1', flags.seconds] },
  { name: 'append, open descriptors, 8 writers', unit: 'lines/s', appends: true, args: (_, file) => ['append', file, '8', flags.seconds] },
  { name: 'stat of one journal', unit: 'stat/s', appends: false, args: (target) => ['stat', target.bigFile, '1', flags.seconds] },
  {
    name: `stat over ${ENTRIES} directories`,
    unit: 'stat/s',
    appends: false,
    args: (target) => ['stat', target.entryFormat, String(ENTRIES), flags.seconds],
  },
  {
    name: `readdir of ${ENTRIES}`,
    unit: 'passes/s',
    appends: false,
    args: (target) => ['readdir', target.entriesDirectory, String(ENTRIES), flags.seconds],
  },
  {
    name: `sequential read of ${flags.gib} GiB`,
    unit: 'bytes/s',
    appends: false,
    args: (target) => ['read', target.bigFile, String(READ_BYTES)],
  },
];

const root = await mkdtemp(path.join(tmpdir(), 'ctxfs-bench-'));
const backing = path.join(root, 'backing');
const programs = path.join(root, 'programs');
const targets: Target[] = [];

async function daemonTicks(pid: number | undefined): Promise<number> {
  if (pid === undefined) return 0;
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

try {
  await main();
} finally {
  for (const target of targets)
    await target.stop().catch((error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
    });
  await rm(root, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const built = await buildPrograms(programs, HERE, flags['fuse-source']);
  await mkdir(path.join(backing, 'entries'), { recursive: true });
  note(`making ${ENTRIES} directories and sessions`);
  await makeDirectories(path.join(backing, 'entries'), 'e%d');
  const samples = METRICS.length * flags.cpus.length * ROUNDS;
  await makeFiles(samples);
  let big: string | undefined;
  for (const driver of DRIVERS) {
    const target = await startCtx(driver);
    targets.push(target);
    await makeDirectories(target.entriesDirectory, path.basename(target.entryFormat));
    await writeBig(target.bigFile);
    big ??= target.bigFile;
  }
  // Peers read the very bytes that the first ctx reads, where its store can be linked: one page cache for all.
  const stored = big === undefined ? undefined : path.join(root, `store-${DRIVERS[0]}`, 'home/0/agent/bench/session/big/messages.jsonl');
  if (stored !== undefined && existsSync(stored)) await link(stored, path.join(backing, 'big'));
  else await writeBig(path.join(backing, 'big'));
  for (const peer of (await mountPeers(root, backing, programs, built)).toReversed()) targets.unshift(peerTarget(peer));

  const names = targets.map((target) => target.name);
  const served = targets.filter((target) => target.pid !== undefined).map((target) => target.name);
  const report: Record<string, unknown>[] = [];
  let index = 0;
  for (const cpuList of flags.cpus) {
    for (const target of targets) {
      if (target.pid !== undefined) await must('taskset', ['-a', '-p', '-c', cpuList, String(target.pid)]);
    }
    const rates = new Map<string, number[]>();
    const spent = new Map<string, Spent>();
    for (let round = 0; round < ROUNDS; round++) {
      for (const metric of METRICS) {
        if (flags.only !== undefined && !flags.only.some((text) => metric.name.includes(text))) continue;
        index++;
        // Rotated, so that no target always follows the same one.
        for (let turn = 0; turn < targets.length; turn++) {
          const target = targets[(turn + round) % targets.length];
          if (target === undefined) continue;
          const key = `${metric.name}\0${target.name}`;
          const total = spent.get(key) ?? { ticks: 0, ops: 0 };
          spent.set(key, total);
          rates.set(key, [...(rates.get(key) ?? []), await sample(metric, target, index, cpuList, total)]);
        }
      }
      note(`cpus ${cpuList}: round ${round + 1} of ${ROUNDS}`);
    }
    process.stdout.write(rateTable(`CPUs ${cpuList}, ${ROUNDS} rounds`, names, METRICS, rates) + costTable(served, METRICS, spent));
    for (const [key, values] of rates) {
      const [metric, target] = key.split('\0');
      report.push({
        cpus: cpuList,
        metric,
        target,
        median: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
        rounds: values.length,
        daemonMicrosecondsPerOp: cost(spent.get(key)),
      });
    }
  }
  const commit = (await runCommand('git', ['-C', HERE, 'rev-parse', '--short', 'HEAD'], { timeoutMs: 5_000 })).stdout.trim();
  const json = JSON.stringify(
    { benchmark: 'mount', commit, kernel: release(), node: process.version, cpu: cpus()[0]?.model, results: report },
    null,
    1,
  );
  process.stdout.write(`${json}\n`);
  if (flags.json !== undefined) await writeFile(flags.json, `${json}\n`);
}

/** One figure per second; appends are also checked: every counted line is there, and nothing else. */
async function sample(metric: Metric, target: Target, index: number, cpuList: string, spent: Spent): Promise<number> {
  const file = metric.appends ? target.appendFile(index) : '';
  if (metric.appends && target.pid !== undefined && target.name.startsWith('ctx')) await must('mkdir', [path.dirname(file)]);
  else if (metric.appends) await must('truncate', ['-s', '0', file]);
  const before = await daemonTicks(target.pid);
  const out = JSON.parse(await must('taskset', ['-c', cpuList, path.join(programs, 'load'), ...metric.args(target, file)])) as {
    ops: number;
    ns: number;
  };
  spent.ticks += (await daemonTicks(target.pid)) - before;
  spent.ops += metric.unit === 'bytes/s' ? out.ops / 1024 ** 2 : out.ops;
  if (metric.appends) {
    const sizeBytes = Number(await must('stat', ['-c', '%s', file]));
    if (sizeBytes !== out.ops * LINE_BYTES) {
      const what = `${target.name}, ${metric.name}: ${out.ops} lines acknowledged, ${sizeBytes / LINE_BYTES} there`;
      // Kernel-side caches of some peers show an old size for up to a second: theirs is reported, ours is an error.
      if (target.name.startsWith('ctx')) throw new Error(what);
      note(what);
    }
  }
  return out.ops / (out.ns / 1e9);
}

async function startCtx(driver: string): Promise<Target> {
  const at = path.join(root, `ctx-${driver}`);
  const store = path.join(root, `store-${driver}`);
  await must(CTX, ['mount', at, '--store', store, '--driver', driver]);
  const status = await must('cat', [path.join(at, 'status')]);
  const pid = Number(/^pid=(\d+)$/m.exec(status)?.[1]);
  const sessions = path.join(at, 'home/0/agent/bench/session');
  await must('mkdir', ['-p', sessions, path.join(at, 'home/0/agent/append/session')]);
  await must('mkdir', [path.join(sessions, 'big')]);
  return {
    name: `ctx ${driver}`,
    directory: at,
    pid,
    appendFile: (index) => path.join(at, 'home/0/agent/append/session', `a${index}`, 'messages.jsonl'),
    entriesDirectory: sessions,
    entryFormat: path.join(sessions, 'e%d'),
    bigFile: path.join(sessions, 'big/messages.jsonl'),
    stop: async () => {
      await must(CTX, ['umount', at]);
    },
  };
}

function peerTarget(peer: Peer): Target {
  return {
    ...peer,
    appendFile: (index) => path.join(peer.directory, `append${index}`),
    entriesDirectory: path.join(peer.directory, 'entries'),
    entryFormat: path.join(peer.directory, 'entries/e%d'),
    bigFile: path.join(peer.directory, 'big'),
  };
}

async function makeDirectories(parent: string, format: string): Promise<void> {
  const script = 'import os,sys\nfor n in range(int(sys.argv[3])): os.mkdir(os.path.join(sys.argv[1], sys.argv[2] % n))';
  await must('python3', ['-c', script, parent, format, String(ENTRIES)]);
}

async function makeFiles(count: number): Promise<void> {
  for (let index = 0; index <= count; index++) await writeFile(path.join(backing, `append${index}`), '');
}

/** Valid journal lines, in writes of 1 MB. */
async function writeBig(file: string): Promise<void> {
  const script = [
    'import os,sys',
    'line=b\'{"role":"assistant","content":"\'',
    `line=line+b"y"*(${LINE_BYTES}-3-len(line))+b'"}\\n'`,
    'left=int(sys.argv[2])//len(line)',
    'fd=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT,0o644)',
    'while left>0:',
    '  n=min(left,5000)',
    '  assert os.write(fd,line*n)==n*len(line)',
    '  left-=n',
  ].join('\n');
  await must('python3', ['-c', script, file, String(READ_BYTES)]);
  if ((await stat(path.dirname(backing))).isDirectory() && Number(await must('stat', ['-c', '%s', file])) !== READ_BYTES)
    throw new Error(`${file} has another size`);
}

async function must(program: string, args: readonly string[]): Promise<string> {
  const result = await runCommand(program, args, { timeoutMs: 300_000 });
  if (result.status !== 0)
    throw new Error(`${program} ${args.join(' ').slice(0, 300)}: ${result.stderr.trim() || `status ${result.status}`}`);
  return result.stdout;
}

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}
