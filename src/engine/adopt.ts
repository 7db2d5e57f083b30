// Compiled state that came from elsewhere (an image) becomes an artifact. It is copied, never linked: whoever gave it cannot
// change it afterwards. Like every artifact it is verified before a driver loads it, and fits only a model of its fingerprint.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createReadStream, createWriteStream } from 'node:fs';
import { CtxError } from '../abi/errors.ts';
import type { ArtifactStore } from './artifact-store.ts';
import { binaryDigest } from './fingerprint.ts';
import { tokensOf } from './prefix.ts';
import type { Fingerprint } from './types.ts';

export interface ForeignState {
  readonly fingerprint: Fingerprint;
  readonly state: { readonly path: string; readonly bytes: number; readonly sha256: string };
  /** u32 little-endian. */
  readonly tokens: { readonly path: string; readonly bytes: number; readonly sha256: string };
}

const MAX_TOKEN_BYTES = 64 * 1024 * 1024;

/** IMG-35. Errors: `engine.foreign_state` when the files are not what they were said to be; ENOSPC as a compile has it. */
export async function adoptState(
  store: ArtifactStore,
  session: string,
  foreign: ForeignState,
): Promise<{ readonly key: string; readonly tokens: number }> {
  const { fingerprint, state } = foreign;
  const tokens = await readTokens(foreign.tokens);
  const model = binaryDigest(fingerprint);
  await store.reserve(state.bytes);
  const temporary = await store.shelf.temporary(model);
  try {
    const hash = createHash('sha256');
    await pipeline(
      createReadStream(state.path, { flags: 'r', highWaterMark: 1 << 20 }),
      async function* (pieces: AsyncIterable<Buffer>) {
        for await (const piece of pieces) {
          hash.update(piece);
          yield piece;
        }
      },
      createWriteStream(temporary, { mode: 0o600, flush: true }),
    );
    const sha256 = hash.digest('hex');
    if (sha256 !== state.sha256 || (await fs.stat(temporary)).size !== state.bytes)
      throw refuse(state.path, 'is not the state that it was said to be');
    const artifact = await store.put(
      model,
      fingerprint,
      tokens,
      { path: temporary, bytes: state.bytes, digest: `sha256-${sha256}` },
      session,
    );
    return { key: artifact.meta.key, tokens: tokens.length };
  } finally {
    await store.shelf.discard(temporary);
  }
}

async function readTokens({ path, bytes, sha256 }: ForeignState['tokens']): Promise<Uint32Array> {
  if (bytes > MAX_TOKEN_BYTES) throw refuse(path, `is ${bytes} bytes of tokens; at most ${MAX_TOKEN_BYTES} are read`);
  const content = await fs.readFile(path);
  const tokens = tokensOf(content);
  if (tokens === undefined || tokens.length === 0 || createHash('sha256').update(content).digest('hex') !== sha256)
    throw refuse(path, 'is no list of token ids, or another one');
  return tokens;
}

function refuse(where: string, what: string): CtxError {
  return new CtxError('engine.foreign_state', 'EINVAL', what, { where, next: 'the state is compiled again from source' });
}
