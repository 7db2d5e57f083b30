// What a fork waits for, away from the serving thread (JRN-39): the active files on the disk as far as they go when the fork is
// asked for, and the order log sealed. No history is read: where line N ends, the order log says. The fork itself then only
// names files; lines that came meanwhile go on in the parent alone.
import type { JournalFile } from '../abi/session-files.ts';
import { cutAtLine, type Cut } from './fork-cut.ts';
import { OrderPages } from './order-pages.ts';
import type { SyncWork } from './sync-work.ts';
import type { OrderLog } from './types.ts';

/** One active file as it is when the fork is asked for. */
export interface ForkPart {
  readonly journal: JournalFile;
  /** Journal-wide end of the whole lines; what comes later is not part of the fork. */
  readonly endBytes: number;
  readonly work: SyncWork;
}

export interface ForkPlan {
  /** On the disk up to here. */
  readonly durable: Readonly<Record<JournalFile, number>>;
  /** What the child holds; undefined: all that is durable. */
  readonly cut: Cut | undefined;
}

/** Of the order log's and the inputs' newest records, a fork copies so much rather than seal them. */
export const KEPT_ORDER_BYTES = 8192;

export interface PlanOptions {
  readonly directory: string;
  readonly parts: readonly ForkPart[];
  readonly atLine: number | undefined;
  /** Does the parts' work. */
  sync(work: SyncWork): Promise<void>;
  /** Holds everything up to the parts' ends. Without it, the fork copies the records that are not sealed. */
  readonly log: Pick<OrderLog, 'sync' | 'seal'> | undefined;
  /** Default: KEPT_ORDER_BYTES. 0 seals all there is. */
  readonly keptOrderBytes?: number;
}

export async function planFork(options: PlanOptions): Promise<ForkPlan> {
  const { directory, parts, atLine, log } = options;
  const durable = durableOf(parts);
  const cut = atLine === undefined ? undefined : cutBefore(directory, atLine, durable);
  const works = parts.map(({ work }) => work).filter(({ file }) => file !== undefined);
  await Promise.all([...works.map((work) => options.sync(work)), log?.sync()]);
  // Only now: a record that outlives a power loss must not cover bytes that do not.
  log?.seal(durable['messages.jsonl'], durable['events.jsonl'], options.keptOrderBytes ?? KEPT_ORDER_BYTES);
  return { durable, cut };
}

export function durableOf(parts: readonly Pick<ForkPart, 'journal' | 'endBytes'>[]): Readonly<Record<JournalFile, number>> {
  const durable = { 'messages.jsonl': 0, 'events.jsonl': 0 };
  for (const { journal, endBytes } of parts) durable[journal] = endBytes;
  return durable;
}

function cutBefore(directory: string, atLine: number, durable: Readonly<Record<JournalFile, number>>): Cut {
  const pages = new OrderPages(directory);
  try {
    return cutAtLine(directory, pages, atLine, durable);
  } finally {
    pages.close();
  }
}
