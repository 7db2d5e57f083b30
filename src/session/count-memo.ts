// A counter that remembers what it counted: an epoch's start counts again what the epoch before counted message by message,
// and what recall weighed twice. Counts follow from the text alone, so one memory serves all sessions of a thread.
import type { TokenEncoder } from '../tokens/types.ts';

/** Shorter texts cost less to count than to look up; longer ones would push out everything else. */
const LEAST_CHARS = 48;
const MOST_CHARS = 16_384;
/** Each of two generations: about as many bytes for ASCII. */
const KEPT_CHARS = 1 << 20;

export function remembering(counter: TokenEncoder): TokenEncoder {
  let young = new Map<string, number>();
  let old = new Map<string, number>();
  let chars = 0;
  const keep = (text: string, tokens: number): void => {
    if (chars > KEPT_CHARS) {
      old = young;
      young = new Map();
      chars = 0;
    }
    chars += text.length;
    young.set(text, tokens);
  };
  return {
    name: counter.name,
    count(text) {
      if (text.length < LEAST_CHARS || text.length > MOST_CHARS) return counter.count(text);
      let tokens = young.get(text);
      if (tokens !== undefined) return tokens;
      tokens = old.get(text);
      if (tokens === undefined) {
        tokens = counter.count(text);
        // A copy: a slice would keep alive the whole message that it was cut from.
        keep(Buffer.from(text).toString(), tokens);
      } else keep(text, tokens);
      return tokens;
    },
    encode: (text) => counter.encode(text),
  };
}
