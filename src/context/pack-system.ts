// PCK-19: the system and developer messages that history begins with are what the conversation stands on. They stay, after
// the pinned files, whatever the cut: a prefix that survives from epoch to epoch.
import type { LeftOut } from './pack-epoch.ts';
import { isSilent, renderLine } from './pack-line.ts';
import type { LineLimits } from './pack-line.ts';
import type { PackSource } from './pack-source.ts';
import type { Addition, PackText } from './pack-text.ts';

/** A history of nothing but system messages is no system prompt. */
const HEAD_LINES = 16;

export interface SystemHead {
  readonly additions: readonly Addition[];
  readonly lines: readonly number[];
  /** Lines up to here are said here, or say nothing. */
  readonly through: number;
  /** The head of history ends here: lines behind `through` had no room. */
  readonly last: number;
  readonly leftOut: readonly LeftOut[];
}

/** As many of them as fit into `roomTokens`, in order; the last one in part where that is enough. `lastLine` bounds history. */
export function systemHead(source: PackSource, text: PackText, lastLine: number, roomTokens: number, limits: LineLimits): SystemHead {
  const additions: Addition[] = [];
  const lines: number[] = [];
  const leftOut: LeftOut[] = [];
  let room = roomTokens;
  let last = 0;
  while (last < Math.min(lastLine, HEAD_LINES) && isSystem(source, last + 1)) last++;
  let through = 0;
  for (; through < last; through++) {
    const line = through + 1;
    if (isSilent(source.message(line))) {
      leftOut.push({ source: 'messages.jsonl', range: `${line}`, reason: 'only reasoning or no text' });
      continue;
    }
    const addition = fitted(source, text, line, room, limits);
    if (addition === undefined) break;
    room -= addition.mdTokens;
    additions.push(addition);
    lines.push(line);
  }
  return { additions, lines, through, last, leftOut };
}

function isSystem(source: PackSource, line: number): boolean {
  const { role } = source.message(line).view;
  return role === 'system' || role === 'developer';
}

function fitted(source: PackSource, text: PackText, line: number, room: number, limits: LineLimits): Addition | undefined {
  for (let most = Math.min(limits.messageTokens, room); most >= 16; most = Math.floor(most * 0.8)) {
    const packed = renderLine(source.message(line), { ...limits, messageTokens: most }, source.counter, undefined);
    const addition = text.addition(
      {
        kind: 'system',
        source: 'messages.jsonl',
        range: `${line}`,
        role: packed.role,
        ...(packed.form === 'verbatim' ? {} : { form: packed.form }),
        digest: packed.digest,
      },
      packed.md,
      { line: packed },
    );
    if (addition.mdTokens <= room) return addition;
  }
  return undefined;
}
