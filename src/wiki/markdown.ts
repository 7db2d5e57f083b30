// What a page says in Markdown, as far as links, lint and search need it. One pass of blocks; inline text only where it can hold a link.
import type { MarkdownIt as Parser, Token } from 'markdown-it';

import { htmlLinks } from './html.ts';
import { openParser, type PageEnv } from './markdown-syntax.ts';
import { headingWords, slugOf } from './slug.ts';

export type LinkKind = 'link' | 'image' | 'wikilink' | 'embed' | 'definition' | 'html';

export interface Link {
  readonly kind: LinkKind;
  /** As the author meant it: escapes and entities are undone, percent signs are not. */
  readonly target: string;
  /** 1-based line of the page. */
  readonly line: number;
}

export interface Heading {
  readonly text: string;
  readonly level: number;
  readonly line: number;
}

export interface Task {
  readonly text: string;
  readonly done: boolean;
  readonly line: number;
}

export interface MarkdownFacts {
  readonly headings: readonly Heading[];
  /** Slugs of headings, ids in HTML, `^block` ids, and, behind a space, the words of headings whose slug says otherwise. */
  readonly anchors: ReadonlySet<string>;
  readonly links: readonly Link[];
  readonly tasks: readonly Task[];
  /** `[text][label]` where no label is defined: text, by CommonMark; most likely a slip. */
  readonly undefinedReferences: readonly { readonly label: string; readonly line: number }[];
  /** Lines with so many brackets that they were not read. */
  readonly unreadLines: readonly number[];
}

/** Brackets in one piece of text. The parser's time grows with their square; people write a few dozen. */
const MAX_BRACKETS = 2_000;

export const EMPTY_MARKDOWN: MarkdownFacts = {
  headings: [],
  anchors: new Set(),
  links: [],
  tasks: [],
  undefinedReferences: [],
  unreadLines: [],
};

const parser: Parser = openParser();
/** Without any of these a text is only text. */
const MARKUP = /[[\]<`^]/;
const HEADING_MARKUP = /[[\]<`*_~&\\^]/;
const BLOCK_ID = /(?:^|\s)(\^[A-Za-z0-9-]+)\s*$/;
const CUSTOM_ID = /\s*\{#([^\s{}]+)\}\s*$/;
const PICTURE = /!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])?/g;
const UNDEFINED = /(^|[^\w\])\\])\[([^[\]\n]*[^\s[\]][^[\]\n]*)\]\[([^[\]\n]*)\]/g;

/** Reads the body of a page; `before` lines stand before it. Linear in the text but for what markdown-it bounds itself. */
export function readMarkdown(body: string, before: number): MarkdownFacts {
  const env: PageEnv = { footnotes: new Set(), definitions: [] };
  const tokens: Token[] = [];
  // Null characters and line ends were dealt with before: only blocks are asked for, inline text is chosen below.
  parser.block.parse(body, parser, env as never, tokens);
  const reader = new Reader(env, before);
  reader.read(tokens);
  return reader.facts();
}

class Reader {
  readonly #env: PageEnv;
  readonly #before: number;
  readonly #headings: Heading[] = [];
  readonly #anchors = new Set<string>();
  readonly #slugs = new Map<string, number>();
  readonly #links: Link[] = [];
  readonly #tasks: Task[] = [];
  readonly #undefined: { label: string; line: number }[] = [];
  readonly #unread: number[] = [];

  constructor(env: PageEnv, before: number) {
    this.#env = env;
    this.#before = before;
  }

  facts(): MarkdownFacts {
    for (const { label, startLine } of this.#env.definitions) {
      const href = this.#env.references?.[label]?.href ?? '';
      this.#links.push({ kind: 'definition', target: href, line: this.#before + startLine + 1 });
    }
    this.#links.sort((a, b) => a.line - b.line);
    return {
      headings: this.#headings,
      anchors: this.#anchors,
      links: this.#links,
      tasks: this.#tasks,
      undefinedReferences: this.#undefined,
      unreadLines: this.#unread,
    };
  }

  read(tokens: readonly Token[]): void {
    let row = 0;
    for (let i = 0; i < tokens.length; i += 1) {
      const token = tokens[i] as Token;
      if (token.map !== null) row = token.map[0];
      if (token.type === 'html_block') this.#html(token.content, this.#before + row + 1);
      else if (token.type === 'inline') {
        const line = this.#before + row + 1;
        if (tokens[i - 1]?.type === 'heading_open') this.#heading(token.content, Number(tokens[i - 1]?.tag.slice(1)), line);
        else {
          if (tokens[i - 2]?.type === 'list_item_open') this.#task(token.content, line);
          if (MARKUP.test(token.content)) this.#inline(token.content, line);
        }
      }
    }
  }

  #task(content: string, line: number): void {
    const match = /^\[([ xX])\]\s+(.*)/.exec(content);
    if (match !== null) this.#tasks.push({ text: match[2] ?? '', done: match[1] !== ' ', line });
  }

  #heading(content: string, level: number, line: number): void {
    const custom = CUSTOM_ID.exec(content);
    if (custom?.[1] !== undefined) this.#anchors.add(custom[1].toLowerCase());
    const source = custom === null ? content : content.slice(0, custom.index);
    const text = HEADING_MARKUP.test(source) ? this.#inline(source, line) : source;
    const block = BLOCK_ID.exec(source);
    if (block?.[1] !== undefined) this.#anchors.add(block[1].toLowerCase());
    this.#headings.push({ text: text.trim(), level, line });
    this.#named(text.trim());
    // A picture has no text on GitHub: only what stands beside it counts.
    if (source.includes('![')) this.#anchors.add(slugOf(source.replace(PICTURE, '')));
  }

  #named(heading: string): void {
    const slug = slugOf(heading);
    const seen = this.#slugs.get(slug);
    this.#slugs.set(slug, (seen ?? 0) + 1);
    this.#anchors.add(seen === undefined ? slug : `${slug}-${seen}`);
    const words = headingWords(heading);
    if (slugOf(words) !== slug) this.#anchors.add(` ${words}`);
  }

  #html(content: string, line: number): void {
    const { links, ids, headings } = htmlLinks(content);
    for (const id of ids) this.#anchors.add(id.toLowerCase());
    for (const heading of headings) this.#named(heading);
    for (const { target, offset } of links) this.#links.push({ kind: 'html', target, line: line + newlines(content, 0, offset) });
  }

  /** Its links become known; returns the text without markup. A text of very many brackets is read in pieces of whole lines. */
  #inline(content: string, line: number): string {
    if (content.length <= MAX_BRACKETS || brackets(content) <= MAX_BRACKETS) return this.#piece(content, line);
    let piece = '';
    let inPiece = 0;
    let start = line;
    content.split('\n').forEach((row, index) => {
      const inRow = brackets(row);
      if (inPiece + inRow > MAX_BRACKETS) {
        this.#piece(piece, start);
        [piece, inPiece, start] = ['', 0, line + index];
      }
      if (inRow > MAX_BRACKETS) {
        this.#unread.push(line + index);
        start = line + index + 1;
      } else {
        piece += `${piece === '' && start === line + index ? '' : '\n'}${row}`;
        inPiece += inRow;
      }
    });
    this.#piece(piece, start);
    return content;
  }

  #piece(content: string, line: number): string {
    const block = BLOCK_ID.exec(content);
    if (block?.[1] !== undefined) this.#anchors.add(block[1].toLowerCase());
    const children: Token[] = [];
    parser.inline.parse(content, parser, this.#env as never, children);
    let text = '';
    let at = 0;
    let lineHere = line;
    const placed = (token: Token): number => {
      const offset = token.map?.[0] ?? at;
      if (offset > at) {
        lineHere += newlines(content, at, offset);
        at = offset;
      }
      return lineHere;
    };
    for (const token of children) {
      const here = placed(token);
      switch (token.type) {
        case 'link_open':
          // A link by reference counts where it is defined.
          if (token.meta?.['label'] === undefined)
            this.#links.push({ kind: 'link', target: String(token.attrGet('href') ?? ''), line: here });
          break;
        case 'image':
          if (token.meta?.['label'] === undefined)
            this.#links.push({ kind: 'image', target: String(token.attrGet('src') ?? ''), line: here });
          text += token.content;
          break;
        case 'wikilink':
        case 'embed':
          this.#links.push({ kind: token.type, target: token.content, line: here });
          text += token.info;
          break;
        case 'html_inline':
          this.#html(token.content, here);
          break;
        case 'text':
          this.#undefinedIn(token.content, here);
          text += token.content;
          break;
        case 'softbreak':
        case 'hardbreak': {
          text += ' ';
          const newline = content.indexOf('\n', at);
          if (newline >= 0) [at, lineHere] = [newline + 1, lineHere + 1];
          break;
        }
        default:
          text += token.content;
      }
    }
    return text;
  }

  #undefinedIn(text: string, line: number): void {
    if (!text.includes('][')) return;
    for (const [, , shown = '', given = ''] of text.matchAll(UNDEFINED)) {
      const label = given === '' ? shown : given;
      // Numbers are indexes and citations; `^` is a footnote.
      if (!/^[\d\s,.^-]/.test(label) && !/^[xX ]$/.test(shown)) this.#undefined.push({ label, line });
    }
  }
}

function brackets(text: string): number {
  let count = 0;
  for (let at = text.indexOf('['); at >= 0; at = text.indexOf('[', at + 1)) count += 1;
  return count;
}

function newlines(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf('\n', from); at >= 0 && at < to; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}
