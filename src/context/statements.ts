// Facts, decisions and todos that a message states in so many words. Precision over recall: what is missed can be contributed.
// EXT-1: what the first k messages of a block state is a prefix of what the whole block states.
import { clipLine, insideFence, sentenceAround } from './sentences.ts';

export interface Statements {
  readonly facts: string[];
  readonly decisions: string[];
  readonly todos: { readonly text: string; readonly done: boolean }[];
}

/** Statements of one message's own text (not of tool output). Undefined when there are none, the common case. */
export function statementsIn(text: string, speaker: 'user' | 'assistant'): Statements | undefined {
  const scanned = text.length > MOST_SCANNED ? text.slice(0, MOST_SCANNED) : text;
  const trigger = speaker === 'user' ? USER_TRIGGER : ASSISTANT_TRIGGER;
  trigger.lastIndex = 0;
  let hit = trigger.exec(scanned);
  if (hit === null) return undefined;
  const found: Statements = { facts: [], decisions: [], todos: [] };
  const fenced = scanned.includes('```');
  for (let looked = 0; hit !== null && looked < MOST_HITS; looked += 1) {
    const { start, end } = sentenceAround(scanned, hit.index);
    const outside = !fenced || !insideFence(scanned, hit.index);
    if (outside && end - start <= MOST_STATEMENT * 2) read(scanned, start, end, speaker, found);
    trigger.lastIndex = Math.max(end, hit.index + 1);
    hit = trigger.exec(scanned);
  }
  return found.facts.length + found.decisions.length + found.todos.length === 0 ? undefined : found;
}

/** A short yes to a proposal is a decision: the proposal's sentence, or undefined. */
export function confirmedProposal(answer: string, proposal: string): string | undefined {
  if (answer.length > 120 || proposal === '' || !YES.test(answer) || (WEAK_YES.test(answer) && THANKS.test(answer))) return undefined;
  const tail = proposal.length > MOST_SCANNED ? proposal.slice(-MOST_SCANNED) : proposal;
  PROPOSAL.lastIndex = 0;
  let last: RegExpExecArray | null = null;
  for (let hit = PROPOSAL.exec(tail), looked = 0; hit !== null && looked < MOST_HITS; hit = PROPOSAL.exec(tail), looked += 1) last = hit;
  if (last === null || insideFence(tail, last.index)) return undefined;
  const { start, end } = sentenceAround(tail, last.index);
  const asked = clipLine(withoutMarks(tail.slice(start, end)), MOST_STATEMENT >> 1);
  if (asked.length < 12) return undefined;
  // "Shall I proceed with this?" says little alone: what was proposed stands before it.
  const before = clipLine(
    withoutMarks(proposal.slice(0, Math.max(0, proposal.length - tail.length) + start)),
    MOST_STATEMENT - asked.length,
  );
  return `Confirmed: ${before === '' ? '' : `${before} `}${asked}`;
}

/** Todos of a planning tool's arguments (`TodoWrite`, `update_plan`): the tool sends its whole list each time. */
export function plannedTodos(toolName: string, argumentsText: string): Statements['todos'] {
  const list = toolName === 'TodoWrite' ? 'todos' : toolName === 'update_plan' ? 'plan' : undefined;
  if (list === undefined || argumentsText.length > 65_536) return [];
  let value: unknown;
  try {
    value = (JSON.parse(argumentsText) as Record<string, unknown> | null)?.[list];
  } catch {
    return [];
  }
  const todos: Statements['todos'] = [];
  for (const entry of Array.isArray(value) ? (value as unknown[]) : []) {
    const { content, step, status } = (entry ?? {}) as { content?: unknown; step?: unknown; status?: unknown };
    const text = typeof content === 'string' ? content : step;
    if (typeof text === 'string' && text.trim() !== '')
      todos.push({ text: clipLine(text, MOST_STATEMENT), done: status === 'completed' || status === 'done' });
  }
  return todos;
}

const MOST_SCANNED = 8192;
const MOST_STATEMENT = 280;
/** "Never truth." is a fragment. */
const LEAST_STATEMENT = 14;
const MOST_HITS = 48;
const MOST_EACH = 12;

// One pass finds candidate sentences; the stricter patterns below decide. No alternative starts with a loop.
const USER_TRIGGER =
  /remember|note(?::| that)|in mind|for (?:your )?reference|fyi|important:|prefer|always|never|must|from now on|we (?:only )?use|my [a-z][a-z ]{1,30} (?:is|are) |let[’']?s |go(?:ing)? with|decided|decision|agreed|instead|settled|let us |todo|\[[ x]\] |next(?: steps?)?:|need to|forget to/gi;
const ASSISTANT_TRIGGER =
  /root cause|note:|important:|finding:|turns out|confirmed|decided|decision(?: \([^)\n]{1,40}\))?\**:|agreed|(?:go(?:ing)?|stick) with|adopt|switch to|settled|todo|\[[ x]\] |next(?: steps?)?:|still need|remaining:/gi;

const LEAD_IN =
  /^(?:(?:ok(?:ay)?|yes|yeah|so|and|but|also|please|great|alright|right|well|hmm|btw|by the way|one more thing|just)\b[,:.! -]*)+/i;
const CHECKBOX = /^[\s>]*(?:(?:[-*+]|[0-9]{1,3}[.)])\s+)?\[([ xX])\]\s+(\S[^]*)$/;
const TODO_LINE = /^[\s>]*(?:[-*+]\s+|\/\/\s*|#\s*)?\**TODO\b\**\s*(?:\([^)]*\))?\s*[:\-–—]?\s*\**\s*(\S[^]*)$/;
const NEXT_LINE = /^[\s>#*_-]*(?:next(?: steps?| up)?|remaining(?: work| steps)?|still to do)\**:\**\s*(.*)$/i;
const NEED = /\b(?:we|i|you)(?:'ll| will)? still (?:need|have) to (.+)$/i;
const REMIND = /^(?:do ?n[o’']t forget to|remember to) (.+)$/i;
const BULLET = /^\s*(?:[-*+]|[0-9]{1,2}[.)])\s+(?!\[[ xX]\])(\S.*)$/;

const FACT_LEAD = /^(?:remember|note|keep in mind|bear in mind|fyi|for (?:your )?reference|important)\b[:,]?\s*(?:that\b)?[:,]?\s*(?=\S)/i;
const USER_FACT =
  /\bI (?:always |really |strongly |would |generally )*prefer\b|\bfrom now on\b|^(?:always|never)\b|\b(?:we|you) (?:must|should)(?:n't| not| always| never)\b|\bmust (?:not |never |always |be |have |use |support |run |work |stay |keep )|\bmustn't\b|\bwe (?:always |only )?use\b|^my [a-z][a-z ]{1,30} (?:is|are)\b/i;
/** "I must have left it there" guesses; it does not require. */
const GUESS = /\b(?:I|he|she|they|you|it|there|this|that) must (?:have|be)\b/i;
const ASSISTANT_FACT_LEAD = /^(?:note|important|key (?:finding|point|insight)|finding|root cause)\**\s*:\**\s*(?=\S)/i;
const ASSISTANT_FACT = /\bthe root cause (?:is|was)\b|\bit turns out (?:that )?/i;

const USER_DECISION =
  /^(?:let[’']?s|let us|we(?:[’']ll| will| shall)|i(?:[’']ll| will)) (?:go with|go for|use|stick (?:with|to)|adopt|choose|pick|switch to|keep|drop|move to|call it|name it)\b|^(?:go|going) with\b|^use .{1,120}\binstead\b|^decision\b\**\s*:/i;
const ASSISTANT_DECISION =
  /^(?:(?:i|we)(?:[’']ll| will|[’']m going to)|let[’']?s) (?:go with|stick with|adopt|switch to)\b|^\**decision\b(?: \([^)\n]{1,40}\))?\**\s*:/i;
const DECIDED = /\b(?:we|i|team|they)(?:[’']ve| have|[’']d)? (?:all )?(?:decided|agreed|settled|chose|chosen)\b(?! (?:whether|if|what)\b)/i;

const YES =
  /^\s*(?:yes|yep|yeah|yup|ok(?:ay)?|sure|sounds (?:good|great|right)|go ahead|go for it|do it|agreed|confirm(?:ed)?|correct|perfect|lgtm|approved|please do|please proceed|proceed)\b(?!.*\b(?:but|no|not|don't|wait)\b)/i;
/** "Okay, thank you" takes note; it does not agree. */
const WEAK_YES = /^\s*(?:ok(?:ay)?|sure|perfect)\b/i;
const THANKS = /\bthank|\bappreciate/i;
const PROPOSAL =
  /(?:shall|should) (?:i|we)\b|would you like (?:me|us|to)|do you want (?:me|us|to)|do you confirm|please confirm|\(yes(?:\/no)?\)|i(?:[’']d)? (?:suggest|recommend|propose)|my (?:suggestion|recommendation|proposal)/gi;

function read(text: string, start: number, end: number, speaker: 'user' | 'assistant', found: Statements): void {
  const raw = text.slice(start, end);
  if (readTodo(text, raw, start, end, found)) return;
  if (raw.trimEnd().endsWith('?')) return;
  const sentence = clean(raw);
  if (sentence.length < 8 || sentence.length > MOST_STATEMENT * 2 || looksLikeCode(sentence)) return;
  const decided = DECIDED.test(sentence) || (speaker === 'user' ? USER_DECISION : ASSISTANT_DECISION).test(sentence);
  if (decided) {
    push(found.decisions, clipLine(sentence.replace(/^\**decision\b(?: \([^)\n]{1,40}\))?\**\s*:\**\s*/i, ''), MOST_STATEMENT));
    return;
  }
  const lead = speaker === 'user' ? FACT_LEAD : ASSISTANT_FACT_LEAD;
  const stated = sentence.replace(lead, '');
  if (stated.length === sentence.length && GUESS.test(sentence)) return;
  if (
    stated.length !== sentence.length
      ? stated.length >= 8
      : stated.length >= LEAST_STATEMENT && (speaker === 'user' ? USER_FACT : ASSISTANT_FACT).test(sentence)
  ) {
    push(found.facts, clipLine(stated, MOST_STATEMENT));
  }
}

function readTodo(text: string, raw: string, start: number, end: number, found: Statements): boolean {
  // A sentence may begin inside a line: checkboxes and TODO marks count at the line's start only.
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const newline = text.indexOf('\n', start);
  const line = text.slice(lineStart, Math.min(newline < 0 ? text.length : newline, lineStart + MOST_STATEMENT * 4)).trimEnd();
  const box = CHECKBOX.exec(line);
  if (box !== null) {
    if (lineStart === start) pushTodo(found, box[2] as string, box[1] !== ' ');
    return true;
  }
  const todo = TODO_LINE.exec(line);
  if (todo !== null) {
    if (lineStart === start) pushTodo(found, todo[1] as string, false);
    return true;
  }
  const next = lineStart === start ? NEXT_LINE.exec(line) : null;
  if (next !== null) {
    if ((next[1] as string).trim() !== '') pushTodo(found, next[1] as string, false);
    else readList(text, newline, found);
    return true;
  }
  if (raw.trimEnd().endsWith('?')) return false;
  const need = NEED.exec(raw) ?? REMIND.exec(clean(raw));
  if (need === null) return false;
  pushTodo(found, need[1] as string, false);
  return true;
}

/** The bullets right below a "Next steps:" line. */
function readList(text: string, newline: number, found: Statements): void {
  for (let at = newline, taken = 0; at >= 0 && taken < 8;) {
    const next = text.indexOf('\n', at + 1);
    const line = text.slice(at + 1, Math.min(next < 0 ? text.length : next, at + 1 + MOST_STATEMENT * 4));
    const bullet = BULLET.exec(line);
    if (bullet !== null) {
      pushTodo(found, bullet[1] as string, false);
      taken += 1;
    } else if (line.trim() !== '' || taken > 0) return;
    at = next;
  }
}

function clean(raw: string): string {
  return withoutMarks(raw).replace(LEAD_IN, '').trim();
}

function withoutMarks(raw: string): string {
  return raw.replace(/^[\s>#*_•-]+(?:[0-9]{1,2}[.)]\s+)?/, '').trim();
}

function looksLikeCode(sentence: string): boolean {
  return /[{};]\s*$|^\s*(?:import|const|let|var|def|class|return|if|for)\b.*[=({:]|=>|\);|<\/?[a-z]+>/.test(sentence);
}

function push(list: string[], text: string): void {
  if (list.length < MOST_EACH && !list.includes(text)) list.push(text);
}

function pushTodo(found: Statements, text: string, done: boolean): void {
  const clipped = clipLine(trimMarks(text), MOST_STATEMENT);
  if (clipped.length >= 3 && found.todos.length < MOST_EACH * 2) found.todos.push({ text: clipped, done });
}

/** Without emphasis marks around it. A loop: a pattern ending in `+$` would be quadratic. */
function trimMarks(text: string): string {
  let end = text.length;
  while (end > 0 && '*_` \t\r'.includes(text.charAt(end - 1))) end -= 1;
  let start = 0;
  while (start < end && text.charCodeAt(start) === 0x2a) start += 1;
  return text.slice(start, end);
}
