// A long message is searched in passages, so that a hit names the part that is needed. Pure function of the text.

/** UTF-16 units. */
export const PASSAGE_UNITS = 1200;
const LEAST_UNITS = 500;

export interface Passage {
  readonly start: number;
  readonly end: number;
}

/** Cuts at the last newline, else sentence end, else space between 500 and 1200 units; else at 1200. At least one. */
export function passages(text: string): readonly Passage[] {
  const found: Passage[] = [];
  let start = 0;
  while (text.length - start > PASSAGE_UNITS) {
    const end = start + cut(text.slice(start, start + PASSAGE_UNITS));
    found.push({ start, end });
    start = end;
  }
  found.push({ start, end: text.length });
  return found;
}

function cut(window: string): number {
  const newline = window.lastIndexOf('\n') + 1;
  if (newline > LEAST_UNITS) return newline;
  const sentence = Math.max(window.lastIndexOf('. '), window.lastIndexOf('? '), window.lastIndexOf('! ')) + 2;
  if (sentence > LEAST_UNITS) return sentence;
  const space = window.lastIndexOf(' ') + 1;
  if (space > LEAST_UNITS) return space;
  // Never between the halves of a surrogate pair.
  const last = window.charCodeAt(window.length - 1);
  return (last & 0xfc00) === 0xd800 ? window.length - 1 : window.length;
}
