// Text to single lines and sentences. Every function looks at a bounded piece of its input.

/** One line of at most `most` UTF-16 units, cut at a word where possible, never inside a surrogate pair. */
export function clipLine(text: string, most: number): string {
  const head = text.length > most * 2 + 64 ? text.slice(0, most * 2 + 64) : text;
  const line = head.replace(SPACES, ' ').trim();
  if (line.length <= most && head.length === text.length) return wellFormed(line);
  const room = most - 1;
  let cut = line.length <= room ? line.length : line.lastIndexOf(' ', room);
  if (cut < room >> 1) cut = Math.min(room, line.length);
  return `${wellFormed(line.slice(0, cut).trimEnd())}…`;
}

/** Start and end of the sentence (or line) around a position. */
export function sentenceAround(text: string, at: number): { readonly start: number; readonly end: number } {
  const least = Math.max(0, at - MOST_SENTENCE);
  let start = at;
  while (start > least && !endsSentence(text, start - 1)) start -= 1;
  const most = Math.min(text.length, at + MOST_SENTENCE);
  let end = at;
  while (end < most && !endsSentence(text, end)) end += 1;
  if (end < most && text.charCodeAt(end) !== 0x0a) end += 1;
  return { start, end };
}

/**
 * The first sentence that says something: greetings and bare markup are passed over. Empty when there is none.
 * One shorter than `least` is given with what follows.
 */
export function leadSentence(text: string, most: number, least: number = SHORT_OPENING): string {
  let head = text.length > HEAD_UNITS ? text.slice(0, HEAD_UNITS) : text;
  if (head.charCodeAt(0) === 0x3c || head.includes('<system-reminder>')) head = dropMarkup(head);
  let at = 0;
  for (let tries = 0; tries < 8 && at < head.length; tries += 1) {
    while (at < head.length && isBlank(head.charCodeAt(at))) at += 1;
    const { end } = sentenceAround(head, at);
    const stop = Math.max(end, at + 1);
    const sentence = plain(head.slice(at, stop));
    if (LETTERS.test(sentence) && !SMALL_TALK.test(sentence)) {
      // A short opening ("Sure.") is worth its successor too.
      return clipLine(sentence.length < least ? plain(head.slice(at, at + most * 2)) : sentence, most);
    }
    at = stop;
  }
  return '';
}

/** Without marks at its start, and without emphasis that a cut would leave open. */
function plain(text: string): string {
  const bare = text.replace(CONTROL_TOKEN, ' ').replace(EMPHASIS, '$1').replace(LEADING_MARKS, '');
  return bare.replace(OPEN_EMPHASIS, '');
}

/** Whether a position lies inside a ``` fence. Linear in the text before it. */
export function insideFence(text: string, at: number): boolean {
  let inside = false;
  for (let fence = text.indexOf('```'); fence >= 0 && fence < at; fence = text.indexOf('```', fence + 3)) inside = !inside;
  return inside;
}

/** Lone surrogates would not survive UTF-8. */
export function wellFormed(text: string): string {
  // In Node 20, but not yet in the ES2023 library types.
  return (text as string & { toWellFormed(): string }).toWellFormed();
}

const MOST_SENTENCE = 400;
const SHORT_OPENING = 24;
const HEAD_UNITS = 2000;
const SPACES = /\s+/g;
const LEADING_MARKS = /^[\s#>*_`~|=+-]+/;
const EMPHASIS = /\*\*([^*\n]{1,200})\*\*/g;
const OPEN_EMPHASIS = /\*\*(?=[:\s]|$)|(?<=[\s(]|^)\*\*/g;
/** `###STOP###`: said to a harness, not to anyone. */
const CONTROL_TOKEN = /#{2,3}[A-Z_]{2,24}#{2,3}/g;
// Letters of any script that writes words.
const LETTERS = /[\p{L}]{2}/u;
const SMALL_TALK =
  /^(?:hi|hello|hey|thanks|thank you|great|ok|okay|sure|perfect|good|got it|of course|certainly|absolutely)\b[^a-z]*$|^(?:thanks|thank you|(?:i )?(?:really )?appreciate)\b[^,;:]*$/i;
const MARKUP = /<([a-z][a-z-]{2,40})>[^]*?<\/\1>/g;
const STRAY_TAG = /<\/?[a-z][a-z-]{2,40}>/g;

function dropMarkup(text: string): string {
  const without = text.replace(MARKUP, ' ');
  return LETTERS.test(without) ? without : text.replace(STRAY_TAG, ' ');
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09 || code === 0xa0;
}

/** Newline; `.`, `!` or `?` before a blank; CJK full stops. */
function endsSentence(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  if (code === 0x0a) return true;
  if (code === 0x2e && endsListNumber(text, at)) return false;
  if (code === 0x2e || code === 0x21 || code === 0x3f) return at + 1 >= text.length || isBlank(text.charCodeAt(at + 1));
  return code === 0x3002 || code === 0xff01 || code === 0xff1f;
}

/** The dot of `12. item` at a line's start. */
function endsListNumber(text: string, dot: number): boolean {
  let at = dot - 1;
  while (at >= 0 && dot - at <= 4 && text.charCodeAt(at) >= 0x30 && text.charCodeAt(at) <= 0x39) at -= 1;
  if (at === dot - 1) return false;
  while (text.charCodeAt(at) === 0x20) at -= 1;
  return at < 0 || text.charCodeAt(at) === 0x0a;
}
