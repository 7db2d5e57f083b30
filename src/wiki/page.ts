// One page: its bytes as facts. Pure, so facts are known by the digest of the bytes.
import { isUtf8 } from 'node:buffer';

import { digestOf, type Digest } from '../abi/digest.ts';
import { dayOf, splitPage, textOf, textsOf, type Frontmatter } from './frontmatter.ts';
import { EMPTY_MARKDOWN, readMarkdown, type Link, type MarkdownFacts } from './markdown.ts';
import { sketchOf, type Sketch } from './sketch.ts';

export interface PageFacts {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly lineCount: number;
  /** From frontmatter, else the first heading. */
  readonly title: string | undefined;
  readonly aliases: readonly string[];
  readonly tags: readonly string[];
  readonly type: string | undefined;
  readonly status: string | undefined;
  /** Days, `2026-04-20`. */
  readonly lastUpdated: string | undefined;
  readonly lastReconciled: string | undefined;
  readonly staleAfter: string | undefined;
  readonly verified: string | undefined;
  /** Resources named in `sources`. */
  readonly sources: readonly string[];
  readonly frontmatter: Frontmatter | undefined;
  readonly frontmatterFault: { readonly line: number; readonly message: string } | undefined;
  readonly markdown: MarkdownFacts;
  readonly sketch: Sketch;
  /** Why the page was not read, or not in full. */
  readonly problem: { readonly kind: 'binary' | 'large'; readonly message: string } | undefined;
}

/** WIK-4: a longer page is named in a finding, and only its first part is read. */
export const MAX_PAGE_BYTES: number = 1 << 20;

export function readPage(bytes: Uint8Array, digest: Digest = digestOf(bytes)): PageFacts {
  const part = bytes.length > MAX_PAGE_BYTES ? wholeLines(bytes.subarray(0, MAX_PAGE_BYTES)) : bytes;
  // Cutting at a line end keeps characters whole, unless the first part is one line.
  const binary = part.includes(0) || !(isUtf8(part) || bytes.length > MAX_PAGE_BYTES);
  if (binary) return { ...bare(digest, bytes.length), problem: { kind: 'binary', message: 'is not text in UTF-8, and was not read' } };
  const text = new TextDecoder().decode(part);
  const { frontmatter, fault, body, bodyLine } = splitPage(text);
  const values = frontmatter?.values;
  const links = frontmatter === undefined ? [] : propertyLinks(frontmatter, text, bodyLine);
  const read = readMarkdown(body, bodyLine);
  const markdown = links.length === 0 ? read : { ...read, links: [...links, ...read.links] };
  const sources = values?.get('sources');
  const resources = (Array.isArray(sources) ? sources : sources === undefined ? [] : [sources]).flatMap((source) =>
    typeof source === 'string' ? [source] : [textOf((source as { resource?: string }).resource) ?? []].flat(),
  );
  const verified = values?.get('verified');
  const checks = (Array.isArray(verified) ? verified : [verified]).flatMap((entry) =>
    entry === undefined ? [] : [dayOf(typeof entry === 'string' ? entry : (entry as { at?: string }).at) ?? []].flat(),
  );
  return {
    digest,
    sizeBytes: bytes.length,
    lineCount: bodyLine + lines(body),
    title: textOf(values?.get('title')) ?? markdown.headings[0]?.text,
    aliases: [...textsOf(values?.get('aliases')), ...textsOf(values?.get('alias'))],
    tags: textsOf(values?.get('tags'), true).map((tag) => tag.replace(/^#/, '')),
    type: textOf(values?.get('type')),
    status: textOf(values?.get('status')),
    lastUpdated: dayOf(values?.get('last_updated')),
    lastReconciled: dayOf(values?.get('last_reconciled')),
    staleAfter: dayOf(values?.get('stale_after')),
    verified: checks.sort().at(-1),
    sources: resources.filter((resource) => resource !== ''),
    frontmatter,
    frontmatterFault: fault,
    markdown,
    sketch: sketchOf(body),
    problem:
      part === bytes ? undefined : { kind: 'large', message: `is longer than ${MAX_PAGE_BYTES} bytes; only its first part was read` },
  };
}

const PROPERTY_LINK = /^\[\[([^[\]|\n]+)(?:\|[^[\]\n]*)?\]\]$/;

/** A value of frontmatter, or an item of a list there, that is a wikilink and nothing else links, as in Obsidian. */
function propertyLinks({ values, lines }: Frontmatter, text: string, bodyLine: number): readonly Link[] {
  const links: Link[] = [];
  let rows: readonly string[] | undefined;
  for (const [key, value] of values)
    for (const item of typeof value === 'string' ? [value] : Array.isArray(value) ? value : []) {
      const target = typeof item === 'string' ? PROPERTY_LINK.exec(item)?.[1]?.trim() : undefined;
      if (target === undefined) continue;
      rows ??= text.split(/\r\n?|\n/, bodyLine);
      const from = (lines.get(key) ?? 1) - 1;
      const at = rows.findIndex((row, index) => index >= from && row.includes(`[[${target}`));
      links.push({ kind: 'wikilink', target, line: (at < 0 ? from : at) + 1 });
    }
  return links.sort((a, b) => a.line - b.line);
}

function bare(digest: Digest, sizeBytes: number): PageFacts {
  return {
    digest,
    sizeBytes,
    lineCount: 0,
    title: undefined,
    aliases: [],
    tags: [],
    type: undefined,
    status: undefined,
    lastUpdated: undefined,
    lastReconciled: undefined,
    staleAfter: undefined,
    verified: undefined,
    sources: [],
    frontmatter: undefined,
    frontmatterFault: undefined,
    markdown: EMPTY_MARKDOWN,
    sketch: sketchOf(''),
    problem: undefined,
  };
}

function wholeLines(bytes: Uint8Array): Uint8Array {
  const end = bytes.lastIndexOf(0x0a);
  return end < 0 ? bytes : bytes.subarray(0, end + 1);
}

function lines(text: string): number {
  if (text === '') return 0;
  let count = text.endsWith('\n') ? 0 : 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}
