// BlockRecords as compact JSON lines for the cache: digests in base64, lines relative to the block, no names.
// REC-1: decodeRecord(encodeRecord(x)) equals x for every record that mapBlock makes.
import type { BlockRecord, ExtractedRef } from './types.ts';

/** Raise it when this layout or anything that mapBlock extracts changes: cached records of another version are not read. */
export const RECORD_VERSION = 5;

/** One line without its newline: about a third of the plain JSON. */
export function encodeRecord(record: BlockRecord): string {
  const base = record.firstLine;
  return JSON.stringify([
    RECORD_VERSION,
    base,
    record.lines,
    record.bytes,
    shorten(record.digest),
    record.summary,
    record.facts.flatMap((fact) => [fact.line - base, fact.text]),
    record.decisions.flatMap((entry) => [entry.line - base, entry.decision]),
    record.todos.flatMap((todo) => [(todo.line - base) * 4 + Number(todo.planned === true) * 2 + Number(todo.done), todo.text]),
    // A tool output's path repeats its line's digest; its summary repeats the output's.
    record.refs.flatMap((ref) => {
      const output = outputOf(record, ref);
      return output < 0 ? [ref.line - base, KINDS.indexOf(ref.kind), ref.path, ref.summary] : [-1 - output];
    }),
    record.outputs.flatMap((output, n) => [
      output.line - base,
      output.callId,
      shorten(output.digest),
      output.bytes,
      sameLine(record, n) ? 0 : shorten(output.lineDigest),
      sameLine(record, n) ? 0 : output.lineBytes,
      output.summary,
    ]),
    record.large.flatMap((line) => [line.line - base, shorten(line.digest), line.bytes]),
  ]);
}

/** Undefined when the text is not a record of this version (the caller maps the block again). */
export function decodeRecord(text: string): BlockRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(value) || value.length !== 12 || value[0] !== RECORD_VERSION) return undefined;
  const [, base, lines, bytes, digest, summary, facts, decisions, todos, refs, outputs, large] = value as [
    number,
    number,
    number,
    number,
    string,
    string,
    Flat,
    Flat,
    Flat,
    Flat,
    Flat,
    Flat,
  ];
  const decodedOutputs = readOutputs(base, outputs);
  return {
    firstLine: base,
    lines,
    bytes,
    digest: lengthen(digest),
    summary,
    facts: tuples(facts, 2).map(([line, fact]) => ({ line: base + Number(line), text: String(fact) })),
    decisions: tuples(decisions, 2).map(([line, decision]) => ({ line: base + Number(line), decision: String(decision) })),
    todos: tuples(todos, 2).map(([line, todo]) => ({
      line: base + (Number(line) >> 2),
      text: String(todo),
      done: Number(line) % 2 === 1,
      ...((Number(line) & 2) === 0 ? {} : { planned: true as const }),
    })),
    refs: readRefs(base, refs, decodedOutputs),
    outputs: decodedOutputs,
    large: tuples(large, 3).map(([line, id, size]) => ({ line: base + Number(line), digest: lengthen(String(id)), bytes: Number(size) })),
  };
}

type Flat = readonly (string | number)[];
const KINDS: readonly ExtractedRef['kind'][] = ['tool_output', 'file', 'artifact'];
const CHUNK = 'context/swap/chunk/';

function sameLine(record: BlockRecord, n: number): boolean {
  return n > 0 && record.outputs[n - 1]?.line === record.outputs[n]?.line;
}

/** Index of the output that says everything the ref says, or -1. */
function outputOf(record: BlockRecord, ref: ExtractedRef): number {
  if (ref.kind !== 'tool_output') return -1;
  return record.outputs.findIndex(
    ({ line, lineDigest, summary }) => line === ref.line && summary === ref.summary && `${CHUNK}${lineDigest}` === ref.path,
  );
}

function readOutputs(base: number, flat: Flat): BlockRecord['outputs'] {
  const outputs: BlockRecord['outputs'][number][] = [];
  for (const [line, callId, digest, bytes, lineDigest, lineBytes, summary] of tuples(flat, 7)) {
    const before = outputs.at(-1);
    const same = lineDigest === 0 && before !== undefined;
    outputs.push({
      line: base + Number(line),
      callId: String(callId),
      digest: lengthen(String(digest)),
      bytes: Number(bytes),
      lineDigest: same ? before.lineDigest : lengthen(String(lineDigest)),
      lineBytes: same ? before.lineBytes : Number(lineBytes),
      summary: String(summary),
    });
  }
  return outputs;
}

function readRefs(base: number, flat: Flat, outputs: BlockRecord['outputs']): ExtractedRef[] {
  const refs: ExtractedRef[] = [];
  for (let at = 0; at < flat.length;) {
    const first = Number(flat[at]);
    const output = first < 0 ? outputs[-1 - first] : undefined;
    if (output !== undefined)
      refs.push({ line: output.line, path: `${CHUNK}${output.lineDigest}`, kind: 'tool_output', summary: output.summary });
    else
      refs.push({
        line: base + first,
        path: String(flat[at + 2]),
        kind: KINDS[Number(flat[at + 1])] ?? 'file',
        summary: String(flat[at + 3]),
      });
    at += output === undefined ? 4 : 1;
  }
  return refs;
}

function tuples(flat: Flat, width: number): Flat[] {
  const list: Flat[] = [];
  for (let at = 0; at + width <= flat.length; at += width) list.push(flat.slice(at, at + width));
  return list;
}

function shorten(digest: string): string {
  return digest.startsWith('sha256-') ? Buffer.from(digest.slice(7), 'hex').toString('base64url') : digest;
}

function lengthen(text: string): string {
  return text.length === 43 ? `sha256-${Buffer.from(text, 'base64url').toString('hex')}` : text;
}
