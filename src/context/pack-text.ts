// One epoch's pack as text that only grows at its end: pack.md, the items of pack.json and prompt.json, and their totals.
// Cost of an append: the new item alone. Callers check `room` first; this class never refuses.
import { createHash } from 'node:crypto';
import type { TokenCounter } from '../tokens/types.ts';
import type { PackLine } from './pack-line.ts';
import { PackRepeats } from './pack-repeats.ts';
import { PromptFold } from './pack-prompt.ts';
import { TEMPLATE_END, templateTools } from './render.ts';

export type ItemKind =
  'system' | 'memory' | 'summary' | 'facts' | 'decisions' | 'todo' | 'refs' | 'child_result' | 'child_refs' | 'recent_messages' | 'recall';

/** One row of pack.json's `items` before its tokens are counted. */
export interface ItemRecord {
  readonly kind: ItemKind;
  readonly source: string;
  readonly range?: string;
  readonly role?: string;
  /** Absent means verbatim. */
  readonly form?: string;
  readonly bases?: readonly string[];
  readonly for?: string;
  /** Of a memory item: the heading it stands under, and why it was chosen. */
  readonly section?: string;
  readonly reason?: string;
  /** sha256-… of the bytes that source and range name. */
  readonly digest: string;
}

/** What an append would add. */
export interface Addition {
  readonly record: ItemRecord;
  readonly md: string;
  readonly mdTokens: number;
  /** How it reads in prompt.json: a line of history, or a note (an empty one: another item carries it). */
  readonly prompt: { readonly line: PackLine } | { readonly note: string; readonly role: 'system' | 'user' };
}

export interface Totals {
  readonly packTokens: number;
  readonly promptTokens: number;
}

export interface Plan extends Totals {
  readonly additions: readonly Addition[];
  readonly prompt: PromptFold;
  readonly messages: readonly string[];
}

export interface Fragment {
  readonly items: readonly string[];
  readonly md: readonly string[];
  readonly prompt: readonly string[];
}

export class PackText {
  readonly counter: TokenCounter;
  readonly repeats: PackRepeats = new PackRepeats();
  /** Ids of the tool calls that the pack shows. */
  readonly calls: Set<string> = new Set<string>();
  readonly #fixedTokens: number;
  #packTokens = 0;
  #prompt: PromptFold;
  #promptTokens = 0;
  #chain = '';
  #items: string[] = [];
  #md: string[] = [];
  #out: string[] = [];
  #itemCount = 0;

  constructor(counter: TokenCounter, toolsJson: string | undefined) {
    this.counter = counter;
    this.#prompt = new PromptFold(counter, toolsJson);
    // A model's own template counts tools and the start of an answer with the messages.
    this.#fixedTokens = counter.prompt === undefined ? counter.count(templateTools(toolsJson)) + counter.count(TEMPLATE_END) : 0;
  }

  get totals(): Totals {
    return { packTokens: this.#packTokens, promptTokens: this.#fixedTokens + this.#promptTokens };
  }

  get itemCount(): number {
    return this.#itemCount;
  }

  /** sha256 hex over the items so far, each chained to those before it. */
  get chain(): string {
    return this.#chain;
  }

  addition(record: ItemRecord, md: string, prompt: Addition['prompt']): Addition {
    return { record, md, mdTokens: this.counter.count(md), prompt };
  }

  /** Leading items (pinned and sections) are one system message in prompt.json; they come before everything else, once. */
  lead(additions: readonly Addition[]): void {
    for (const addition of additions) this.#item(addition);
    if (additions.length > 0) this.#prompt.note('system', additions.map((addition) => addition.md).join(''));
    const delta = this.#prompt.take();
    this.#out.push(...delta.messages);
    this.#promptTokens = delta.tokens;
  }

  /** What appending these would make of the totals; nothing is kept until {@link commit}. */
  plan(additions: readonly Addition[]): Plan {
    const prompt = this.#prompt.clone();
    let packTokens = this.#packTokens;
    for (const addition of additions) {
      packTokens += addition.mdTokens;
      promptOf(prompt, addition);
    }
    const delta = prompt.take();
    return { additions, prompt, messages: delta.messages, packTokens, promptTokens: this.#fixedTokens + delta.tokens };
  }

  /** Appends what was planned. Nothing may have been appended since the plan was made. */
  commit(plan: Plan): void {
    for (const addition of plan.additions) {
      this.#item(addition);
      if (!('line' in addition.prompt)) continue;
      for (const [label, text] of addition.prompt.line.whole) this.repeats.remember(label, text);
      for (const part of addition.prompt.line.parts) if (part.type === 'call') this.calls.add(part.id);
    }
    this.#prompt = plan.prompt;
    this.#promptTokens = plan.promptTokens - this.#fixedTokens;
    this.#out.push(...plan.messages);
  }

  /** Text since the last take. */
  take(): Fragment {
    const fragment = { items: this.#items, md: this.#md, prompt: this.#out };
    this.#items = [];
    this.#md = [];
    this.#out = [];
    return fragment;
  }

  #item(addition: Addition): void {
    const { record } = addition;
    this.#packTokens += addition.mdTokens;
    this.#itemCount += 1;
    this.#md.push(addition.md);
    this.#chain = createHash('sha256').update(this.#chain).update(addition.md).digest('hex');
    this.#items.push(
      JSON.stringify({
        kind: record.kind,
        source: record.source,
        range: record.range,
        role: record.role,
        form: record.form,
        bases: record.bases,
        for: record.for,
        section: record.section,
        reason: record.reason,
        tokens: addition.mdTokens,
        digest: record.digest,
      }),
    );
  }
}

function promptOf(fold: PromptFold, addition: Addition): void {
  if ('line' in addition.prompt) fold.line(addition.prompt.line);
  else if (addition.prompt.note !== '') fold.note(addition.prompt.role, addition.prompt.note);
}
