// Content identity: sha256, written `sha256-<64 hex>` in names and `sha256:<64 hex>` in records.
import { hash } from 'node:crypto';

/** `sha256-` + 64 lower-case hex characters. */
export type Digest = string & { readonly __brand: 'Digest' };

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256-${hash('sha256', bytes, 'hex')}` as Digest;
}

/** Accepts `sha256-` and `sha256:` with 8 to 64 hex characters (short ids name a prefix); undefined otherwise. */
export function parseDigest(text: string): { readonly hex: string; readonly full: boolean } | undefined {
  const match = /^sha256[-:]([0-9a-f]{8,64})$/.exec(text);
  const hex = match?.[1];
  return hex === undefined ? undefined : { hex, full: hex.length === 64 };
}
