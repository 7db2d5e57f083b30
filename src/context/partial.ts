// PCK-3: an oversized text keeps its head and its tail and names where the rest is.
import type { TokenCounter } from '../tokens/types.ts';

/** Counting more characters than this for each allowed token is never needed: text beyond is cut without being counted. */
const CHARS_PER_TOKEN_CEILING = 8;

/** True when the text has at most `limitTokens` tokens. Very long texts are refused by length alone, so this is O(limit). */
export function fits(counter: TokenCounter, text: string, limitTokens: number): boolean {
  if (text.length <= limitTokens) return true;
  if (text.length > limitTokens * CHARS_PER_TOKEN_CEILING) return false;
  return counter.count(text) <= limitTokens;
}

/**
 * Head and tail of `text` with a note between them, at most `limitTokens` tokens (the note always stays).
 * Cuts fall at line ends where one is near, else between code points. O(limit), whatever the length of the text.
 */
export function headAndTail(counter: TokenCounter, text: string, limitTokens: number, note: (leftOut: number) => string): string {
  let chars = Math.min(text.length, Math.max(0, Math.floor(limitTokens * 3.2)));
  for (;;) {
    const cut = cutTo(text, chars, note);
    const tokens = counter.count(cut);
    if (tokens <= limitTokens || chars === 0) return cut;
    chars = Math.min(Math.floor(chars * 0.9), Math.floor((chars * limitTokens) / tokens));
    if (chars < 16) chars = 0;
  }
}

function cutTo(text: string, chars: number, note: (leftOut: number) => string): string {
  const half = Math.floor(chars / 2);
  const headEnd = backToBoundary(text, half);
  const tailStart = forwardToBoundary(text, text.length - half);
  if (headEnd >= tailStart) return text;
  const head = text.slice(0, headEnd);
  const tail = text.slice(tailStart);
  const middle = note(tailStart - headEnd);
  return `${head}${head === '' || head.endsWith('\n') ? '' : '\n'}${middle}${tail === '' ? '' : '\n'}${tail}`;
}

function backToBoundary(text: string, at: number): number {
  const line = text.lastIndexOf('\n', at - 1);
  if (line >= 0 && line + 1 >= at * 0.75) return line + 1;
  return isLowSurrogate(text, at) ? at - 1 : at;
}

function forwardToBoundary(text: string, at: number): number {
  const line = text.indexOf('\n', at);
  if (line >= 0 && line + 1 - at <= (text.length - at) * 0.25) return line + 1;
  return isLowSurrogate(text, at) ? at + 1 : at;
}

function isLowSurrogate(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return at > 0 && unit >= 0xdc00 && unit <= 0xdfff;
}
