// What a model is given to sum up: consecutive messages, few enough and short enough for its input.
import { digestOf } from '../../abi/digest.ts';
import type { Digest } from '../../abi/digest.ts';

export interface CompactMessage {
  /** 1-based line of messages.jsonl. */
  readonly line: number;
  readonly role: string;
  /** All readable text: content, calls, results. */
  readonly text: string;
  /** Digest of the raw line. */
  readonly digest: string;
}

/** Messages by place: an array is one. */
export interface MessageSource {
  readonly length: number;
  slice(from: number, to: number): readonly CompactMessage[] | Promise<readonly CompactMessage[]>;
}

export interface CompactBlock {
  readonly messages: readonly CompactMessage[];
  /** Of the raw lines: the same history gives the same block, whoever asks. */
  readonly digest: Digest;
  /** More may come: it was cut where the history ends. */
  readonly open: boolean;
}

export const BLOCK_MESSAGES = 64;
const [HEAD_UNITS, TAIL_UNITS] = [3000, 1500];
const RULE = 'compact/1';

/** The next block from `messages[from]`, at most `mostUnits` of rendered text; at least one message. */
export async function cutBlock(messages: MessageSource, from: number, mostUnits: number): Promise<CompactBlock> {
  const read = await messages.slice(from, from + BLOCK_MESSAGES);
  let units = 0;
  let end = 0;
  while (end < read.length) {
    units += renderMessage(read[end] as CompactMessage).length;
    if (units > mostUnits && end > 0) break;
    end += 1;
  }
  const taken = read.slice(0, end);
  return { messages: taken, digest: blockDigest(taken), open: from + end === messages.length && taken.length < BLOCK_MESSAGES };
}

export function blockDigest(messages: readonly CompactMessage[]): Digest {
  return digestOf([RULE, ...messages.map(({ digest }) => digest)].join('\n'));
}

export function rangeOf(messages: readonly CompactMessage[]): string {
  return `messages:${messages[0]?.line}-${messages.at(-1)?.line}`;
}

/** `[12] user: text`; a long message keeps its head and tail. */
export function renderMessage({ line, role, text }: CompactMessage): string {
  const cut = text.length - HEAD_UNITS - TAIL_UNITS;
  const shown = cut <= 80 ? text : `${text.slice(0, HEAD_UNITS)} [… ${cut} characters …] ${text.slice(-TAIL_UNITS)}`;
  return `[${line}] ${role}: ${shown}\n`;
}
