// Export and import of a large image in the library, beside `tar | sha256sum` of the same bytes in the same run.
// node test/bench/run.mjs test/bench/image-archive.ts [MiB]   (default 1024; one JSON line; needs four times that below BENCH_DIR)
import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import * as fs from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { writeArchive } from '../../src/image/archive.ts';
import { planExport } from '../../src/image/export.ts';
import { importArchive } from '../../src/image/import.ts';
import { ImageStore } from '../../src/image/layout-store.ts';
import { storeImage, storeLayer } from '../image/stored-image.ts';

const run = promisify(execFile);
const mebibytes = Number(process.argv[2] ?? 1024);
const PART = 64 * 1024 * 1024;
const root = await fs.mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-bench-'));

/** Seconds of wall clock, and of processor time of this process or of the programs. */
interface Figure {
  readonly wall_s: number;
  readonly cpu_s: number;
  readonly mib_per_s: number;
}

async function here(work: () => Promise<unknown>): Promise<Figure> {
  const [started, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  return figure((performance.now() - started) / 1000, (user + system) / 1e6);
}

function figure(wall: number, cpu: number): Figure {
  const round = (value: number): number => Math.round(value * 1000) / 1000;
  return { wall_s: round(wall), cpu_s: round(cpu), mib_per_s: Math.round(mebibytes / wall) };
}

try {
  const [from, to] = [await ImageStore.open(join(root, 'from')), await ImageStore.open(join(root, 'to'))];
  const layers = [];
  for (let at = 0; at < mebibytes * 1024 * 1024; at += PART) {
    const line = `${JSON.stringify({ role: 'user', content: `${at} `.repeat(100) })}\n`;
    layers.push(await storeLayer(from, `part-${at}`, { messages: line.repeat(Math.ceil(PART / line.length)) }));
  }
  const descriptor = await storeImage(from, 'big:1', layers);
  const file = join(root, 'big.tar');
  await run('sync', ['-f', root]);
  const tar = async (): Promise<Figure> => {
    const script = `TIMEFORMAT='%R %U %S'; time tar -cf - -C '${from.directory}' . | sha256sum >'${root}/sum'`;
    const { stderr } = await run('bash', ['-c', script]);
    const [wall = 0, user = 0, system = 0] = stderr.trim().split(/\s+/).map(Number);
    return figure(wall, user + system);
  };
  await tar();
  const tarBefore = await tar();
  const exported = await here(async () => {
    const plan = await planExport(from, [{ key: 'big:1', descriptor }]);
    await pipeline(Readable.from(writeArchive(from, plan), { objectMode: true, highWaterMark: 4 }), createWriteStream(file));
  });
  const imported = await here(() =>
    importArchive(to, createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>, { where: file }),
  );
  const tarAfter = await tar();
  const machine = { cpu: cpus()[0]?.model ?? '', cores: cpus().length, node: process.version };
  console.log(JSON.stringify({ mebibytes, tar_sha256sum: [tarBefore, tarAfter], export: exported, import: imported, machine }));
} finally {
  await fs.rm(root, { recursive: true, force: true });
}
