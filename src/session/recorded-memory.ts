// MEM-3: what was chosen from the wikis, as the order log has it: a pack is folded from this alone.
import { digestOf } from '../abi/digest.ts';
import { linesOf, MEMORY_CHOICE, parseMemoryChoice } from '../context/memory-choice.ts';
import type { RecordedMemory } from '../context/pack-source.ts';
import type { ResolvedSource } from './sources.ts';
import type { SessionHistory } from './session-history.ts';

/** As of the first `order` records. A choice whose bytes are lost counts as none. */
export function recordedMemory(history: SessionHistory, order: number): RecordedMemory | undefined {
  const digest = history.log.inputsAsOf(order).get(MEMORY_CHOICE);
  const text = digest === undefined ? undefined : history.input(MEMORY_CHOICE, digest)?.toString('utf8');
  const choice = text === undefined ? undefined : parseMemoryChoice(text);
  if (choice === undefined) return undefined;
  return {
    order,
    asked: choice.asked,
    wikis: choice.wikis,
    text: (wiki, page) => history.input(`${wiki.path}/${page.page}`, page.digest)?.toString('utf8'),
  };
}

/** `ctx explain`: which pages were chosen for the epoch, and why. */
export function explainChoice({ asked, wikis }: RecordedMemory): Record<string, unknown> {
  return {
    asked: asked === 0 ? 'before the first message' : `messages:${asked}`,
    ...Object.fromEntries(
      wikis.flatMap(({ path, pages, left }) => [
        ...pages.map(({ page, reason }) => [`${path}/${page}`, reason]),
        ...left.map(({ page, reason }) => [page === '' ? path : `${path}/${page}`, `left out: ${reason}`]),
      ]),
    ),
  };
}

const AS_OF = /^as-of:([0-9]+),([0-9]+),([0-9]+)$/;

/** SRC-5: lines of a page as it was chosen; undefined when source and range name none. */
export function resolveMemory(history: SessionHistory, source: string, range: string | undefined): ResolvedSource | undefined {
  const [, order, first, last] = AS_OF.exec(range ?? '') ?? [];
  if (order === undefined || Number(order) > history.log.length) return undefined;
  const memory = recordedMemory(history, Number(order));
  for (const wiki of memory?.wikis ?? [])
    for (const page of wiki.pages) {
      if (`${wiki.path}/${page.page}` !== source) continue;
      const text = memory?.text(wiki, page);
      if (text === undefined) return undefined;
      const bytes = Buffer.from(linesOf(text, Number(first), Number(last)));
      return { bytes, digest: digestOf(bytes) };
    }
  return undefined;
}
