// A comparison for people: one section for each part, unified differences of files, the lines behind the point where journals part.
import type { FieldChange, FileChange, ImageDiff } from '../image/diff.ts';
import type { JournalDiff, JournalRest } from '../image/transcript-diff.ts';
import { countWords, sizeWords } from './figures.ts';
import type { Terminal } from './terminal.ts';

export function diffLines(a: string, b: string, diff: ImageDiff, terminal: Pick<Terminal, 'style'>): readonly string[] {
  const lines: string[] = [];
  const section = (name: string, body: readonly string[] | undefined): void => {
    if (body !== undefined) lines.push(terminal.style('bold', `${name}:`), ...(body.length === 0 ? ['  the same'] : body));
  };
  const sign = (text: string): string =>
    text.startsWith('-') ? terminal.style('red', text) : text.startsWith('+') ? terminal.style('green', text) : text;
  lines.push(sign(`--- ${a}`), sign(`+++ ${b}`));
  section(
    'source',
    diff.source?.flatMap((change) => fileLines(change).map(sign)),
  );
  section('manifest', fieldSection(diff.manifest)?.map(sign));
  section('memory', fieldSection(diff.memory)?.map(sign));
  section('transcript', diff.transcript && journalLines('messages', diff.transcript.messages).map(sign));
  section('events', diff.transcript && journalLines('events', diff.transcript.events).map(sign));
  return lines;
}

function fieldSection(changes: readonly FieldChange[] | null | undefined): readonly string[] | undefined {
  if (changes === null) return ['  a session has none before it is committed'];
  return changes?.flatMap(({ field, before, after }) => [
    ...(before === null ? [] : [`- ${field}: ${value(before)}`]),
    ...(after === null ? [] : [`+ ${field}: ${value(after)}`]),
  ]);
}

function value(of: unknown): string {
  return typeof of === 'string' ? of : JSON.stringify(of);
}

function fileLines({ path, change, before, after, diff }: FileChange): readonly string[] {
  const shown = (facts: FileChange['before']): string =>
    facts === null ? 'nothing' : `${sizeWords(facts.size)} ${facts.digest.slice(7, 19)}`;
  const head = `  ${change} ${path}: ${shown(before)} to ${shown(after)}`;
  return diff === null ? [head] : [head, ...diff.replace(/\n$/, '').split('\n').slice(2)];
}

function journalLines(name: 'messages' | 'events', { common, a, b }: JournalDiff): readonly string[] {
  if (a.bytes + b.bytes === 0) return [];
  const counts = `  ${countWords(common)} in common, then ${countWords(a.lines)} here and ${countWords(b.lines)} there`;
  return [counts, ...restLines('-', name, a), ...restLines('+', name, b)];
}

function restLines(sign: string, name: string, rest: JournalRest): readonly string[] {
  const shown = rest.shown.map(({ line, text, cut }) => `${sign} ${name}:${line} ${text}${cut === 0 ? '' : ` … ${sizeWords(cut)} more`}`);
  const more = rest.lines - rest.shown.length;
  return more === 0 ? shown : [...shown, `${sign} … ${countWords(more)} more lines, ${sizeWords(rest.bytes)} in all`];
}
