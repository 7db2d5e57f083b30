// SRC-1: every source that a derived file names resolves to bytes with a digest.
import { digestOf } from '../abi/digest.ts';
import { sourceOfItem } from '../abi/ranges.ts';
import type { SourceRef } from '../abi/ranges.ts';
import { isUserMessage } from '../context/pack-line.ts';
import type { SectionKind } from '../context/pack-source.ts';
import { resolveMemory } from './recorded-memory.ts';
import type { SectionFolds } from './section-folds.ts';
import type { SessionHistory } from './session-history.ts';
import type { SwapFiles } from './swap-files.ts';

export interface ResolvedSource {
  readonly bytes: Buffer;
  readonly digest: string;
}

export const SECTION_OF_FILE: ReadonlyMap<string, SectionKind> = new Map([
  ['context/summary.md', 'summary'],
  ['context/facts.jsonl', 'facts'],
  ['context/decisions.jsonl', 'decisions'],
  ['context/todo.md', 'todo'],
  ['context/refs.jsonl', 'refs'],
]);
const AS_OF = /^as-of:([0-9]+),([0-9]+),([0-9]+)$/;
const SEARCH_BYTES = 1 << 20;

export class Sources {
  readonly #history: SessionHistory;
  readonly #folds: SectionFolds;
  readonly #swap: SwapFiles;

  constructor(history: SessionHistory, folds: SectionFolds, swap: SwapFiles) {
    this.#history = history;
    this.#folds = folds;
    this.#swap = swap;
  }

  /** A source, with its range where the record has one; undefined when it names nothing. `readContent` reads a chunk's extents. */
  resolve(source: string, range?: string): ResolvedSource | undefined {
    const section = SECTION_OF_FILE.get(source);
    const asOf = AS_OF.exec(range ?? '');
    if (section !== undefined && asOf !== null) {
      const position = { line: 0, eventLine: Number(asOf[2]), order: 0 };
      const text = this.#folds.text(section, Number(asOf[1]) + 1, position, Number(asOf[3]));
      return resolved(Buffer.from(text.endsWith('\n') ? text.slice(0, -1) : text));
    }
    const memory = asOf === null || section !== undefined ? undefined : resolveMemory(this.#history, source, range);
    if (memory !== undefined) return memory;
    const parsed = sourceOfItem(source, range);
    const bytes = parsed === undefined ? undefined : this.#bytes(parsed);
    return bytes === undefined ? undefined : resolved(bytes);
  }

  #bytes(source: SourceRef): Buffer | undefined {
    const history = this.#history;
    switch (source.kind) {
      case 'messages':
        return source.last > history.messages.lines ? undefined : history.messageBytes(source.first, source.last);
      case 'events': {
        const { events } = history;
        return source.last > events.lines
          ? undefined
          : events.readRange(events.offsetOfLine(source.first), events.offsetOfLine(source.last + 1));
      }
      case 'tail':
        return history.messageBytes(Math.max(1, history.messages.lines - source.lines + 1), history.messages.lines);
      case 'latest':
        return this.#latest(source.role);
      case 'swap': {
        const chunk = this.#swap.chunkRange(source.id);
        return chunk === undefined ? undefined : history.messageBytes(chunk.first, chunk.last);
      }
      case 'dedup':
        return this.#swap.blobText(source.id.replace('sha256:', 'sha256-'));
      case 'tool':
        return this.#toolResult(source.id);
      case 'file': {
        const digest = history.log.inputsAsOf().get(source.path);
        return digest === undefined ? undefined : history.input(source.path, digest);
      }
    }
  }

  #latest(role: 'user' | 'assistant'): Buffer | undefined {
    const history = this.#history;
    let line = role === 'user' ? history.lastUserLine(history.messages.lines) : history.messages.lines;
    while (role === 'assistant' && line > 0 && history.lines.at(line).view.role !== 'assistant') line -= 1;
    return line === 0 || (role === 'user' && !isUserMessage(history.lines.at(line))) ? undefined : history.messageBytes(line, line);
  }

  /** The newest result with this call id. Looks back through history in large pieces: linear in what lies after it. */
  #toolResult(id: string): Buffer | undefined {
    const { messages, lines } = this.#history;
    const mark = Buffer.from(JSON.stringify(id).slice(1, -1));
    for (let last = messages.lines; last >= 1;) {
      const end = messages.offsetOfLine(last + 1);
      const first = end <= SEARCH_BYTES ? 1 : Math.min(last, messages.lineOfOffset(end - SEARCH_BYTES) + 1);
      const start = messages.offsetOfLine(first);
      const bytes = messages.readRange(start, end);
      for (let at = bytes.lastIndexOf(mark); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(mark, at - 1)) {
        const line = messages.lineOfOffset(start + at);
        const result = lines.at(line).view.toolResults.find((candidate) => candidate.id === id);
        if (result !== undefined) return Buffer.from(result.text);
      }
      last = first - 1;
    }
    return undefined;
  }
}

function resolved(bytes: Buffer): ResolvedSource {
  return { bytes, digest: digestOf(bytes) };
}
