// Where a fork ends in each journal and in the order log: binary search in the log and one scan inside a record.
import { CtxError } from '../abi/errors.ts';
import type { JournalFile } from '../abi/session-files.ts';
import { nodeDisk, type Disk } from './disk.ts';
import { openHistory } from './history.ts';
import { recordsWithin, type OrderPages } from './order-pages.ts';

export interface Cut {
  readonly ends: Readonly<Record<JournalFile, number>>;
  /** Whole order records that the child takes over. */
  readonly records: number;
  /** Messages of the child, where it ends inside a record. */
  readonly atLine: number | undefined;
}

export function wholeCut(pages: OrderPages, ends: Readonly<Record<JournalFile, number>>): Cut {
  return { ends, records: recordsWithin(pages, ends['messages.jsonl'], ends['events.jsonl']), atLine: undefined };
}

/** Messages kept: `atLine`; events: those that came before that message was recorded. Nothing past `durable`. */
export function cutAtLine(
  directory: string,
  pages: OrderPages,
  atLine: number,
  durable: Readonly<Record<JournalFile, number>>,
  disk: Disk = nodeDisk,
): Cut {
  const history = openHistory(directory, 'messages.jsonl', undefined, disk);
  try {
    if (!Number.isSafeInteger(atLine) || atLine < 0 || atLine > history.lines)
      throw noSuchLine(directory, atLine, `there are ${history.lines}`);
    if (atLine === 0) return { ends: { 'messages.jsonl': 0, 'events.jsonl': 0 }, records: 0, atLine };
    const messagesEnd = history.offsetOfLine(atLine + 1);
    if (messagesEnd > durable['messages.jsonl']) throw noSuchLine(directory, atLine, 'it came after the fork was asked for');
    const index = pages.firstPast(atLine - 1, (record) => record.messageLines);
    const eventsEnd = Math.min(pages.at(Math.min(index, pages.length - 1)).eventsEnd, durable['events.jsonl']);
    const exact = index < pages.length && pages.at(index).messagesEnd === messagesEnd;
    const records = Math.min(exact ? index + 1 : index, recordsWithin(pages, messagesEnd, eventsEnd));
    return { ends: { 'messages.jsonl': messagesEnd, 'events.jsonl': eventsEnd }, records, atLine };
  } finally {
    history.close();
  }
}

function noSuchLine(directory: string, atLine: number, why: string): CtxError {
  return new CtxError('journal.no_such_line', 'EINVAL', `cannot fork at line ${atLine}: ${why}`, {
    where: directory,
    next: 'name a line of messages.jsonl, or leave the line out',
  });
}
