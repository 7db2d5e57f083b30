// A term as the index knows it: 48 bits of a hash of its UTF-16 units.
import type { TermKey } from './postings.ts';
import { TermScan } from './term-scan.ts';

const asked = new TermScan();

export function termKey(term: string): TermKey {
  if (asked.full) asked.clear();
  const id = asked.idOf(term);
  return { term, top: asked.top(id), low: asked.low(id) };
}
