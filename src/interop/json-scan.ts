// Where values lie in JSON text. Linear; positions are UTF-16 indexes. The text is expected to be valid JSON:
// callers parse the values themselves, so a wrong text fails there.

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Member extends Span {
  /** Undefined in arrays. */
  readonly key: string | undefined;
}

/** Index after the string that starts (with its quote) at `start`; the text's length when it never ends. */
export function stringEnd(text: string, start: number): number {
  let at = start;
  for (;;) {
    at = text.indexOf('"', at + 1);
    if (at < 0) return text.length;
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === 92) slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
}

/** String tokens (keys too) of at least `minLength` characters, quotes included. */
export function* longStrings(text: string, minLength: number): Generator<Span> {
  let at = text.indexOf('"');
  while (at >= 0) {
    const end = stringEnd(text, at);
    if (end - at >= minLength) yield { start: at, end };
    at = text.indexOf('"', end);
  }
}

export function skipSpace(text: string, start: number): number {
  let at = start;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === 32 || code === 10 || code === 13 || code === 9 || code === 0xfeff) at++;
    else return at;
  }
}

/** Index after the value that starts at `start` (no leading space). */
export function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === 34) return stringEnd(text, start);
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === 34) {
      at = stringEnd(text, at);
      continue;
    }
    if (code === 123 || code === 91) depth++;
    else if (code === 125 || code === 93) {
      if (depth === 0) return at;
      depth--;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (code === 44 || code <= 32)) return at;
    at++;
  }
  return text.length;
}

/** Direct members of the object or elements of the array at `span`. */
export function members(text: string, span: Span): Member[] {
  const isObject = text.charCodeAt(span.start) === 123;
  const found: Member[] = [];
  let at = skipSpace(text, span.start + 1);
  while (at < span.end - 1) {
    let key: string | undefined;
    if (isObject) {
      const end = stringEnd(text, at);
      key = JSON.parse(text.slice(at, end)) as string;
      at = skipSpace(text, skipSpace(text, end) + 1);
    }
    const end = valueEnd(text, at);
    if (end <= at) break;
    found.push({ key, start: at, end });
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === 44) at = skipSpace(text, at + 1);
  }
  return found;
}

/** Top-level values of a text that holds one or several JSON values. */
export function topValues(text: string): Span[] {
  const found: Span[] = [];
  let at = skipSpace(text, 0);
  while (at < text.length) {
    const end = valueEnd(text, at);
    if (end <= at) break;
    found.push({ start: at, end });
    at = skipSpace(text, end);
  }
  return found;
}
