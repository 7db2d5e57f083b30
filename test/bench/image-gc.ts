// gc of 10,000 blobs that nothing names, beside 1,000 that an image does, on the store itself and without a mount.
// node test/bench/run.mjs test/bench/image-gc.ts [blobs]   (one JSON line)
import * as fs from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { sweepStore } from '../../src/image/gc.ts';
import { ImageStore } from '../../src/image/layout-store.ts';
import { ociDigest } from '../../src/image/oci.ts';
import { storeImage } from '../image/stored-image.ts';

const BLOBS = Number(process.argv[2] ?? 10_000);
const NAMED = 1_000;
const root = await fs.mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctx-bench-'));

try {
  const store = await ImageStore.open(join(root, 'layout'));
  for (let n = 0; n < NAMED / 5; n++)
    await storeImage(store, `image-${n}:1`, { messages: `{"role":"user","content":"${n}"}\n`, files: { a: `${n}` } });
  for (let n = 0; n < BLOBS; n++) {
    const bytes = Buffer.from(`blob ${n} `.repeat(400));
    await fs.writeFile(store.blobPath(ociDigest(bytes)), bytes, { mode: 0o400 });
  }
  const [began, used] = [performance.now(), process.cpuUsage()];
  const removed = await sweepStore(store, { inUse: () => Promise.resolve([]), dryRun: false });
  const { user, system } = process.cpuUsage(used);
  const round = (ms: number): number => Math.round(ms * 10) / 10;
  const machine = { cpu: cpus()[0]?.model ?? '', cores: cpus().length, node: process.version };
  console.log(
    JSON.stringify({ removed: removed.length, wall_ms: round(performance.now() - began), cpu_ms: round((user + system) / 1000), machine }),
  );
} finally {
  await fs.rm(root, { recursive: true, force: true });
}
