// A fast hash of text for keys that live in caches: never identity (that is sha256), never in a file that people read.
import xxhash from 'xxhash-wasm';

const { h64 } = await xxhash();

/** xxh64 as base 36. A collision makes two texts one, the same way each time. */
export function textHash(text: string): string {
  return h64(text).toString(36);
}
