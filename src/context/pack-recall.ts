// PCK-5: what a user message needs from swapped-out history, as items placed just before that message.
import { createHash } from 'node:crypto';
import type { Steps } from '../abi/steps.ts';
import type { LeftOut } from './pack-epoch.ts';
import type { PackSource } from './pack-source.ts';
import { renderBlock } from './render.ts';
import type { Addition, PackText } from './pack-text.ts';
import type { MessageLine } from './types.ts';

export interface RecallAdditions {
  readonly additions: readonly Addition[];
  readonly lines: readonly number[];
  readonly leftOut: readonly LeftOut[];
}

/** Least room worth searching for. */
const LEAST_TOKENS = 32;
const NEAREST_SHOWN = 8;

/** Items in order of position in history, so that what is recalled reads in the order it was said. */
export function* recallAdditions(
  source: PackSource,
  text: PackText,
  user: MessageLine,
  cut: number,
  roomTokens: number,
  except: ReadonlySet<number>,
): Steps<RecallAdditions> {
  if (roomTokens < LEAST_TOKENS || cut <= 1) return { additions: [], lines: [], leftOut: [] };
  const answer = yield* source.recall(user, cut, roomTokens, except);
  const taken: { readonly first: number; readonly addition: Addition }[] = [];
  const lines: number[] = [];
  const leftOut: LeftOut[] = [];
  let room = roomTokens;
  for (const pick of answer.picks) {
    const range = pick.first === pick.last ? `${pick.first}` : `${pick.first}-${pick.last}`;
    const md = renderBlock('recall', `messages:${range}`, pick.body);
    const addition = text.addition(
      { kind: 'recall', source: 'messages.jsonl', range, for: `messages:${user.line}`, digest: rangeDigest(source, pick.first, pick.last) },
      md,
      { note: md, role: 'system' },
    );
    if (addition.mdTokens > room) {
      leftOut.push({ source: 'messages.jsonl', range, reason: 'recall share is used up' });
      continue;
    }
    room -= addition.mdTokens;
    taken.push({ first: pick.first, addition });
    for (let line = pick.first; line <= pick.last; line++) lines.push(line);
  }
  for (const next of answer.next.slice(0, NEAREST_SHOWN)) {
    leftOut.push({ source: 'messages.jsonl', range: `${next.line}`, reason: 'recall: ranked below what fits', score: next.score });
  }
  taken.sort((a, b) => a.first - b.first);
  // One message in prompt.json for all of them: the first item carries it.
  const together = taken.map((entry) => entry.addition.md).join('');
  return {
    additions: taken.map(({ addition }, n) => ({ ...addition, prompt: { note: n === 0 ? together : '', role: 'system' } })),
    lines,
    leftOut,
  };
}

function rangeDigest(source: PackSource, first: number, last: number): string {
  const hash = createHash('sha256');
  for (let line = first; line <= last; line++) hash.update(source.message(line).bytes);
  return `sha256-${hash.digest('hex')}`;
}
