// What an event is about, in its own words, and whether a log entry tells of it: a log is prose, no copy of the event.
import { terms } from '../search/terms.ts';

/** Words that say the same as the kind of an event. */
const KINDS: Readonly<Record<string, RegExp>> = {
  deploy: /\b(?:re)?deploy|\brelease|\broll(?:ed)?[ -]?(?:out|back)|\bshipped|\brollout|\bwent live/,
  debugging: /\bdebug|\bfix|\bbug|\bcause\b|\bregression/,
  correction: /\bcorrect|\bwrong|\bfix|\bmistake/,
  decision: /\bdeci(?:de|sion)|\bchose|\bchoose|\bchoice|\bagreed|\bsettled on/,
};
/** Fields that say when, where and by whom, not what. */
const OUTSIDE = /^(?:type|time|timestamp|at|id|uid|pid|session|agent|cwd|source|refs?|digest|version_id)$/i;
const MOST_CHARS = 160;

/** The values that an event gives, as one line; undefined when it gives none. */
export function aboutEvent(event: Readonly<Record<string, unknown>>): string | undefined {
  const parts: string[] = [];
  const take = (value: unknown, depth: number): void => {
    if (typeof value === 'string' || typeof value === 'number') parts.push(String(value));
    else if (typeof value === 'object' && value !== null && depth < 3)
      for (const [key, inner] of Object.entries(value)) if (Array.isArray(value) || !OUTSIDE.test(key)) take(inner, depth + 1);
  };
  take(event, 0);
  const line = parts.join(' ').replace(/\s+/g, ' ').trim();
  return line === '' ? undefined : line.slice(0, MOST_CHARS);
}

/** The kind and a third of the words (at most three of them), or half of the words without the kind. `entry` in lower case. */
export function tellsEvent(entry: string, what: string, about: string | undefined): boolean {
  const kind = entry.includes(what.toLowerCase()) || KINDS[what]?.test(entry) === true;
  const asked = new Set(terms(about ?? ''));
  if (asked.size === 0) return kind;
  const said = new Set(terms(entry));
  const found = [...asked].filter((term) => said.has(term)).length;
  return kind ? found >= Math.min(3, Math.ceil(asked.size / 3)) : found >= Math.max(2, Math.ceil(asked.size / 2));
}
