// What finding and keeping an artifact costs in a cache of many: best base, put (with the prefix it replaces), room, the first
// look of a new process. Prints JSON. Usage: node test/bench/run.mjs test/bench/artifact-cache.ts [ARTIFACTS…]
// (default: 1000 10000). Each is of a session of its own; all share a system prompt of 1,200 tokens and part within the next
// link, which is the case in which most of them are near. cpu_ms: processor time of this process.
import { hash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { artifactDirectory, artifactKey, artifactPath, makeMeta, modelDirectory } from '../../src/engine/artifact-files.ts';
import { RefFiles } from '../../src/engine/artifact-refs.ts';
import { ArtifactStore } from '../../src/engine/artifact-store.ts';
import { binaryDigest } from '../../src/engine/fingerprint.ts';
import { tokenBytes } from '../../src/engine/prefix.ts';

const ROUNDS = 15;
const fingerprint = { driver: 'llama', weights_digest: 'sha256-one' };
const model = binaryDigest(fingerprint);
const STATE = Buffer.alloc(1000, 'state');
const DIGEST = `sha256-${hash('sha256', STATE, 'hex')}`;
const sizes = process.argv.slice(2).map(Number);
if (sizes.length === 0) sizes.push(1000, 10_000);
const rows = [];
for (const size of sizes) rows.push(await measure(size));
console.log(JSON.stringify({ node: process.version, rounds: ROUNDS, rows }, undefined, 2));

async function measure(artifacts: number): Promise<Record<string, unknown>> {
  const place = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctxfs-bench-'));
  try {
    const root = join(place, '.engine', 'kv', modelDirectory(model));
    const refs = new RefFiles(join(place, '.engine', 'refs'), '');
    for (let n = 0; n < artifacts; n += 1) {
      const tokens = prompt(n, 1500);
      const key = artifactKey(model, tokens);
      const directory = artifactDirectory(root, key);
      mkdirSync(directory, { recursive: true });
      writeFileSync(artifactPath(directory, key, 'kv'), STATE);
      writeFileSync(artifactPath(directory, key, 'tok'), tokenBytes(tokens));
      const meta = makeMeta(model, fingerprint, tokens, { bytes: STATE.length, digest: DIGEST }, undefined);
      writeFileSync(artifactPath(directory, key, 'json'), JSON.stringify(meta));
      await refs.add(`session/${n}`, { model, key });
    }
    const options = { reserveBytes: 0, limitBytes: 2 ** 50 };
    const store = new ArtifactStore(join(place, '.engine'), options);
    await store.open();
    const first = await cost(async () => void (await store.shelf.bestBase(model, prompt(1, 1600))));
    const best: number[] = [];
    const puts: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const session = round + 5;
      best.push(await cost(async () => void (await store.shelf.bestBase(model, prompt(session, 1600)))));
      const path = await store.shelf.temporary(model);
      writeFileSync(path, STATE);
      const saved = { path, bytes: STATE.length, digest: DIGEST };
      puts.push(await cost(async () => void (await store.put(model, fingerprint, prompt(session, 1600), saved, `session/${session}`))));
    }
    const { bytes } = await store.usage();
    const full = new ArtifactStore(join(place, '.engine'), { ...options, limitBytes: bytes });
    await full.makeRoom(0);
    const evicts: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) evicts.push(await cost(async () => void (await full.makeRoom(20_000 * (round + 1)))));
    const evicted = statSync(root).isDirectory() ? (await full.usage()).artifacts : 0;
    return {
      artifacts,
      first_best_base_cpu_ms: first,
      best_base_cpu_ms: median(best),
      put_cpu_ms: median(puts),
      evict_cpu_ms: median(evicts),
      left: evicted,
    };
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** The same tokens for a session however long: more of them extend it. */
function prompt(session: number, length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, at) => (at < 1200 ? (at * 31) % 1000 : (at * 7 + session * 13 + (at % 5) * session) % 50_000));
}

async function cost(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return Math.round((user + system) / 10) / 100;
}

function median(all: readonly number[]): number {
  return [...all].sort((a, b) => a - b)[all.length >> 1] as number;
}
