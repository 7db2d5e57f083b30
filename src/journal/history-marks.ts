// Marks name the history that derived bytes were made of: the chained digest of the order log's record up to which they
// reach. What is kept with a mark that no longer holds is of another history (a power cut took lines that were not on the
// disk yet, and others came; or the cache is another session's), and says nothing about this one.
import type { LineMark } from '../abi/line-mark.ts';
import { chainOf } from './order-record.ts';
import { OrderPages } from './order-pages.ts';
import type { OrderLog } from './types.ts';

export class HistoryMarks {
  readonly #log: OrderLog;
  readonly #pages: OrderPages;

  constructor(directory: string, log: OrderLog) {
    this.#log = log;
    this.#pages = new OrderPages(directory);
  }

  /** All that is recorded now. */
  now(): string {
    return `${this.#log.length} ${this.#log.revision()}`;
  }

  /** Whether history began as it was at that mark. One read of a record. */
  holds(mark: unknown): boolean {
    if (typeof mark !== 'string') return false;
    const records = Number(mark.split(' ')[0]);
    if (records === this.#log.length) return mark === this.now();
    return records > 0 && records <= this.#pages.refresh() && mark === `${records} ${this.#chain(records - 1)}`;
  }

  /** A binary search over the records. */
  readonly ofLine: LineMark = (line) => {
    if (line === 0) return 'order:';
    const length = this.#pages.refresh();
    const index = this.#pages.firstPast(line - 1, (record) => record.messageLines);
    return index < length ? `order:${this.#chain(index)}` : undefined;
  };

  close(): void {
    this.#pages.close();
  }

  #chain(index: number): string {
    return chainOf(this.#pages.bytesAt(index), 0).toString('hex');
  }
}
