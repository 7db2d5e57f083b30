// pack.json around its items: head, then (after the items) what was left out, totals, epoch and digest chain.
import type { LeftOut } from './pack-epoch.ts';
import type { PackFold } from './pack-fold.ts';

const LEFT_OUT_SHOWN = 512;

export function packHead(session: string, agent: string, budgetTokens: number): string {
  return `{"session":${JSON.stringify(session)},"agent":${JSON.stringify(agent)},"budget_tokens":${budgetTokens},"items":[`;
}

/** `lost`: inputs whose recorded bytes are damaged. */
export function packTrailer(fold: PackFold, lost: readonly LeftOut[] = []): string {
  const { epoch, source, position } = fold;
  const totals = epoch.text.totals;
  const leftOut = [...lost, ...merged(withoutRecalled(epoch.leftOut, epoch.recalled))];
  const rest = {
    left_out: leftOut.slice(0, LEFT_OUT_SHOWN),
    ...(leftOut.length > LEFT_OUT_SHOWN ? { left_out_more: leftOut.length - LEFT_OUT_SHOWN } : {}),
    tokens: totals.packTokens,
    prompt_tokens: totals.promptTokens,
    tokenizer: source.counter.name,
    messages: position.line,
    epoch: {
      id: `${epoch.start.order}.${epoch.start.line}.${epoch.start.eventLine}`,
      start: { messages: epoch.start.line, events: epoch.start.eventLine },
      cut: epoch.cut,
      start_tokens: epoch.startTokens,
      reason: epoch.reason,
    },
    stable_prefix_tokens: fold.stableTokens,
    prefix_digest: `sha256:${epoch.text.chain}`,
  };
  return `\n],${JSON.stringify(rest).slice(1)}\n`;
}

/** What was recalled since is in the pack after all. */
function withoutRecalled(entries: readonly LeftOut[], recalled: ReadonlySet<number>): readonly LeftOut[] {
  if (recalled.size === 0) return entries;
  const lines = [...recalled].sort((a, b) => a - b);
  return entries.flatMap((entry) => {
    if (entry.source !== 'messages.jsonl' || entry.range === undefined) return [entry];
    const [first = 0, last = first] = entry.range.split('-').map(Number);
    const inside = lines.filter((line) => line >= first && line <= last);
    if (inside.length === 0) return [entry];
    const rest: LeftOut[] = [];
    let from = first;
    for (const line of [...inside, last + 1]) {
      if (line > from) rest.push({ ...entry, range: line - 1 === from ? `${from}` : `${from}-${line - 1}` });
      from = line + 1;
    }
    return rest;
  });
}

/** Neighbouring lines with one reason become a range. */
function merged(entries: readonly LeftOut[]): readonly LeftOut[] {
  const rows: LeftOut[] = [];
  for (const entry of entries) {
    const last = rows[rows.length - 1];
    const lastEnd = last?.range === undefined ? NaN : Number(last.range.split('-').at(-1));
    if (
      last !== undefined &&
      entry.score === undefined &&
      last.score === undefined &&
      last.reason === entry.reason &&
      last.source === entry.source &&
      entry.range === `${lastEnd + 1}`
    ) {
      rows[rows.length - 1] = { ...last, range: `${(last.range as string).split('-')[0]}-${entry.range}` };
    } else rows.push(entry);
  }
  return rows;
}
