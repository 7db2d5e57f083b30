// What bad state files do: to llama-server, which loads what it is told to, and to a compile here, which is offered the same
// damage. Prints JSON. Usage: node test/bench/run.mjs test/bench/bad-states.ts   (needs scripts/build-llama-server)
// llama-server: killed, refused (an error, still there) or accepted. ctx: refused (and built from source) or accepted; its
// engine process is the same one afterwards, or it says killed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLlamaDriver } from '../../src/engine/llama/driver.ts';
import type { ArtifactFile } from '../../src/engine/types.ts';
import { makeTinyModel, prompt, tinyConfig } from '../engine/tiny.ts';
import { startPeer } from './slot-server.ts';
import type { Peer } from './slot-server.ts';

const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctxfs-bench-'));
const model = makeTinyModel(join(root, 'tiny.gguf'));
const chat = prompt('A line of which there are many, about towers and rivers. '.repeat(12));
const driver = openLlamaDriver(tinyConfig(model, { contextTokens: 2048, threads: 1 }));
const signal = new AbortController().signal;

/** What is done to a whole file of so many tokens. */
const DAMAGES: readonly (readonly [string, (bytes: Buffer, tokens: number) => Buffer])[] = [
  ['nothing', (bytes) => bytes],
  ['empty', () => Buffer.alloc(0)],
  ['cut inside the head', (bytes) => bytes.subarray(0, 7)],
  ['cut inside the tokens', (bytes, tokens) => bytes.subarray(0, 12 + tokens * 2)],
  ['cut inside the cells', (bytes, tokens) => bytes.subarray(0, 12 + tokens * 4 + 8 + tokens * 6)],
  ['cut inside the keys', (bytes) => bytes.subarray(0, Math.floor(bytes.length * 0.4))],
  ['cut inside the values', (bytes) => bytes.subarray(0, Math.floor(bytes.length * 0.8))],
  ['the last byte missing', (bytes) => bytes.subarray(0, bytes.length - 1)],
  ['another magic', (bytes) => with32(bytes, 0, 0x67677373)],
  ['another version', (bytes) => with32(bytes, 4, 99)],
  ['a token beyond the vocabulary', (bytes) => with32(bytes, 16, 1 << 30)],
  ['another token', (bytes) => with32(bytes, 16, (bytes.readUInt32LE(16) ^ 1) >>> 0)],
  ['no cells', (bytes, tokens) => with32(bytes, 12 + tokens * 4 + 4, 0)],
  ['a flipped bit in the values', (bytes) => with32(bytes, bytes.length - 64, (bytes.readUInt32LE(bytes.length - 64) ^ 0x4000) >>> 0)],
  ['bytes after the end', (bytes) => Buffer.concat([bytes, Buffer.alloc(64)])],
];

let server: Peer | undefined;
try {
  const tokens = await driver.tokenize(chat, false);
  const saved = await driver.compile({ prompt: chat, tokens, saveTo: join(root, 'good.kv'), signal, onProgress: () => undefined });
  const good = readFileSync(join(root, 'good.kv'));
  server = await start();
  await server.prefill(tokens);
  await server.slot('save', 'good.kv');
  const theirs = readFileSync(join(server.slots, 'good.kv'));
  const theirTokens = theirs.readUInt32LE(8);
  const rows = [];
  for (const [damage, apply] of DAMAGES) {
    writeFileSync(join(server.slots, 'bad.kv'), apply(Buffer.from(theirs), theirTokens));
    writeFileSync(join(root, 'bad.kv'), apply(Buffer.from(good), tokens.length));
    const base: ArtifactFile = { path: join(root, 'bad.kv'), tokens, bytes: saved.file?.bytes ?? 0, digest: saved.file?.digest ?? '' };
    rows.push({ damage, llama_server: await offerThem(), ctx: await offerUs(base, tokens) });
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
  }
  console.log(JSON.stringify({ node: process.version, tokens: tokens.length, rows }, undefined, 2));
} finally {
  await server?.end();
  await driver.close();
  rmSync(root, { recursive: true, force: true });
}
process.exit(0);

function start(): Promise<Peer> {
  return startPeer({ model, contextTokens: 2048, directory: root, threads: 1 });
}

async function offerThem(): Promise<string> {
  if (server === undefined) throw new Error('no server');
  const answer = await server.slot('restore', 'bad.kv').catch(() => undefined);
  // Who dies while it answers is gone a moment later.
  if (answer === undefined || !server.alive) {
    await server.end();
    server = await start();
    return 'killed';
  }
  return answer.status === 200 ? 'accepted' : 'refused';
}

async function offerUs(base: ArtifactFile, tokens: Uint32Array): Promise<string> {
  // Other tokens first: what is live must not be the better base.
  const other = prompt('Something else entirely, so that nothing of it is live. '.repeat(4));
  const compile = { signal, onProgress: (): void => undefined };
  await driver.compile({ prompt: other, tokens: undefined, saveTo: join(root, 'other.kv'), ...compile });
  const { pid } = driver;
  const outcome = await driver.compile({ prompt: chat, tokens, base, saveTo: join(root, 'again.kv'), ...compile });
  if (driver.pid !== pid) return 'killed';
  if (outcome.baseRefused === undefined) return outcome.reusedTokens === tokens.length ? 'accepted' : 'not used';
  return outcome.reusedTokens < tokens.length && outcome.tokens === tokens.length ? 'refused' : 'accepted';
}

function with32(bytes: Buffer, at: number, value: number): Buffer {
  bytes.writeUInt32LE(value, at);
  return bytes;
}
