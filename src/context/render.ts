// How a pack item reads (abi-spec/pack.md): `<tag head>` line, body, `</tag>` line.
// PCK-7: every item starts with '<' right after a newline and ends with a newline, so token counts of items add up exactly.

// eslint-disable-next-line no-control-regex
const UNSAFE_IN_HEAD = /[\u0000-\u001f\u007f<>]/g;

/** One item as text. The body is verbatim; when it contains the closing line, the tag gets the first free suffix (`user-2`). */
export function renderBlock(tag: string, head: string, body: string): string {
  const used = freeTag(tag, body);
  // A head names files and calls, which may hold anything: it stays one line and ends where it ends.
  const safe = head.replace(UNSAFE_IN_HEAD, (sign) => `%${sign.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`);
  const open = safe === '' ? used : `${used} ${safe}`;
  return body === '' ? `<${open}>\n</${used}>\n` : `<${open}>\n${body}\n</${used}>\n`;
}

/** The inverse of {@link renderBlock} over a whole pack.md: items in order. Throws when the text is not a pack. */
export function parseBlocks(text: string): readonly { readonly tag: string; readonly head: string; readonly body: string }[] {
  const items: { tag: string; head: string; body: string }[] = [];
  let at = 0;
  while (at < text.length) {
    const lineEnd = text.indexOf('\n', at);
    const match = /^<([a-z_]+(?:-[0-9]+)?)(?: (.*))?>$/.exec(text.slice(at, lineEnd));
    const used = match?.[1];
    if (lineEnd < 0 || used === undefined) throw new Error(`no item at offset ${at}`);
    const closing = `\n</${used}>\n`;
    // The newline before an empty body's closing line is the opening line's own.
    const end = text.indexOf(closing, lineEnd);
    if (end < 0) throw new Error(`item at offset ${at} does not end`);
    items.push({ tag: used.replace(/-[0-9]+$/, ''), head: match?.[2] ?? '', body: end === lineEnd ? '' : text.slice(lineEnd + 1, end) });
    at = end + closing.length;
  }
  return items;
}

/** ChatML-like reference template (abi-spec/pack.md): what prompt.json and tools.json cost as a model reads them. */
export function templateMessage(role: string, content: string): string {
  return `<|im_start|>${role}\n${content}<|im_end|>\n`;
}

export const TEMPLATE_END = '<|im_start|>assistant\n';

/** A tool call inside an assistant message of the reference template. */
export function templateCall(name: string, args: string): string {
  return `<tool_call>\n{"name": ${JSON.stringify(name)}, "arguments": ${args}}\n</tool_call>\n`;
}

/** tools.json in the reference template: before all messages; nothing when there are no tools. */
export function templateTools(toolsJson: string | undefined): string {
  const text = (toolsJson ?? '').trim();
  return text === '' || text === '[]' ? '' : `<tools>\n${text}\n</tools>\n`;
}

function freeTag(tag: string, body: string): string {
  if (!closes(body, tag)) return tag;
  for (let n = 2; ; n++) if (!closes(body, `${tag}-${n}`)) return `${tag}-${n}`;
}

function closes(body: string, tag: string): boolean {
  const line = `</${tag}>`;
  for (let at = body.indexOf(line); at >= 0; at = body.indexOf(line, at + 1)) {
    const before = at === 0 || body.charCodeAt(at - 1) === 10;
    const after = at + line.length === body.length || body.charCodeAt(at + line.length) === 10;
    if (before && after) return true;
  }
  return false;
}
