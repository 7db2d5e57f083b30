// Scheduled jobs, by what they write: whether one runs cannot be seen from here, whether its file came can.
import { statSync } from 'node:fs';

import { loadCroner } from '../abi/packages.ts';
import type { Finding } from './finding.ts';

/** What a scheduled job promises. `{date}` in the path is the day of its run. */
export interface ExpectedOutput {
  readonly job: string;
  readonly path: string;
  /** Hours between two of its files, or when it runs, as crontab has it. */
  readonly schedule: { readonly everyHours: number } | { readonly cron: string };
  /** IANA name; undefined: of this machine. */
  readonly timezone: string | undefined;
  /** How long after its time the file may still come. */
  readonly withinMs: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Clocks of two machines, and times of filesystems, are no closer. */
const CLOCK_MS = 60_000;
const NAMED: Readonly<Record<string, number>> = { hourly: 1, daily: 24, weekly: 168, monthly: 744 };

/** Undefined where it is none. */
export function parseSchedule(text: string, timezone: string | undefined): ExpectedOutput['schedule'] | undefined {
  const everyHours = NAMED[text] ?? Number(/^every ([0-9]{1,4})h$/.exec(text)?.[1]);
  if (everyHours > 0) return { everyHours };
  try {
    if (text.trim().split(/\s+/).length === 5) lastRunMs(text, timezone, Date.now());
    else return undefined;
  } catch {
    return undefined;
  }
  return { cron: text };
}

export function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== '';
  } catch {
    return false;
  }
}

/** WIK-23. `place`: where a path of the configuration is. */
export function outputFindings(output: ExpectedOutput, place: (path: string) => string, nowMs: number, today: string): readonly Finding[] {
  const { job, path, schedule } = output;
  const message = 'cron' in schedule ? unmet(output, schedule.cron, place, nowMs) : overdue(output, schedule.everyHours, place, nowMs);
  if (message === undefined) return [];
  const about = `${job} ${today}`;
  return [{ rule: 'expected-output', file: '.wiki/config.yaml', line: 1, target: path, message: `${job} ${message}`, about }];
}

/** The last run that must be over by now, and its file. */
function unmet(
  { path, timezone, withinMs }: ExpectedOutput,
  cron: string,
  place: (path: string) => string,
  nowMs: number,
): string | undefined {
  const dueMs = lastRunMs(cron, timezone, nowMs - withinMs);
  if (dueMs === undefined) return undefined;
  const day = dayIn(timezone, dueMs);
  const file = path.replaceAll('{date}', day);
  const writtenMs = writtenAt(place(file));
  if (writtenMs !== undefined && (file !== path || writtenMs >= dueMs - CLOCK_MS)) return undefined;
  const when = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
  return `did not produce ${file}, due ${day} ${when.format(dueMs)}`;
}

/** How old its newest file is. Days are counted by the calendar, so that no change of the clock makes one late. */
function overdue(
  { path, timezone, withinMs }: ExpectedOutput,
  everyHours: number,
  place: (path: string) => string,
  nowMs: number,
): string | undefined {
  const limitMs = everyHours * HOUR_MS + withinMs + (everyHours >= 24 ? HOUR_MS : 0);
  const late = (writtenMs: number): string | undefined =>
    nowMs - writtenMs > limitMs
      ? `last produced ${path} ${Math.floor((nowMs - writtenMs) / HOUR_MS)} hours ago (every ${everyHours})`
      : undefined;
  if (!path.includes('{date}')) {
    const writtenMs = writtenAt(place(path));
    return writtenMs === undefined ? `did not produce ${path}` : late(writtenMs);
  }
  const days = Math.max(1, Math.ceil(everyHours / 24));
  const noonMs = Date.parse(`${dayIn(timezone, nowMs)}T12:00:00Z`);
  // The file of a day may come at any hour of it.
  for (let back = 0; back <= days; back += 1) {
    const day = new Date(noonMs - back * DAY_MS).toISOString().slice(0, 10);
    const writtenMs = writtenAt(place(path.replaceAll('{date}', day)));
    if (writtenMs !== undefined) return everyHours < 24 ? late(writtenMs) : undefined;
  }
  return `did not produce ${path}`;
}

function lastRunMs(cron: string, timezone: string | undefined, beforeMs: number): number | undefined {
  const { Cron } = loadCroner();
  const job = new Cron(cron, { paused: true, ...(timezone === undefined ? {} : { timezone }) });
  return job.previousRuns(1, new Date(beforeMs))[0]?.getTime();
}

function dayIn(timezone: string | undefined, ms: number): string {
  const parts = new Intl.DateTimeFormat('en-CA', { timeZone: timezone, year: 'numeric', month: '2-digit', day: '2-digit' }).formatToParts(
    ms,
  );
  const part = (wanted: string): string => parts.find(({ type }) => type === wanted)?.value ?? '';
  return `${part('year')}-${part('month')}-${part('day')}`;
}

/** Undefined where there is no file, or an empty one. */
function writtenAt(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true && stat.size > 0 ? stat.mtimeMs : undefined;
}
