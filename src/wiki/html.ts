// Links and ids in HTML: tags only; comments, scripts, styles and what only looks like a tag are passed over.

export interface HtmlFacts {
  readonly links: readonly { readonly target: string; readonly offset: number }[];
  readonly ids: readonly string[];
  /** Texts of `<h1>` to `<h6>`: places to link to, on GitHub. */
  readonly headings: readonly string[];
}

const TAG =
  /<!--[\s\S]*?(?:-->|$)|<!\[CDATA\[[\s\S]*?(?:\]\]>|$)|<(script|style|textarea)\b[\s\S]*?(?:<\/\1\s*>|$)|<([A-Za-z][A-Za-z0-9-]*)((?:[^<>"']|"[^"]*"|'[^']*')*)>/gi;
const ATTRIBUTE = /(?:^|\s)(href|src|id|name)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))/gi;
/** Where `name` is a place to link to. */
const NAMED = new Set(['a']);
const LINKING: Readonly<Record<string, readonly string[]>> = {
  href: ['a', 'area'],
  src: ['img', 'audio', 'video', 'source', 'iframe', 'embed'],
};
const HEADING = /<(h[1-6])\b[^<>]*>([^<]*(?:<(?!\/?h[1-6]\b)[^<]*)*)<\/\1\s*>/gi;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", '#39': "'" };

export function htmlLinks(html: string): HtmlFacts {
  const links: { target: string; offset: number }[] = [];
  const ids: string[] = [];
  const headings = /<h[1-6]/i.test(html) ? headingsIn(html) : [];
  if (!html.includes('=')) return { links, ids, headings };
  for (const match of html.matchAll(TAG)) {
    const [, , tag, attributes] = match;
    if (tag === undefined || attributes === undefined) continue;
    const element = tag.toLowerCase();
    for (const [, attribute = '', double, single, bare] of attributes.matchAll(ATTRIBUTE)) {
      const name = attribute.toLowerCase();
      const value = unescaped(double ?? single ?? bare ?? '');
      if (LINKING[name]?.includes(element) === true) links.push({ target: value.trim(), offset: match.index });
      else if (name === 'id' || (name === 'name' && NAMED.has(element))) ids.push(value);
    }
  }
  return { links, ids, headings };
}

function headingsIn(html: string): readonly string[] {
  const text = html.replace(/<!--[\s\S]*?(?:-->|$)/g, '');
  return [...text.matchAll(HEADING)].map(([, , inside = '']) =>
    unescaped(inside.replace(/<[^<>]*>/g, ''))
      .replace(/\s+/g, ' ')
      .trim(),
  );
}

function unescaped(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|apos|#39);/g, (_, entity: string) => ENTITIES[entity] ?? '');
}
