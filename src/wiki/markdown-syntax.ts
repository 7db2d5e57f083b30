// What pages may hold beyond CommonMark: wikilinks, embeds, footnotes, comments, formulas. Rules for markdown-it, linear in the text.
import MarkdownIt from 'markdown-it';
import type { MarkdownIt as Parser, StateBlock, StateInline, Token } from 'markdown-it';

const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;
const BANG = 0x21;
const NEWLINE = 0x0a;
/** A longer one is text; also what keeps a page of brackets linear. */
const MAX_WIKILINK_UNITS = 1_024;
const MAX_FOOTNOTE_LABEL = 200;

/** What the block pass leaves for the inline pass and for the reader. */
export interface PageEnv {
  references?: Record<string, { readonly href: string; readonly title: string }>;
  footnotes: Set<string>;
  definitions: { readonly label: string; readonly startLine: number; readonly endLine: number }[];
}

export function openParser(): Parser {
  const parser = new MarkdownIt('default', { html: true, linkify: false, typographer: false });
  // Links are looked at, never followed: each destination counts as it is written.
  parser.validateLink = () => true;
  parser.normalizeLink = (url) => url;
  parser.inline.State = PlacedState;
  parser.inline.ruler.before('link', 'wikilink', wikilink);
  parser.inline.ruler.before('link', 'footnote', footnoteReference);
  parser.inline.ruler.before('link', 'comment', (state, silent) => between(state, silent, '%%'));
  parser.inline.ruler.before('link', 'formulas', (state, silent) => between(state, silent, '$$'));
  parser.inline.ruler.before('link', 'formula', formula);
  const reference = onlyRule(parser);
  parser.block.ruler.at('reference', (state, startLine, endLine, silent) => recorded(reference, state, startLine, endLine, silent));
  parser.block.ruler.before('reference', 'footnote', footnoteDefinition, { alt: ['paragraph', 'blockquote', 'list'] });
  parser.block.ruler.before('fence', 'passage', passage, { alt: ['paragraph', 'blockquote', 'list'] });
  return parser;
}

type BlockRule = (state: StateBlock, startLine: number, endLine: number, silent: boolean) => boolean;

/** markdown-it exports its rules through the ruler only. */
function onlyRule(parser: Parser): BlockRule {
  const bare = new MarkdownIt('default');
  bare.block.ruler.enableOnly(['reference']);
  const [rule] = bare.block.ruler.getRules('');
  if (rule === undefined) throw new Error(`markdown-it ${String(parser.options.html)} has no rule for link definitions`);
  return rule as BlockRule;
}

/** The parser knows the definitions, but not where they stand. */
function recorded(rule: BlockRule, state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  const start = (state.bMarks[startLine] ?? 0) + (state.tShift[startLine] ?? 0);
  if (state.src.charCodeAt(start) !== BRACKET_OPEN) return false;
  const env = state.env as unknown as PageEnv;
  const label = state.md.utils.normalizeReference(rawLabel(state.src, start + 1));
  // A second definition of a label is ignored, as CommonMark says.
  const known = env.references?.[label] !== undefined;
  if (!rule(state, startLine, endLine, silent)) return false;
  if (!silent && !known) env.definitions.push({ label, startLine, endLine: state.line });
  return true;
}

function rawLabel(src: string, start: number): string {
  const limit = Math.min(src.length, start + 1_000);
  for (let at = start; at < limit; at += 1) {
    const code = src.charCodeAt(at);
    if (code === BRACKET_CLOSE) return src.slice(start, at);
    if (code === 0x5c) at += 1;
  }
  return '';
}

/** Inline tokens that know where they start. */
const PlacedState = class extends new MarkdownIt().inline.State {
  override push(type: string, tag: string, nesting: -1 | 0 | 1): Token {
    const token = super.push(type, tag, nesting);
    if (type !== 'text') token.map = [this.pos, this.pos];
    return token;
  }
};

function wikilink(state: StateInline, silent: boolean): boolean {
  const { src, pos, posMax } = state;
  const embed = src.charCodeAt(pos) === BANG;
  const open = embed ? pos + 1 : pos;
  if (src.charCodeAt(open) !== BRACKET_OPEN || src.charCodeAt(open + 1) !== BRACKET_OPEN) return false;
  const limit = Math.min(posMax, open + MAX_WIKILINK_UNITS);
  let end = open + 2;
  for (; end < limit; end += 1) {
    const code = src.charCodeAt(end);
    if (code === BRACKET_CLOSE) break;
    if (code === BRACKET_OPEN || code === NEWLINE) return false;
  }
  if (end >= limit || src.charCodeAt(end + 1) !== BRACKET_CLOSE || end + 2 > posMax || end === open + 2) return false;
  // `[[1]](#note)`, and `[[1]]` with a definition of 1, are CommonMark links around brackets.
  const next = src.charCodeAt(end + 2);
  if (!embed && end + 2 < posMax && next === 0x28) return false;
  const inside = src.slice(open + 2, end);
  const references = (state.env as unknown as PageEnv).references;
  if (references?.[state.md.utils.normalizeReference(inside)] !== undefined) return false;
  if (!silent) {
    const token = state.push(embed ? 'embed' : 'wikilink', '', 0);
    const bar = inside.search(/\\?\|/);
    token.content = (bar < 0 ? inside : inside.slice(0, bar)).trim();
    token.info = (bar < 0 ? inside : inside.slice(inside.indexOf('|') + 1)).trim();
  }
  state.pos = end + 2;
  return true;
}

function footnoteReference(state: StateInline, silent: boolean): boolean {
  const { src, pos, posMax } = state;
  if (src.charCodeAt(pos) !== BRACKET_OPEN || src.charCodeAt(pos + 1) !== 0x5e) return false;
  const end = labelEnd(src, pos + 2, posMax);
  if (end < 0 || !(state.env as unknown as PageEnv).footnotes.has(src.slice(pos + 2, end))) return false;
  if (!silent) state.push('footnote_reference', '', 0).content = src.slice(pos + 2, end);
  state.pos = end + 1;
  return true;
}

function labelEnd(src: string, start: number, max: number): number {
  const limit = Math.min(max, start + MAX_FOOTNOTE_LABEL);
  for (let at = start; at < limit; at += 1) {
    const code = src.charCodeAt(at);
    if (code === BRACKET_CLOSE) return at > start ? at : -1;
    if (code === BRACKET_OPEN || code === NEWLINE || code === 0x20) return -1;
  }
  return -1;
}

/** `[^label]: text`, and what is indented below it: its text is blocks like any other. */
function footnoteDefinition(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  const bMark = state.bMarks[startLine] ?? 0;
  const tShift = state.tShift[startLine] ?? 0;
  const sCount = state.sCount[startLine] ?? 0;
  const max = state.eMarks[startLine] ?? 0;
  const start = bMark + tShift;
  if (sCount - state.blkIndent >= 4) return false;
  if (state.src.charCodeAt(start) !== BRACKET_OPEN || state.src.charCodeAt(start + 1) !== 0x5e) return false;
  const end = labelEnd(state.src, start + 2, max);
  if (end < 0 || state.src.charCodeAt(end + 1) !== 0x3a) return false;
  if (silent) return true;
  (state.env as unknown as PageEnv).footnotes.add(state.src.slice(start + 2, end));
  let content = end + 2;
  while (content < max && (state.src.charCodeAt(content) === 0x20 || state.src.charCodeAt(content) === 0x09)) content += 1;
  state.bMarks[startLine] = content;
  state.tShift[startLine] = 0;
  state.blkIndent += 4;
  state.sCount[startLine] = state.blkIndent;
  state.md.block.tokenize(state, startLine, endLine);
  state.blkIndent -= 4;
  state.bMarks[startLine] = bMark;
  state.tShift[startLine] = tShift;
  state.sCount[startLine] = sCount;
  if (state.line <= startLine) state.line = startLine + 1;
  return true;
}

const DOLLAR = 0x24;
const PERCENT = 0x25;
const BACKSLASH = 0x5c;

/** `%%` … `%%` and `$$` … `$$` in one text: what stands between says nothing. */
function between(state: StateInline, silent: boolean, sign: '%%' | '$$'): boolean {
  const { src, pos, posMax } = state;
  if (!src.startsWith(sign, pos)) return false;
  const end = closing(state, sign, pos + 2);
  if (end < 0 || end + 2 > posMax) return false;
  if (!silent) state.push('passage', '', 0).content = sign === '$$' ? src.slice(pos + 2, end) : '';
  state.pos = end + 2;
  return true;
}

/** `$x$`, as GitHub and Obsidian have it: no space inside the signs, no word around them; and no half of a link in it. */
function formula(state: StateInline, silent: boolean): boolean {
  const { src, pos, posMax } = state;
  if (src.charCodeAt(pos) !== DOLLAR || /\s/.test(src[pos + 1] ?? ' ') || (pos > 0 && /[\p{L}\p{N}]/u.test(src[pos - 1] ?? '')))
    return false;
  const end = closing(state, '$', pos + 1);
  if (end < 0 || end >= posMax || /\s/.test(src[end - 1] ?? ' ') || /[\p{L}\p{N}]/u.test(src[end + 1] ?? '')) return false;
  const inside = src.slice(pos + 1, end);
  if (!isBalanced(inside)) return false;
  if (!silent) state.push('passage', '', 0).content = inside;
  state.pos = end + 1;
  return true;
}

function isBalanced(text: string): boolean {
  let open = 0;
  for (let at = 0; at < text.length && open >= 0; at += 1) {
    const code = text.charCodeAt(at);
    if (code === BRACKET_OPEN) open += 1;
    else if (code === BRACKET_CLOSE) open -= 1;
  }
  return open === 0;
}

/** The next sign that is not escaped. Where there is none once, there is none further on: a text of signs stays linear. */
function closing(state: StateInline, sign: string, from: number): number {
  const none = ((state.env as unknown as { unclosed?: Record<string, { readonly src: string; readonly at: number }> }).unclosed ??= {});
  const known = none[sign];
  if (known?.src === state.src && from >= known.at) return -1;
  let end = state.src.indexOf(sign, from);
  while (end > 0 && state.src.charCodeAt(end - 1) === BACKSLASH) end = state.src.indexOf(sign, end + 1);
  if (end < 0) none[sign] = { src: state.src, at: from };
  return end;
}

/** A line that begins with `%%` or `$$`, up to the line that closes it: over any blocks. Unclosed it is text. */
function passage(state: StateBlock, startLine: number, endLine: number, silent: boolean): boolean {
  const start = (state.bMarks[startLine] ?? 0) + (state.tShift[startLine] ?? 0);
  const code = state.src.charCodeAt(start);
  if ((code !== PERCENT && code !== DOLLAR) || state.src.charCodeAt(start + 1) !== code) return false;
  if ((state.sCount[startLine] ?? 0) - state.blkIndent >= 4) return false;
  const sign = code === PERCENT ? '%%' : '$$';
  // Closed on its own line it is inline text, with what stands behind it.
  if (state.src.slice(start + 2, state.eMarks[startLine]).includes(sign)) return false;
  for (let line = startLine + 1; line < endLine; line += 1) {
    if ((state.sCount[line] ?? 0) < state.blkIndent && !state.isEmpty(line)) return false;
    const text = state.src.slice((state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0), state.eMarks[line]);
    if (!text.includes(sign)) continue;
    // What stands behind the closing sign is rare, and is passed over with it.
    if (!silent) {
      state.line = line + 1;
      state.push('passage_block', '', 0).map = [startLine, state.line];
    }
    return true;
  }
  return false;
}
