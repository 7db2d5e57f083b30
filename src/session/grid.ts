// The grid of cells that epochs lie on: where a recorded input that the prefix depends on was recorded, and where the bytes
// of messages since then cross a multiple of the cell's size. Found by arithmetic on the order log, never by folding.
import { affectsPrefix } from './input-watch.ts';
import type { StreamPosition } from '../context/pack-source.ts';
import type { HistoryReader, OrderLog } from '../journal/types.ts';

export interface Cell {
  /** Order-log index of the reset; -1: the beginning of everything. */
  readonly resetIndex: number;
  /** 0 is the cell that begins at the reset itself. */
  readonly number: number;
  readonly start: StreamPosition;
  readonly reason: string;
}

/** Remembers how far it has looked, so that each record is looked at once. */
export class ResetScan {
  #through = 0;
  #index = -1;

  /** Index of the last record below `length` that resets; -1 when there is none. */
  last(log: OrderLog, length: number): number {
    if (length < this.#through) return scan(log, length, 0);
    const found = scan(log, length, this.#through);
    if (found >= 0) this.#index = found;
    this.#through = length;
    return this.#index;
  }

  save(): { readonly through: number; readonly index: number } {
    return { through: this.#through, index: this.#index };
  }

  restore(kept: { readonly through: number; readonly index: number }, length: number): void {
    if (kept.through > length) return;
    this.#through = kept.through;
    this.#index = kept.index;
  }
}

function scan(log: OrderLog, length: number, from: number): number {
  for (let index = length - 1; index >= from; index--) {
    const record = log.at(index);
    if (record.kind === 'input' && affectsPrefix(record.path)) return index;
  }
  return -1;
}

/** Number of the cell that a line lies in, by where the line starts. */
export function cellNumber(lineStartBytes: number, resetBytes: number, cellBytes: number): number {
  return cellBytes === Infinity ? 0 : Math.max(0, Math.floor((lineStartBytes - resetBytes) / cellBytes));
}

/** The cell of the newest line (`lines` messages so far) after the reset. */
export function cellAt(log: OrderLog, messages: HistoryReader, resetIndex: number, lines: number, cellBytes: number): Cell {
  const reset = resetIndex < 0 ? undefined : log.at(resetIndex);
  const resetBytes = reset?.messagesEnd ?? 0;
  const resetLine = reset?.messageLines ?? 0;
  const number = lines > resetLine ? cellNumber(messages.offsetOfLine(lines), resetBytes, cellBytes) : 0;
  if (number === 0) {
    const reason = reset === undefined ? 'the session began' : reset.kind === 'input' ? `${reset.path} changed` : 'reset';
    return { resetIndex, number, reason, start: { line: resetLine, eventLine: reset?.eventLines ?? 0, order: resetIndex + 1 } };
  }
  const boundary = resetBytes + number * cellBytes;
  const holder = messages.lineOfOffset(boundary);
  const line = messages.offsetOfLine(holder) < boundary ? holder + 1 : holder;
  const order = log.indexOfMessagesOffset(messages.offsetOfLine(line));
  return { resetIndex, number, reason: GRID_REASON, start: { line, eventLine: log.at(order).eventLines, order } };
}

export const GRID_REASON = 'the next cell of the grid';
