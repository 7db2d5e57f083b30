// Exact token counts, equal to tiktoken's encode_ordinary on every text (abi-spec/tokens.md), with bounded memory and
// in linear time.
import { CtxError } from '../abi/errors.ts';
import { classTable, codePointAt, widthAt } from './classes.ts';
import { LinearEncoder } from './linear.ts';
import { CACHED_UNITS, PieceCache, hashUnits } from './piece-cache.ts';
import { mergeRuns } from './runs.ts';
import { splitCl100k, splitO200k, type Split } from './split.ts';
import { TOKENIZERS, isTokenizerName, type TokenEncoder, type TokenizerName } from './types.ts';
import { NO_KEY, findTriple, loadVocabulary, type Vocabulary } from './vocabulary.ts';
import { WINDOW_BYTES, WindowEncoder } from './windows.ts';

export const DEFAULT_TOKENIZER: TokenizerName = 'o200k_base';

const SPLITS: Readonly<Record<TokenizerName, Split>> = { o200k_base: splitO200k, cl100k_base: splitCl100k };
const open = new Map<TokenizerName, PieceCounter>();

/**
 * The counter of a tokenizer, one a thread; the first call loads it (about 100 ms, 8 MB).
 * TOK-4: errors `tokens.unknown` (EINVAL), `tokens.unavailable` (ENOENT); never another tokenizer.
 */
export function openCounter(name: string = DEFAULT_TOKENIZER): TokenEncoder {
  if (!isTokenizerName(name)) {
    throw new CtxError('tokens.unknown', 'EINVAL', `there is no tokenizer ${JSON.stringify(name)}`, {
      next: `use one of ${TOKENIZERS.join(', ')}`,
    });
  }
  let counter = open.get(name);
  if (counter === undefined) {
    counter = new PieceCounter(name, SPLITS[name], loadVocabulary(name));
    open.set(name, counter);
  }
  return counter;
}

/** Kept between calls; longer texts get buffers of their own. */
const KEPT_UNITS = 1 << 19;
const KEPT_BYTES = 1 << 14;

/** So many bytes of new pieces are worth the tables of the linear encoder; those of long pieces count for more. */
const WORTH_EFFORT = 1 << 22;
const LONG_EFFORT = 8;

class PieceCounter implements TokenEncoder {
  readonly name: string;
  readonly #split: Split;
  readonly #vocabulary: Vocabulary;
  readonly #cache: PieceCache = new PieceCache();
  readonly #table: Uint8Array = classTable();
  readonly #units: Uint16Array = new Uint16Array(KEPT_UNITS);
  readonly #bytes: Uint8Array = new Uint8Array(KEPT_BYTES);
  readonly #windows: WindowEncoder;
  #linear: LinearEncoder | undefined;
  /** Bytes that were merged so far. */
  #effort = 0;

  constructor(name: string, split: Split, vocabulary: Vocabulary) {
    this.name = name;
    this.#split = split;
    this.#vocabulary = vocabulary;
    this.#windows = new WindowEncoder(vocabulary);
  }

  count(text: string): number {
    const units = this.#load(text);
    const end = text.length;
    let total = 0;
    for (let at = 0; at < end;) {
      const next = this.#split(this.#table, units, at, end);
      total += this.#piece(units, at, next);
      at = next;
    }
    return total;
  }

  encode(text: string): Uint32Array {
    const units = this.#load(text);
    const tokens: number[] = [];
    for (let at = 0; at < text.length;) {
      const next = this.#split(this.#table, units, at, text.length);
      this.#encodePiece(units, at, next, tokens);
      at = next;
    }
    return Uint32Array.from(tokens);
  }

  #load(text: string): Uint16Array {
    const units = text.length <= KEPT_UNITS ? this.#units : new Uint16Array(text.length);
    Buffer.from(units.buffer, 0, text.length * 2).write(text, 'utf16le');
    return units;
  }

  #piece(units: Uint16Array, start: number, end: number): number {
    const alone = this.#tiny(units, start, end);
    if (alone > 0) return alone;
    if (end - start > CACHED_UNITS) return this.#encodePiece(units, start, end);
    const hash = hashUnits(units, start, end);
    const known = this.#cache.find(units, start, end, hash);
    if (known > 0) return known;
    const count = this.#encodePiece(units, start, end);
    this.#cache.add(units, start, end, hash, count);
    return count;
  }

  /** One to three ASCII characters, counted without a hash; else 0. */
  #tiny(units: Uint16Array, start: number, end: number): number {
    const first = units[start] as number;
    if (end - start > 3 || first >= 0x80) return 0;
    if (end - start === 1) return 1;
    const second = units[start + 1] as number;
    if (second >= 0x80) return 0;
    const { pairs, triples } = this.#vocabulary;
    const front = pairs[(first << 8) | second] !== NO_KEY;
    if (end - start === 2) return front ? 1 : 2;
    const third = units[start + 2] as number;
    if (third >= 0x80) return 0;
    if (findTriple(triples, (first << 16) | (second << 8) | third) >= 0) return 1;
    // Whichever pair merges, the third stays alone.
    return front || pairs[(second << 8) | third] !== NO_KEY ? 2 : 3;
  }

  /** A piece that is a token is that token; anything else is merged. */
  #encodePiece(units: Uint16Array, start: number, end: number, into?: number[]): number {
    const bytes = (end - start) * 3 <= KEPT_BYTES ? this.#bytes : new Uint8Array((end - start) * 3);
    const length = encodeUtf8(units, start, end, bytes);
    const whole = this.#vocabulary.find(bytes, 0, length);
    if (whole >= 0) {
      into?.push(whole);
      return 1;
    }
    const short = length <= WINDOW_BYTES;
    this.#effort += short ? length : length * LONG_EFFORT;
    if (this.#effort > WORTH_EFFORT) this.#linear ??= new LinearEncoder(this.#vocabulary);
    const repeated = short ? -1 : mergeRuns(this.#vocabulary, bytes, length, into);
    if (repeated >= 0) return repeated;
    const tried = this.#linear?.tryEncode(bytes, length, into) ?? -1;
    if (tried >= 0) return tried;
    const joined = this.#windows.encode(bytes, length, into);
    if (joined >= 0) return joined;
    this.#linear ??= new LinearEncoder(this.#vocabulary);
    return this.#linear.encode(bytes, length, into);
  }
}

/** Writes UTF-8; a lone surrogate becomes U+FFFD. Returns the length. */
function encodeUtf8(units: Uint16Array, start: number, end: number, bytes: Uint8Array): number {
  let length = 0;
  for (let i = start; i < end;) {
    const unit = units[i] as number;
    if (unit < 0x80) {
      bytes[length++] = unit;
      i += 1;
      continue;
    }
    const point = codePointAt(units, i, end);
    i += widthAt(units, i, end);
    if (point < 0x800) bytes[length++] = 0xc0 | (point >> 6);
    else {
      if (point < 0x10000) bytes[length++] = 0xe0 | (point >> 12);
      else {
        bytes[length++] = 0xf0 | (point >> 18);
        bytes[length++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[length++] = 0x80 | (point & 0x3f);
  }
  return length;
}
