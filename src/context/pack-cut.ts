// Where a new epoch's tail begins: as few lines as reach the wanted size, and never between a tool call and its result.
import type { LineLimits } from './pack-line.ts';
import { callIds, isSilent, renderLine } from './pack-line.ts';
import type { PackSource } from './pack-source.ts';

/** A result whose call is further back than this many lines is taken for an orphan and does not hold the cut. */
const CALL_REACH_LINES = 256;

/**
 * The first line of the tail that ends with `last`: the latest safe line from which the lines cost at least `wantTokens`
 * (each said in full under the limits); 1 when all of history costs less. Work is in proportion to the tail.
 */
export function findCut(source: PackSource, last: number, wantTokens: number, limits: LineLimits): number {
  if (last <= 1) return 1;
  if (wantTokens === Infinity) return 1;
  const waiting = new Map<string, number>();
  let tokens = 0;
  for (let line = last; line >= 1; line--) {
    const message = source.message(line);
    for (const result of message.view.toolResults) if (result.id !== '' && !waiting.has(result.id)) waiting.set(result.id, line);
    for (const id of callIds(message)) waiting.delete(id);
    for (const [id, at] of waiting) if (at - line >= CALL_REACH_LINES) waiting.delete(id);
    if (!isSilent(message)) tokens += source.counter.count(renderLine(message, limits, source.counter, undefined).md);
    if (tokens >= wantTokens && waiting.size === 0) return line;
  }
  return 1;
}

/** The line that made a call which has no result before `line`; 0 when there is none within reach. */
export function callLine(source: PackSource, line: number, id: string): number {
  for (let at = line - 1; at >= 1 && at > line - CALL_REACH_LINES; at--) {
    const message = source.message(at);
    if (callIds(message).includes(id)) return at;
    if (message.view.toolResults.some((result) => result.id === id)) return 0;
  }
  return 0;
}
