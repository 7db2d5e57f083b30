// The leading items, by volatility: pinned, then the sections (summary, facts, decisions, todo, refs, child results).
import { digestOf } from '../abi/digest.ts';
import { headAndTail, fits } from './partial.ts';
import { renderBlock } from './render.ts';
import type { Addition, PackText } from './pack-text.ts';
import type { ChildResult, PackSource, SectionKind, StreamPosition } from './pack-source.ts';

const SECTIONS: readonly { readonly kind: SectionKind; readonly file: string }[] = [
  { kind: 'summary', file: 'context/summary.md' },
  { kind: 'facts', file: 'context/facts.jsonl' },
  { kind: 'decisions', file: 'context/decisions.jsonl' },
  { kind: 'todo', file: 'context/todo.md' },
  { kind: 'refs', file: 'context/refs.jsonl' },
];

export const leadingItems: {
  /** Pinned files in name order. `scale` of their share bounds them all together; Infinity: whole. */
  readonly pinned: (source: PackSource, text: PackText, scale: number) => readonly Addition[];
  readonly sections: (source: PackSource, text: PackText, cut: number, position: StreamPosition, scale: number) => readonly Addition[];
} = {
  pinned(source, text, scale) {
    const additions: Addition[] = [];
    let room = scale === Infinity ? Infinity : Math.floor(source.policy.pinnedTokens * scale);
    for (const file of source.pinned) {
      const whole = pinnedItem(text, file.path, file.digest, file.text, undefined);
      const addition = whole.mdTokens <= room ? whole : partialPinned(source, text, file.path, file.digest, file.text, room);
      if (addition === undefined) continue;
      room -= addition.mdTokens;
      additions.push(addition);
    }
    return additions;
  },

  sections(source, text, cut, position, scale) {
    if (scale === 0) return [];
    const additions: Addition[] = [];
    for (const { kind, file } of SECTIONS) {
      const limit = Math.floor(source.policy.sections[kind] * scale);
      const addition = sectionItem(source, text, kind, file, cut, position, limit);
      if (addition !== undefined) additions.push(addition);
    }
    let room = Math.floor(source.policy.sections.child * scale);
    for (const child of source.children(position)) {
      const addition = childAddition(source, text, child, room);
      if (addition === undefined) continue;
      room -= addition.mdTokens;
      additions.push(addition);
    }
    return additions;
  },
};

/** A child's result as an item, cut to `limitTokens`; undefined when there is no room for it. */
export function childAddition(source: PackSource, text: PackText, child: ChildResult, limitTokens: number): Addition | undefined {
  const make = (body: string, form: string | undefined): Addition => {
    const md = renderBlock(child.kind, child.path, body);
    return text.addition({ kind: child.kind, source: child.path, ...(form === undefined ? {} : { form }), digest: child.digest }, md, {
      note: md,
      role: 'system',
    });
  };
  return shrinkToFit(source, child.path, trimEnd(child.text), limitTokens, make);
}

function pinnedItem(text: PackText, path: string, digest: string, body: string, form: string | undefined): Addition {
  const md = renderBlock('system', path, trimEnd(body));
  return text.addition({ kind: 'system', source: path, ...(form === undefined ? {} : { form }), digest }, md, { note: md, role: 'system' });
}

function partialPinned(source: PackSource, text: PackText, path: string, digest: string, body: string, room: number): Addition | undefined {
  return shrinkToFit(source, path, trimEnd(body), room, (said, form) => pinnedItem(text, path, digest, said, form));
}

/** SRC-4: a section's digest is that of its body; its range says as of where it was computed. */
function sectionItem(
  source: PackSource,
  text: PackText,
  kind: SectionKind,
  file: string,
  cut: number,
  position: StreamPosition,
  limit: number,
): Addition | undefined {
  let bytes = limit * 4;
  for (let attempt = 0; attempt < 6 && bytes >= 16; attempt++) {
    const body = trimEnd(source.section(kind, cut, position, bytes));
    if (body === '') return undefined;
    const range = `as-of:${cut - 1},${position.eventLine},${bytes}`;
    const md = renderBlock(kind, file, body);
    const addition = text.addition({ kind, source: file, range, digest: digestOf(body) }, md, { note: md, role: 'system' });
    if (addition.mdTokens <= limit) return addition;
    bytes = Math.floor(Math.min(bytes * 0.9, (Math.min(bytes, Buffer.byteLength(body)) * limit) / addition.mdTokens) * 0.98);
  }
  return undefined;
}

function shrinkToFit(
  source: PackSource,
  path: string,
  body: string,
  limit: number,
  make: (body: string, form: string | undefined) => Addition,
): Addition | undefined {
  if (fits(source.counter, body, limit)) {
    const whole = make(body, undefined);
    if (whole.mdTokens <= limit) return whole;
  }
  for (let room = limit - 24; room >= 16; room = Math.floor(room * 0.8)) {
    const said = headAndTail(source.counter, body, room, (leftOut) => `[... ${leftOut} characters left out; whole: ${path} ...]`);
    const addition = make(said, 'partial');
    if (addition.mdTokens <= limit) return addition;
  }
  return undefined;
}

function trimEnd(text: string): string {
  return text.endsWith('\n') ? text.slice(0, -1) : text;
}
