// MEM: what the session's wikis say, between pinned files and summary, each wiki within its share: schema and index in at most
// half of it, then pages whole or by their best sections. As recorded at the epoch's start: an edit shows in the next one.
import { digestOf } from '../abi/digest.ts';
import { fits } from './partial.ts';
import type { ChosenPage, ChosenWiki } from './memory-choice.ts';
import { linesOf } from './memory-choice.ts';
import type { LeftOut } from './pack-epoch.ts';
import { oneLine } from './pack-line.ts';
import type { PackSource, RecordedMemory, StreamPosition } from './pack-source.ts';
import { renderBlock } from './render.ts';
import type { Addition, PackText } from './pack-text.ts';

/** Schema and index of a wiki together. */
const FRAME_SHARE = 0.5;
const MOST_PARTS = 3;
/** Room that holds nothing worth saying. */
const LEAST_TOKENS = 16;

export interface MemoryItems {
  readonly additions: readonly Addition[];
  readonly leftOut: readonly LeftOut[];
}

/** `since`: pages that were chosen while the epoch ran; what it has already is not said again. */
export function memoryItems(
  source: PackSource,
  text: PackText,
  position: StreamPosition,
  scale: number,
  since?: { readonly known: ReadonlySet<string>; readonly usedTokens: (wiki: string) => number },
): MemoryItems {
  const memory = source.memory(position);
  if (memory === undefined) return { additions: [], leftOut: [] };
  const additions: Addition[] = [];
  const leftOut: LeftOut[] = [];
  for (const wiki of memory.wikis) {
    const share = source.policy.memoryTokens(wiki.name);
    // Not mounted any more.
    if (share === undefined) continue;
    const room = Math.floor(share * scale) - (since?.usedTokens(wiki.path) ?? 0);
    const fitter = new Fitter(source, text, memory, wiki, room);
    for (const page of wiki.pages) {
      const again = since !== undefined && (isFrame(page) || since.known.has(`${wiki.path}/${page.page}`));
      if (!again) fitter.take(page);
    }
    for (const { page, reason } of since === undefined ? wiki.left : []) fitter.leave(page, reason);
    additions.push(...fitter.additions);
    leftOut.push(...fitter.leftOut);
  }
  return { additions, leftOut };
}

function isFrame({ kind }: ChosenPage): boolean {
  return kind === 'schema' || kind === 'index';
}

class Fitter {
  readonly additions: Addition[] = [];
  readonly leftOut: LeftOut[] = [];
  readonly #source: PackSource;
  readonly #text: PackText;
  readonly #memory: RecordedMemory;
  readonly #wiki: ChosenWiki;
  readonly #share: number;
  #used = 0;

  constructor(source: PackSource, text: PackText, memory: RecordedMemory, wiki: ChosenWiki, share: number) {
    this.#source = source;
    this.#text = text;
    this.#memory = memory;
    this.#wiki = wiki;
    this.#share = share;
  }

  leave(page: string, reason: string): void {
    this.leftOut.push({ source: page === '' ? this.#wiki.path : `${this.#wiki.path}/${page}`, reason: `memory: ${reason}` });
  }

  take(page: ChosenPage): void {
    const whole = this.#memory.text(this.#wiki, page);
    if (whole === undefined) return this.leave(page.page, 'its recorded bytes are damaged');
    const frame = isFrame(page);
    const room = Math.floor(this.#share * (frame ? FRAME_SHARE : 1)) - this.#used;
    if (this.#add(page, whole, page.first, page.last, undefined, page.reason, room)) return;
    if (frame ? this.#head(page, whole, room) : this.#parts(page, whole)) return;
    this.leave(page.page, `no room in its share (${Math.max(0, room)} of ${this.#share} tokens are left)`);
  }

  #parts(page: ChosenPage, whole: string): boolean {
    let taken = 0;
    for (const { heading, first, last } of page.parts) {
      if (taken >= MOST_PARTS) break;
      if (this.#add(page, whole, first, last, heading, page.reason, this.#share - this.#used)) taken += 1;
    }
    return taken > 0;
  }

  /** Rules and index are written with what matters first: as many whole lines as fit. */
  #head(page: ChosenPage, whole: string, room: number): boolean {
    let [low, high] = [page.first - 1, page.last];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (fits(this.#source.counter, linesOf(whole, page.first, middle), room - LEAST_TOKENS * 2)) low = middle;
      else high = middle - 1;
    }
    if (low < page.first) return false;
    return this.#add(page, whole, page.first, low, undefined, `${page.reason}; its first lines`, room);
  }

  #add(page: ChosenPage, whole: string, first: number, last: number, section: string | undefined, reason: string, room: number): boolean {
    const body = linesOf(whole, first, last);
    if (room < LEAST_TOKENS || !fits(this.#source.counter, body, room)) return false;
    const path = `${this.#wiki.path}/${page.page}`;
    const lines = first === page.first && last === page.last ? '' : `:${first}-${last}`;
    const md = renderBlock('memory', `${oneLine(path)}${lines} ${this.#wiki.mode}`, body);
    const addition = this.#text.addition(
      {
        kind: 'memory',
        source: path,
        range: `as-of:${this.#memory.order},${first},${last}`,
        ...(section === undefined || section === '' ? {} : { section }),
        reason,
        digest: digestOf(body),
      },
      md,
      { note: md, role: 'system' },
    );
    if (addition.mdTokens > room) return false;
    this.#used += addition.mdTokens;
    this.additions.push(addition);
    return true;
  }
}
