// PCK-4: what already stands in this same pack is said by reference; what nearly does, by its difference (near-repeat.ts).
import { RepeatIndex } from './near-repeat.ts';

/** Texts shorter than this (in characters) are said again: a reference would hardly be shorter. */
const LEAST_CHARS = 256;
/** Longer texts are only compared as a whole. Bounds the work for one message. */
const MOST_CHARS = 1 << 20;
/** The index starts over after this much text. Matters only for very large or unlimited budgets. */
const INDEXED_CHARS = 4 << 20;

export interface Reduced {
  readonly form: 'repeat' | 'difference';
  readonly text: string;
  /** Labels (`12`, or `12.2` for a line's second text) of the texts that say the rest. */
  readonly bases: readonly string[];
}

/** The texts that one pack says in full, in its order. */
export class PackRepeats {
  #index = new RepeatIndex();
  #whole = new Map<string, string>();
  #chars = 0;

  /** How to say `text` given what the pack says so far; undefined: in full. */
  reduce(text: string): Reduced | undefined {
    if (text.length < LEAST_CHARS) return undefined;
    const same = this.#whole.get(text);
    if (same !== undefined) return { form: 'repeat', text: `[same as messages:${same} above]`, bases: [same] };
    if (text.length > MOST_CHARS) return undefined;
    const difference = this.#index.encode(text);
    if (difference === undefined) return undefined;
    return {
      form: 'difference',
      text: `[lines of messages above: =MESSAGE:FIRST-LAST; new lines: +]\n${difference.text}`,
      bases: difference.bases,
    };
  }

  /** `text` is now in the pack, whole, under this label. */
  remember(label: string, text: string): void {
    if (text.length < LEAST_CHARS) return;
    if (this.#chars > INDEXED_CHARS) {
      this.#index = new RepeatIndex();
      this.#whole = new Map();
      this.#chars = 0;
    }
    this.#chars += text.length;
    if (this.#whole.has(text)) return;
    this.#whole.set(text, label);
    if (text.length <= MOST_CHARS) this.#index.add(label, text);
  }
}

/** The body of a difference as the pack says it, without its explaining first line. */
export function differenceBody(text: string): string {
  return text.slice(text.indexOf('\n') + 1);
}
