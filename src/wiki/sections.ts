// A page in sections: what a reader is given when the whole page is too much.
import type { Heading } from './markdown.ts';

export interface Section {
  /** Empty for what stands before the first heading. */
  readonly heading: string;
  /** 1-based, both included. */
  readonly startLine: number;
  readonly endLine: number;
  readonly text: string;
}

/** Cut at headings of level 1 to 3; frontmatter belongs to none. The sections in order are the body, without a gap. */
export function sectionsOf(text: string, headings: readonly Heading[], bodyLine: number): readonly Section[] {
  const lines = text.split('\n');
  const starts = headings.filter(({ level }) => level <= 3).map(({ text: heading, line }) => ({ heading, line }));
  if (starts[0]?.line !== bodyLine + 1) starts.unshift({ heading: '', line: bodyLine + 1 });
  return starts
    .map(({ heading, line }, i) => {
      const endLine = (starts[i + 1]?.line ?? lines.length + 1) - 1;
      return { heading, startLine: line, endLine, text: lines.slice(line - 1, endLine).join('\n') };
    })
    .filter((section) => section.text.trim() !== '');
}
