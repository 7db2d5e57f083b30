// `.update-queue`: changes that no log entry mentions yet, one JSON object a line, appended by whoever sees the write.

export const QUEUE_PATH = '.update-queue';

export interface QueuedChange {
  /** Chosen by the writer; a change is in the queue once, however often it is reported. */
  readonly id: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly path: string;
  readonly op: 'write' | 'create' | 'remove' | 'rename' | 'event';
  /** Path that a rename came from. */
  readonly from?: string;
  readonly session?: string;
  readonly uid?: number;
  readonly pid?: number;
  /** Name of the program that wrote. */
  readonly program?: string;
  /** For `event`: what happened (deploy, debugging, correction, decision). */
  readonly what?: string;
  /** For `event`: its own words. */
  readonly about?: string;
  /** What the page was then. */
  readonly digest?: string;
  /** Entries that the log had then ({@link entryId}): they tell of something earlier. Absent: nobody looked. */
  readonly logged?: readonly string[];
}

const OPS: ReadonlySet<string> = new Set(['write', 'create', 'remove', 'rename', 'event']);

export function formatChange(change: QueuedChange): string {
  return `${JSON.stringify(change)}\n`;
}

export interface ParsedQueue {
  readonly changes: readonly QueuedChange[];
  /** 1-based lines that are none; kept when the queue is rewritten. */
  readonly bad: readonly { readonly line: number; readonly text: string }[];
}

/** Takes a change out of the queue: a line as well, so that no appender is ever overtaken by a rewrite. */
export function formatDone(id: string, time: string): string {
  return `${JSON.stringify({ done: id, time })}\n`;
}

/** A torn last line is no change yet. */
export function parseQueue(text: string): ParsedQueue {
  const changes = new Map<string, QueuedChange>();
  const bad: { line: number; text: string }[] = [];
  const done = new Set<string>();
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    if (line.trim() === '' || (index === lines.length - 1 && !text.endsWith('\n'))) return;
    const change = parseChange(line);
    if (typeof change === 'string') done.add(change);
    else if (change === undefined) bad.push({ line: index + 1, text: line });
    else if (!changes.has(change.id)) changes.set(change.id, change);
  });
  return { changes: [...changes.values()].filter(({ id }) => !done.has(id)), bad };
}

/** The lines of a piece of the queue that are any, in their order: changes, and ids of those that are done. */
export function readQueueLines(text: string): readonly (QueuedChange | string)[] {
  return text.split('\n').flatMap((line) => (line === '' ? [] : (parseChange(line) ?? [])));
}

/** A change, or the id of one that is done. */
function parseChange(line: string): QueuedChange | string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { done } = value as { done?: unknown };
  if (typeof done === 'string') return done;
  const { id, time, path, op } = value as Record<string, unknown>;
  const fits = typeof id === 'string' && typeof time === 'string' && typeof path === 'string' && typeof op === 'string' && OPS.has(op);
  if (!fits || Number.isNaN(Date.parse(time))) return undefined;
  const { logged, ...rest } = value as QueuedChange;
  return Array.isArray(logged) && logged.every((entry) => typeof entry === 'string') ? { ...rest, logged } : rest;
}

/** As reports and gates name it. */
export function changeName({ op, path, what, about }: QueuedChange): string {
  return op === 'event' ? `${what ?? path}${about === undefined ? '' : ` (${about})`}` : path;
}

/** The queue without what is dealt with, for its only writer; what nobody understood stays. */
export function compactQueue(text: string): string {
  const waiting = new Set(parseQueue(text).changes.map(({ id }) => id));
  return text
    .split('\n')
    .filter((line) => {
      const change = line === '' ? undefined : parseChange(line);
      return change === undefined || (typeof change !== 'string' && waiting.has(change.id));
    })
    .join('\n');
}
