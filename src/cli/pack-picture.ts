// The picture of a pack: bars by kind, what was left out and why, epoch and stable prefix. Pure.
import { bar, countWords, shareWords } from './figures.ts';
import type { Style, Terminal } from './terminal.ts';

/** What is drawn of pack.json (abi-spec/pack.md); unknown fields are ignored. */
export interface PackRecord {
  readonly session?: string;
  readonly agent?: string;
  /** 0 is unlimited. */
  readonly budget_tokens?: number;
  readonly tokens?: number;
  /** prompt.json with tools.json, as the template renders them. */
  readonly prompt_tokens?: number;
  readonly tokenizer?: string;
  readonly epoch?: { readonly id: string; readonly cut: number; readonly reason?: string };
  readonly stable_prefix_tokens?: number;
  readonly items?: readonly PackItem[];
  readonly left_out?: readonly LeftOut[];
}

export interface PackItem {
  readonly kind: string;
  readonly source?: string;
  readonly range?: string;
  readonly tokens?: number;
}

export interface LeftOut {
  readonly reason?: string;
  readonly source?: string;
  readonly range?: string;
  readonly tokens?: number;
}

const COLOURS: readonly Style[] = ['blue', 'cyan', 'green', 'yellow', 'magenta', 'red'];
const REASON_LINES = 8;

export function drawPack(pack: PackRecord, terminal: Pick<Terminal, 'style' | 'columns'>, everyItem: boolean): readonly string[] {
  const items = pack.items ?? [];
  const used = pack.tokens ?? items.reduce((sum, item) => sum + (item.tokens ?? 0), 0);
  const budget = pack.budget_tokens ?? 0;
  const whole = budget > 0 ? budget : used;
  const lines = [
    heading(pack, used, budget, terminal),
    '',
    ...bars(items, Math.max(used, pack.prompt_tokens ?? 0), budget, whole, terminal),
  ];
  const stable = pack.stable_prefix_tokens;
  const epoch = pack.epoch;
  const facts = [
    ...(epoch === undefined ? [] : [`epoch ${epoch.id} from line ${epoch.cut}${epoch.reason === undefined ? '' : ` (${epoch.reason})`}`]),
    ...(stable === undefined ? [] : [`stable prefix ${countWords(stable)} tokens (${shareWords(stable, used)} of the pack)`]),
    ...(pack.tokenizer === undefined ? [] : [`counted by ${pack.tokenizer}`]),
  ];
  if (facts.length > 0) lines.push('', facts.join(', '));
  lines.push(...leftOut(pack.left_out ?? [], terminal));
  if (everyItem) lines.push('', ...itemList(items, terminal));
  return lines;
}

function heading(pack: PackRecord, used: number, budget: number, terminal: Pick<Terminal, 'style'>): string {
  const name = terminal.style('bold', `${pack.agent ?? '?'}/${pack.session ?? '?'}`);
  const of = budget > 0 ? ` of ${countWords(budget)} (${shareWords(used, budget)})` : ', no limit';
  // Both are within the budget: the larger of them decides what is free.
  const prompt = pack.prompt_tokens ?? 0;
  const asPrompt = prompt > used ? `; ${countWords(prompt)} as prompt.json${budget > 0 ? ` (${shareWords(prompt, budget)})` : ''}` : '';
  return `${name}  ${countWords(used)} tokens${of}${asPrompt}`;
}

function bars(
  items: readonly PackItem[],
  used: number,
  budget: number,
  whole: number,
  terminal: Pick<Terminal, 'style' | 'columns'>,
): readonly string[] {
  const kinds = new Map<string, { count: number; tokens: number }>();
  for (const { kind, tokens = 0 } of items) {
    const sum = kinds.get(kind) ?? { count: 0, tokens: 0 };
    kinds.set(kind, { count: sum.count + 1, tokens: sum.tokens + tokens });
  }
  const width = Math.max(4, ...[...kinds.keys()].map((kind) => kind.length));
  const columns = Math.max(10, Math.min(60, terminal.columns - width - 34));
  const row = (kind: string, tokens: number, count: string, style: Style): string => {
    const drawn = bar(whole === 0 ? 0 : tokens / whole, columns);
    return `${kind.padEnd(width)}  ${terminal.style(style, drawn)}${' '.repeat(columns - drawn.length)}  ${countWords(tokens).padStart(9)}  ${shareWords(tokens, whole).padStart(7)}  ${count}`;
  };
  const lines = [...kinds].map(([kind, { count, tokens }], index) =>
    row(kind, tokens, `${count} item${count === 1 ? '' : 's'}`, COLOURS[index % COLOURS.length] ?? 'blue'),
  );
  if (budget > used) lines.push(row('free', budget - used, '', 'dim'));
  return lines;
}

function leftOut(rows: readonly LeftOut[], terminal: Pick<Terminal, 'style'>): readonly string[] {
  if (rows.length === 0) return [];
  const reasons = new Map<string, { count: number; tokens: number; places: string[]; source: string | undefined }>();
  for (const { reason = 'not said', source, range, tokens = 0 } of rows) {
    const sum = reasons.get(reason) ?? { count: 0, tokens: 0, places: [], source: undefined };
    sum.count += 1;
    sum.tokens += tokens;
    // The source is named where it changes: `messages.jsonl 1-17, 19, 21-29`.
    const place = source === sum.source && range !== undefined ? range : [source, range].filter((part) => part !== undefined).join(' ');
    sum.source = source;
    if (sum.places.length < 3) sum.places.push(place);
    reasons.set(reason, sum);
  }
  const lines = [...reasons].slice(0, REASON_LINES).map(([reason, { count, tokens, places }]) => {
    const more = count > places.length ? ` and ${count - places.length} more` : '';
    return `  ${places.join(', ')}${more}: ${reason}${tokens > 0 ? ` (${countWords(tokens)} tokens)` : ''}`;
  });
  const hidden = reasons.size - lines.length;
  return ['', terminal.style('bold', 'left out'), ...lines, ...(hidden > 0 ? [`  ${hidden} more reasons (ctx pack --json)`] : [])];
}

function itemList(items: readonly PackItem[], terminal: Pick<Terminal, 'style'>): readonly string[] {
  return items.map(
    ({ kind, source = '', range, tokens = 0 }) =>
      `${countWords(tokens).padStart(8)}  ${kind.padEnd(16)}  ${source}${range === undefined ? '' : terminal.style('dim', ` ${range}`)}`,
  );
}
