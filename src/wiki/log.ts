// log.md: dated entries, newest first or last, and their `Judgment:` lines.
import { digestOf } from '../abi/digest.ts';
import { tellsEvent } from './event-words.ts';

export interface LogEntry {
  /** `2026-04-20` */
  readonly day: string;
  readonly title: string;
  /** Path of the log that has it, and its 1-based line there. */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly judgments: readonly { readonly line: number; readonly text: string }[];
}

const DATED = /^(?:#{1,6}\s+|[-*]\s+)?[*_]*\[?(\d{4}-\d{2}-\d{2})\]?(?:[T ][0-9:.+Z-]+)?[*_]*[\s:|,—–-]*(.*)$/;
const JUDGMENT = /^\s*(?:[-*+]\s+)?[*_]*judge?ment[*_]*\s*:[*_]*\s*(.*)$/i;

/** The entries in file order. An entry goes on until the next dated heading (or dated item, in a log of items). */
export function parseLog(text: string, file: string): readonly LogEntry[] {
  const lines = text.split('\n');
  const headed = lines.some((line) => line.startsWith('#') && DATED.test(line));
  const starts: { readonly index: number; readonly day: string; readonly title: string }[] = [];
  lines.forEach((line, index) => {
    if (headed && !line.startsWith('#')) return;
    const [, day, title = ''] = DATED.exec(line.trimEnd()) ?? [];
    if (day !== undefined && !Number.isNaN(Date.parse(`${day}T00:00:00Z`))) starts.push({ index, day, title: title.trim() });
  });
  return starts.map(({ index, day, title }, i) => {
    const end = starts[i + 1]?.index ?? lines.length;
    return { day, title, file, line: index + 1, text: lines.slice(index, end).join('\n'), judgments: judgments(lines, index, end) };
  });
}

function judgments(lines: readonly string[], start: number, end: number): readonly { readonly line: number; readonly text: string }[] {
  const found: { line: number; text: string }[] = [];
  for (let i = start; i < end; i += 1) {
    const [, first] = JUDGMENT.exec(lines[i] ?? '') ?? [];
    if (first === undefined) continue;
    const line = i + 1;
    let text = first.trim();
    // It goes on over the indented or plain lines below, as a paragraph does.
    while (i + 1 < end && /^\s*[^\s#>*+-]/.test(lines[i + 1] ?? '') && !JUDGMENT.test(lines[i + 1] ?? ''))
      text = `${text} ${lines[++i]?.trim() ?? ''}`;
    if (text !== '') found.push({ line, text });
  }
  return found;
}

/** One entry as it is appended. */
export function logEntry(day: string, title: string, changes: readonly string[], judgment: string): string {
  return `\n## ${day} ${title}\n\n${changes.map((change) => `- ${change}\n`).join('')}- Judgment: ${judgment.replace(/\s*\n\s*/g, ' ')}\n`;
}

/** Words and paths as entries write them. */
const NAMES = /[\p{L}\p{N}_][\p{L}\p{N}_./'-]*/gu;
/** Names in brackets and quotes, which may have spaces. */
const SPELT = /\[\[?([^[\]|#]{1,200})(?:[|#][^[\]]*)?\]|"([^"\n]{1,200})"/g;
/** How many entries are searched for a title that they write without any mark. */
const TITLE_ENTRIES = 200;

/** Names an entry as it is now: one that is edited is another one. */
export function entryId(text: string): string {
  return digestOf(text.trim()).slice('sha256-'.length, 'sha256-'.length + 8);
}

/** Tells entries with the same text apart: the second of them is `ID-2`. */
export function numbered(): (id: string) => string {
  const times = new Map<string, number>();
  return (id) => {
    const time = (times.get(id) ?? 0) + 1;
    times.set(id, time);
    return time === 1 ? id : `${id}-${time}`;
  };
}

/** What an entry may speak of. `lower`: its text in lower case. */
export function namesIn(lower: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [name] of lower.matchAll(NAMES)) names.add(plainName(name));
  for (const [, bracketed, quoted] of lower.matchAll(SPELT)) names.add(plainName(bracketed ?? quoted ?? ''));
  return names;
}

/** How entries name a page, but for its title. */
export function namesOf(path: string): readonly string[] {
  const whole = plainName(path.toLowerCase());
  return [whole, whole.slice(whole.lastIndexOf('/') + 1)];
}

interface Mentioning {
  readonly day: string;
  readonly text: string;
  readonly names: ReadonlySet<string>;
  readonly whole: string;
  /** Made when it is asked for. */
  id: string | undefined;
}

/** What the log speaks of, and when last: built once, in proportion to the log; a look-up costs a few names. */
export class LogMentions {
  readonly #latest = new Map<string, string>();
  /** Newest first. */
  readonly #entries: readonly Mentioning[];

  constructor(log: readonly LogEntry[]) {
    this.#entries = log
      .map(({ day, text }) => {
        const lower = text.toLowerCase();
        const names = namesIn(lower);
        for (const name of names) if ((this.#latest.get(name) ?? '') < day) this.#latest.set(name, day);
        return { day, text: lower, names, whole: text, id: undefined };
      })
      .sort((a, b) => (a.day < b.day ? 1 : -1));
  }

  get oldest(): string | undefined {
    return this.#entries.at(-1)?.day;
  }

  /** Whether an entry of that day or later names it, by path, name or title; entries that are `known` do not count. */
  since(day: string, path: string, title: string | undefined, known?: ReadonlySet<string>): boolean {
    const called = title?.toLowerCase();
    const names = [...namesOf(path), ...(called === undefined ? [] : [called])];
    if (known !== undefined && known.size > 0)
      return this.#newer(day, known).some(
        (entry) =>
          names.some((name) => entry.names.has(name)) || (called !== undefined && called.length >= 4 && entry.text.includes(called)),
      );
    for (const name of names) if ((this.#latest.get(name) ?? '!') >= (day === '' ? '0' : day)) return true;
    if (called === undefined || called.length < 4) return false;
    let looked = 0;
    for (const entry of this.#entries) {
      if (entry.day < day || (looked += 1) > TITLE_ENTRIES) return false;
      if (entry.text.includes(called)) return true;
    }
    return false;
  }

  /** WIK-49: whether an entry of that day or later, and none of the known ones, tells of something that happened. */
  tells(day: string, what: string, about: string | undefined, known: ReadonlySet<string>): boolean {
    return this.#newer(day, known).some(({ text }) => tellsEvent(text, what, about));
  }

  #newer(day: string, known: ReadonlySet<string>): readonly Mentioning[] {
    const older = this.#entries.findIndex((entry) => entry.day < day);
    const newer = this.#entries.slice(0, older < 0 ? undefined : older);
    if (known.size === 0) return newer;
    const name = numbered();
    return newer.filter((entry) => !known.has(name((entry.id ??= entryId(entry.whole)))));
  }
}

function plainName(name: string): string {
  return name
    .replace(/[.'/-]+$/, '')
    .replace(/\.(?:md|markdown)$/, '')
    .normalize('NFC');
}
