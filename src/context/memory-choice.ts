// What was chosen from the wikis of a session, as the order log records it: names, digests and lines; the bytes are kept by digest.

/** The recorded input that holds a choice. No session has such a file. */
export const MEMORY_CHOICE = 'memory/choice';

export interface MemoryPart {
  readonly heading: string;
  /** Lines of the page, from 1, both included. */
  readonly first: number;
  readonly last: number;
}

export interface ChosenPage {
  readonly kind: 'schema' | 'index' | 'plan' | 'page';
  /** In the wiki. */
  readonly page: string;
  /** sha256-… of the whole file. */
  readonly digest: string;
  /** Its body. */
  readonly first: number;
  readonly last: number;
  /** Said instead where the body has no room, best first. */
  readonly parts: readonly MemoryPart[];
  readonly reason: string;
}

export interface LeftPage {
  /** Empty: the wiki itself. */
  readonly page: string;
  readonly reason: string;
}

export interface ChosenWiki {
  readonly name: string;
  /** Below the mount point. */
  readonly path: string;
  readonly mode: string;
  readonly pages: readonly ChosenPage[];
  readonly left: readonly LeftPage[];
}

export interface MemoryChoice {
  /** The newest user message there was; 0: none yet. */
  readonly asked: number;
  readonly wikis: readonly ChosenWiki[];
}

const RULE = 'memory/1';

export function memoryChoiceText({ asked, wikis }: MemoryChoice): string {
  return `${JSON.stringify({ rule: RULE, asked, wikis })}\n`;
}

/** Only what {@link memoryChoiceText} wrote is ever recorded; a later rule's choice says nothing here. */
export function parseMemoryChoice(text: string): MemoryChoice | undefined {
  const { rule, asked, wikis } = JSON.parse(text) as { readonly rule: string } & MemoryChoice;
  return rule === RULE ? { asked, wikis } : undefined;
}

/** Whether both give the same pages as they are now; why they were chosen may differ. */
export function sameChoice(a: MemoryChoice, b: MemoryChoice): boolean {
  const pages = ({ wikis }: MemoryChoice): string =>
    JSON.stringify(wikis.map(({ name, path, mode, pages: chosen }) => [name, path, mode, chosen.map((page) => ({ ...page, reason: '' }))]));
  return pages(a) === pages(b);
}

/** The lines of a text, without the line end of the last one. */
export function linesOf(text: string, first: number, last: number): string {
  return text
    .split('\n')
    .slice(first - 1, last)
    .join('\n');
}
