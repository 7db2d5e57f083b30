// What is compiled of a session, as a client of the mount gets it: kv/manifest.json, kv/tokens.bin, kv/state.bin.
import { constants } from 'node:fs';
import { copyFile, mkdtemp, open, readFile, rm, statfs } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { artifactDirectory, artifactPath, fileOf, modelDirectory, parseMeta, readTokens } from '../engine/artifact-files.ts';
import { binaryDigest, compare, type FieldDifference } from '../engine/fingerprint.ts';
import type { Manifest } from '../engine/manifest.ts';
import { tokensOf } from '../engine/prefix.ts';
import type { ArtifactFile, ModelDescription } from '../engine/types.ts';
import { parseStatus } from './mounted.ts';
import { mountRoot } from './roots.ts';
import type { Shell } from './shell.ts';

const POLL_MS = 50;
/** Each waits for a whole compile: only a session whose pack never rests needs more. */
const TRIES = 5;
const MOVED_ON: ReadonlySet<string> = new Set(['ETIMEDOUT', 'EAGAIN']);
/** A pack that was read is queued within moments, where it is queued at all. */
const UNQUEUED_MS = 2_000;

export interface CompiledState {
  /** Undefined: there is none that fits, and `reason` says why. */
  readonly base: ArtifactFile | undefined;
  readonly reason: string | undefined;
  /** Lets the state go, and removes what was copied. */
  readonly end: () => Promise<void>;
}

/**
 * The state of the pack as it is now; waits while it is being compiled. Who may read the store uses the artifact where it
 * lies. For others there is state.bin, which always speaks of the newest pack, and the next line makes a newer one: so its
 * bytes are copied first (about a second a gigabyte). The driver verifies either before anything loads it.
 */
export async function takeCompiledState(shell: Shell, session: string, model: ModelDescription): Promise<CompiledState> {
  for (let tries = 1; ; tries += 1) {
    const taken = await takeOnce(shell, session, model);
    // KVT-4: a newer pack is being compiled, for longer than a read may wait: its progress is followed, and it is read again.
    if (!taken.again || tries >= TRIES) return taken;
    await taken.end();
  }
}

type Taken = CompiledState & { readonly again: boolean };

async function takeOnce(shell: Shell, session: string, model: ModelDescription): Promise<Taken> {
  const manifest = await settledManifest(shell, session);
  const nothing = (reason: string | undefined, again = false): Taken => ({ base: undefined, reason, again, end: () => Promise.resolve() });
  if (manifest?.state !== 'ready')
    return nothing(manifest === undefined ? undefined : `${manifest.state}: ${manifest.reason ?? 'no state'}`);
  const { fingerprint, bytes, digest } = manifest;
  if (fingerprint === null || bytes === null || digest === null) return nothing('the state stays in the server');
  if (binaryDigest(fingerprint) !== binaryDigest(model.fingerprint)) {
    const { binary, rebuild } = compare(fingerprint, { ...fingerprint, ...model.fingerprint });
    return nothing(`compiled for another model: ${differences([...rebuild.fields, ...binary.fields])}`);
  }
  const there = await openInPlace(shell, manifest);
  if (there !== undefined) return there;
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < bytes) return nothing(`${bytes} bytes of state do not fit in ${tmpdir()}`);
  return copyState(session, bytes, digest, nothing);
}

/**
 * RUN-8: nothing is copied: the artifact's file is opened here and named by the descriptor, which keeps its bytes whatever is
 * evicted meanwhile. Undefined where the store is not ours to read, or holds something else by now.
 */
async function openInPlace(shell: Shell, { key, fingerprint, digest }: Manifest): Promise<Taken | undefined> {
  if (key === null || fingerprint === null) return undefined;
  const model = modelDirectory(binaryDigest(fingerprint));
  let file: FileHandle | undefined;
  try {
    const store = parseStatus(await readFile(join(mountRoot(shell), 'status'), 'utf8')).get('store');
    if (store === undefined) return undefined;
    const directory = artifactDirectory(join(store, '.engine', 'kv', model), key);
    file = await open(artifactPath(directory, key, 'kv'), constants.O_RDONLY | constants.O_NOFOLLOW);
    const meta = parseMeta(await readFile(artifactPath(directory, key, 'json'), 'utf8'), key, model);
    const tokens = meta === undefined ? undefined : await readTokens(artifactPath(directory, key, 'tok'), meta);
    if (meta !== undefined && tokens !== undefined && meta.digest === digest && (await file.stat()).size === meta.bytes) {
      const held = file;
      file = undefined;
      const base = fileOf(meta, `/proc/${process.pid}/fd/${held.fd}`, tokens);
      return { base, reason: undefined, again: false, end: () => held.close() };
    }
  } catch {
    // Another user's, evicted, or on no disk of ours: the mount has the same bytes.
  } finally {
    await file?.close();
  }
  return undefined;
}

async function copyState(
  session: string,
  bytes: number,
  digest: string,
  nothing: (reason: string, again?: boolean) => Taken,
): Promise<Taken> {
  const directory = await mkdtemp(join(tmpdir(), 'ctx-run-'));
  const end = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const tokens = tokensOf(await readNow(join(session, 'context/kv/tokens.bin')));
    const path = join(directory, 'state');
    await copyFile(join(session, 'context/kv/state.bin'), path);
    if (tokens !== undefined) return { base: { path, bytes, digest, tokens }, reason: undefined, again: false, end };
    await end();
    return nothing('tokens.bin is no list of token ids');
  } catch (error) {
    await end();
    const again = MOVED_ON.has((error as NodeJS.ErrnoException).code ?? '');
    return nothing(`the state cannot be read: ${(error as Error).message}`, again);
  }
}

/** Never waits: EAGAIN where the state of the newest pack is not there. */
async function readNow(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The manifest once nothing is under way; undefined where the mount shows none. */
export async function settledManifest(shell: Shell, session: string): Promise<Manifest | undefined> {
  const progress = shell.terminal.progress();
  let unqueuedMs = 0;
  // Only what is active is compiled.
  const active = (await readFile(join(session, 'state'), 'utf8')).trim() === 'active';
  try {
    for (;;) {
      const manifest = await readManifest(session);
      const state = manifest?.state;
      if (state === 'stale' || state === 'absent') unqueuedMs += active ? POLL_MS : Infinity;
      if (manifest === undefined || state === 'ready' || state === 'failed' || unqueuedMs > UNQUEUED_MS) return manifest;
      const { done, total } = manifest.progress ?? { done: 0, total: 0 };
      progress.update(total === 0 ? `${manifest.state} …` : `compiling ${done} of ${total} tokens …`);
      await sleep(POLL_MS);
    }
  } finally {
    progress.done();
  }
}

/** Undefined where the mount shows none. */
async function readManifest(session: string): Promise<Manifest | undefined> {
  const text = await readFile(join(session, 'context/kv/manifest.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return text === undefined ? undefined : (JSON.parse(text) as Manifest);
}

function differences(fields: readonly FieldDifference[]): string {
  return fields.map(({ field, wanted, here }) => `${field} is ${String(here)}, not ${String(wanted)}`).join('; ');
}
