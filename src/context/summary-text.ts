// Extractive summary text: pieces joined by ` · `, each one sentence that somebody wrote.
import { clipLine, leadSentence } from './sentences.ts';
import type { MessageLine } from './types.ts';

export const PIECE_JOIN = ' · ';
export const ASKED = 'Asked: ';
export const ANSWERED = 'Answered: ';
/** Most UTF-16 units of a block's or a super-summary's text. */
export const MOST_SUMMARY_UNITS = 400;
/** A first request shorter than this is given with what follows it. */
const TASK_UNITS = 80;

/** What was asked first, what was answered last, then the other requests, newest first, while there is room. In history order. */
export function summarizeBlock(lines: readonly MessageLine[]): string {
  const requests: number[] = [];
  let answer = -1;
  let otherAnswer = -1;
  for (let i = 0; i < lines.length; i += 1) {
    const { role, text } = (lines[i] as MessageLine).view;
    if (text.length < 3) continue;
    if (role === 'user') requests.push(i);
    else if (role === 'assistant') {
      if (answer < 0 || text.length >= 40) {
        otherAnswer = answer;
        answer = i;
      }
    }
  }
  const picked = new Map<number, string>();
  let units = 0;
  const pick = (i: number, label: string, most: number, least?: number): boolean => {
    if (i < 0 || picked.has(i)) return true;
    const sentence = leadSentence((lines[i] as MessageLine).view.text, most, least);
    const piece = sentence === '' ? '' : `${label}${sentence}`;
    if (piece === '') return true;
    if (units + piece.length + PIECE_JOIN.length > MOST_SUMMARY_UNITS) return false;
    picked.set(i, piece);
    units += piece.length + PIECE_JOIN.length;
    return true;
  };
  // What a session is about often takes more than one sentence.
  pick(requests[0] ?? -1, ASKED, 140, lines[0]?.line === 1 ? TASK_UNITS : undefined);
  pick(answer, ANSWERED, 140);
  const newest = requests.at(-1) ?? -1;
  if (!pick(newest, ASKED, 120)) pick(newest, ASKED, 80);
  for (let n = requests.length - 1; n > 0; n -= 1) if (!pick(requests[n] as number, ASKED, 80)) break;
  pick(otherAnswer, ANSWERED, 80);
  if (picked.size > 0)
    return [...picked.entries()]
      .sort((a, b) => a[0] - b[0])
      .map(([, piece]) => piece)
      .join(PIECE_JOIN);
  return withoutWords(lines);
}

/** Joins summaries of neighbours into one of at most `most` units: evenly chosen pieces, the first request and the last answer kept. */
export function mergeSummaries(texts: readonly string[], most: number = MOST_SUMMARY_UNITS): string {
  const pieces: string[] = [];
  for (const text of texts) {
    for (const piece of text.split(PIECE_JOIN)) if (piece !== '' && piece !== pieces.at(-1)) pieces.push(piece);
  }
  if (pieces.length === 0) return '';
  const room = Math.max(3, Math.min(pieces.length, Math.round(most / 100)));
  const keep = new Set<number>([0, pieces.length - 1]);
  for (let n = 1; n < room - 1; n += 1) keep.add(Math.round((n * (pieces.length - 1)) / (room - 1)));
  const kept = [...keep].sort((a, b) => a - b).map((index) => pieces[index] as string);
  // What short pieces leave over goes to the long ones: clip to the widest even share that fits.
  const total = most - (kept.length - 1) * PIECE_JOIN.length;
  let share = total;
  for (let left = total, open = kept.length; open > 0;) {
    share = Math.floor(left / open);
    const short = kept.filter((piece) => piece.length <= share);
    const rest = kept.length - short.length;
    if (rest === open || rest === 0) break;
    left = total - short.reduce((sum, piece) => sum + piece.length, 0);
    open = rest;
  }
  return kept.map((piece) => (piece.length <= share ? piece : clipLine(piece, Math.max(16, share)))).join(PIECE_JOIN);
}

/** A block in which nobody spoke: its tools by name, in order of first use. */
function withoutWords(lines: readonly MessageLine[]): string {
  const calls = new Map<string, number>();
  for (const { view } of lines) for (const call of view.toolCalls) calls.set(call.name, (calls.get(call.name) ?? 0) + 1);
  const used = [...calls].map(([name, count]) => (count === 1 ? name : `${name} ×${count}`)).join(', ');
  return used === '' ? `${lines.length} messages without text` : clipLine(`Tools: ${used}`, MOST_SUMMARY_UNITS);
}
