// From text to index terms. One function for documents and queries: what is indexed is what can be asked for.
import { stem } from './stem.ts';
import { IRREGULAR, STOP_WORDS } from './words.ts';

/** Longer words (digests, base64) are known by their first characters. */
export const MAX_TERM = 24;
const MAX_KNOWN_WORDS = 1 << 16;

const WORD = /[\p{L}\p{M}\p{N}]+/gu;
const ASCII = /^[A-Za-z0-9]+$/;
/** Camel case and letter-digit borders inside a word. */
const PARTS = /[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+/g;
/** Scripts written without spaces between words. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]+/gu;

const known = new Map<string, readonly string[]>();

/** The terms of a text in order, repeats included; stop words have none. */
export function terms(text: string): string[] {
  const found: string[] = [];
  for (const [word] of text.matchAll(WORD)) for (const term of wordTerms(word)) found.push(term);
  return found;
}

/** The terms of one word: its stem, and for compounds the stems of the parts. */
export function wordTerms(word: string): readonly string[] {
  let found = known.get(word);
  if (found === undefined) {
    found = analyse(word);
    if (known.size >= MAX_KNOWN_WORDS) known.clear();
    known.set(word.length > 64 ? word.slice(0, 64) + word.slice(64) : word, found);
  }
  return found;
}

function analyse(word: string): readonly string[] {
  if (ASCII.test(word)) return analyseAscii(word);
  const plain = word.normalize('NFKD').replace(/\p{M}+/gu, '');
  if (ASCII.test(plain)) return analyseAscii(plain);
  const found: string[] = [];
  let at = 0;
  for (const match of plain.matchAll(UNSPACED)) {
    addOther(plain.slice(at, match.index), found);
    const signs = Array.from(match[0]);
    if (signs.length === 1) found.push(match[0]);
    for (let i = 0; i + 1 < signs.length; i += 1) found.push(`${signs[i]}${signs[i + 1]}`);
    at = match.index + match[0].length;
  }
  addOther(plain.slice(at), found);
  return found;
}

function addOther(piece: string, found: string[]): void {
  if (piece === '') return;
  if (ASCII.test(piece)) found.push(...analyseAscii(piece));
  else found.push(piece.toLowerCase().slice(0, MAX_TERM));
}

/** Terms of a word of ASCII letters and digits. */
export function analyseAscii(word: string): readonly string[] {
  const shape = shapeOf(word);
  if (shape === 'digits') return [digits(word)];
  const lower = word.toLowerCase();
  if (shape === 'letters') return STOP_WORDS.has(lower) ? [] : [letters(lower)];
  const whole = lower.slice(0, MAX_TERM);
  if (word.length > MAX_TERM * 2) return [whole];
  const found = [/^[a-z]+$/.test(lower) ? letters(lower) : whole];
  for (const part of word.match(PARTS) ?? []) {
    const term = part < ':' ? digits(part) : STOP_WORDS.has(part.toLowerCase()) ? '' : letters(part.toLowerCase());
    if (term.length > 1) found.push(term);
  }
  return found;
}

/** `letters`: one case, or a capital first; `mixed`: camel case, or letters and digits. */
function shapeOf(word: string): 'digits' | 'letters' | 'mixed' {
  let digit = 0;
  let upper = 0;
  for (let i = 0; i < word.length; i += 1) {
    const code = word.charCodeAt(i);
    if (code < 0x3a) digit += 1;
    else if (code < 0x5b) upper += 1;
  }
  if (digit === word.length) return 'digits';
  if (digit > 0) return 'mixed';
  const capital = upper === 1 && word.charCodeAt(0) < 0x5b;
  return upper === 0 || upper === word.length || capital ? 'letters' : 'mixed';
}

function digits(word: string): string {
  let at = 0;
  while (at < word.length - 1 && word.charCodeAt(at) === 0x30) at += 1;
  return word.slice(at, at + MAX_TERM);
}

function letters(lower: string): string {
  return stem(IRREGULAR.get(lower) ?? lower).slice(0, MAX_TERM);
}
