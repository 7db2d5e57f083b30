// Token prefixes: what two prompts share, and how little must be read to find out.
import { createHash } from 'node:crypto';

/** A link of a prefix chain: the digest of the first `tokens` token ids. */
export interface PrefixLink {
  readonly tokens: number;
  /** `sha256-…` over the digest before and the ids since (u32 LE). */
  readonly digest: string;
}

export const LINK_TOKENS = 1024;
export const TOKEN_BYTES = 4;

/** Token ids as tokens.bin holds them: u32 little-endian. Shares memory where the machine's order allows it. */
export function tokenBytes(tokens: Uint32Array): Buffer {
  if (LITTLE_ENDIAN) return Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  const bytes = Buffer.allocUnsafe(tokens.length * TOKEN_BYTES);
  tokens.forEach((token, index) => bytes.writeUInt32LE(token, index * TOKEN_BYTES));
  return bytes;
}

/** The inverse of {@link tokenBytes}, always a copy; undefined when the length is not whole. */
export function tokensOf(bytes: Uint8Array): Uint32Array | undefined {
  if (bytes.byteLength % TOKEN_BYTES !== 0) return undefined;
  const tokens = new Uint32Array(bytes.byteLength / TOKEN_BYTES);
  if (LITTLE_ENDIAN) new Uint8Array(tokens.buffer).set(bytes);
  else {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let index = 0; index < tokens.length; index++) tokens[index] = view.getUint32(index * TOKEN_BYTES, true);
  }
  return tokens;
}

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/**
 * ENG-4: a link each 1,024 tokens and one for the rest. Equal links mean equal prefixes, so that two chains are compared
 * without their tokens.
 */
export function prefixChain(tokens: Uint32Array): readonly PrefixLink[] {
  const chain: PrefixLink[] = [];
  let before = '';
  for (let at = 0; at < tokens.length; at += LINK_TOKENS) {
    const end = Math.min(at + LINK_TOKENS, tokens.length);
    before = linkDigest(before, tokens.subarray(at, end));
    chain.push({ tokens: end, digest: before });
  }
  return chain;
}

/** `before`: the digest of the link before; of the first: ''. */
export function linkDigest(before: string, tokens: Uint32Array): string {
  return `sha256-${createHash('sha256').update(before).update(tokenBytes(tokens)).digest('hex')}`;
}

/** Tokens that two chains surely share: whole links only. */
export function sharedLinks(a: readonly PrefixLink[], b: readonly PrefixLink[]): number {
  let shared = 0;
  for (const [index, link] of a.entries()) {
    const other = b[index];
    if (other === undefined || other.tokens !== link.tokens || other.digest !== link.digest) break;
    shared = link.tokens;
  }
  return shared;
}

/** Length of the longest common prefix, from a position up to which both are known to agree. */
export function commonPrefix(a: Uint32Array, b: Uint32Array, from = 0): number {
  const end = Math.min(a.length, b.length);
  let at = from;
  while (at < end && a[at] === b[at]) at++;
  return at;
}

export interface BaseCandidate<T> {
  readonly value: T;
  readonly tokens: number;
  readonly chain: readonly PrefixLink[];
}

/**
 * The candidate that shares most tokens with `tokens`; among equals the shortest (least to load), then the first.
 * `readTokens(value, from, to)` gives ids `from` to `to` of a candidate, or undefined where they cannot be read.
 * Cost: one read of at most 1,024 ids for each candidate whose whole links share as much as the best's.
 */
export async function bestBase<T>(
  tokens: Uint32Array,
  candidates: readonly BaseCandidate<T>[],
  readTokens: (value: T, from: number, to: number) => Promise<Uint32Array | undefined>,
): Promise<{ readonly value: T; readonly shared: number } | undefined> {
  const chain = prefixChain(tokens);
  const linked = candidates
    .map((candidate) => ({ ...candidate, links: sharedLinks(candidate.chain, chain) }))
    .filter(({ tokens: length }) => length > 0);
  const most = linked.reduce((best, { links }) => Math.max(best, links), 0);
  // Fewer whole links can still be as much only where a candidate ends inside the link in which the best diverges: all
  // candidates within one link of the best are looked at.
  const near = linked.filter(({ links }) => links > most - LINK_TOKENS).sort((a, b) => a.tokens - b.tokens);
  let best: { readonly value: T; readonly shared: number } | undefined;
  for (const { value, tokens: length, links } of near) {
    const to = Math.min(length, tokens.length, links + LINK_TOKENS);
    // It cannot share more than the best so far does.
    if (to <= (best?.shared ?? 0)) continue;
    let shared = links;
    if (to > links) {
      const ids = await readTokens(value, links, to);
      if (ids === undefined) continue;
      shared += commonPrefix(ids, tokens.subarray(links, to));
    }
    if (shared > (best?.shared ?? 0)) best = { value, shared };
  }
  return best;
}
