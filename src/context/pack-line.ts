// One message as the pack says it: parts, each whole, cut to head and tail, or reduced to a reference.
import { digestOf } from '../abi/digest.ts';
import type { TokenCounter } from '../tokens/types.ts';
import { fits, headAndTail } from './partial.ts';
import type { PackRepeats } from './pack-repeats.ts';
import { renderBlock } from './render.ts';
import type { MessageLine } from './types.ts';

export type Part =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'call'; readonly id: string; readonly name: string; readonly args: string }
  | { readonly type: 'result'; readonly id: string; readonly text: string };

export type Form = 'verbatim' | 'partial' | 'repeat' | 'difference';

export interface PackLine {
  readonly line: number;
  readonly role: string;
  readonly name: string | undefined;
  readonly form: Form;
  readonly parts: readonly Part[];
  /** The item of pack.md. */
  readonly md: string;
  /** sha256-… of the raw line with its newline. */
  readonly digest: string;
  readonly bytes: number;
  /** Labels of texts that references and differences build on. */
  readonly bases: readonly string[];
  /** Texts said in full, for later references: [label, text]. */
  readonly whole: readonly (readonly [string, string])[];
}

/** `sha256-` and 16 digits name a chunk; a whole digest costs more tokens than a small message has. */
const CHUNK_NAME = 23;

export interface LineLimits {
  readonly messageTokens: number;
  readonly outputTokens: number;
}

/** True for a message that a person wrote (not one that only carries tool results). */
export function isUserMessage(message: MessageLine): boolean {
  return message.view.role === 'user' && message.view.text.trim() !== '';
}

/** True when nothing of it goes into a pack (only reasoning, or nothing at all). */
export function isSilent(message: MessageLine): boolean {
  const { view } = message;
  return view.text.trim() === '' && view.toolCalls.length === 0 && view.toolResults.length === 0;
}

/** Call ids of a line, with stable ones made up for calls that came without. */
export function callIds(message: MessageLine): readonly string[] {
  return message.view.toolCalls.map((call, index) => call.id || `call_${message.line}_${index + 1}`);
}

/**
 * Renders a line under limits. With `repeats`, what stands earlier in the same pack becomes a reference (never what a
 * person wrote); the caller tells `repeats` what is `whole` once the line is really in the pack.
 */
export function renderLine(message: MessageLine, limits: LineLimits, counter: TokenCounter, repeats: PackRepeats | undefined): PackLine {
  const { view, line } = message;
  const digest = digestOf(message.bytes);
  const chunk = digest.slice(0, CHUNK_NAME);
  const bases: string[] = [];
  const whole: [string, string][] = [];
  let form: Form = 'verbatim';
  let texts = 0;
  const say = (text: string, limitTokens: number, reducible: boolean): string => {
    texts += 1;
    const reduced = reducible ? repeats?.reduce(text) : undefined;
    const said = reduced?.text ?? text;
    if (limitTokens === Infinity || fits(counter, said, limitTokens)) {
      if (reduced === undefined) whole.push([texts === 1 ? `${line}` : `${line}.${texts}`, text]);
      else {
        bases.push(...reduced.bases);
        if (form !== 'partial') form = reduced.form;
      }
      return said;
    }
    form = 'partial';
    return headAndTail(counter, text, limitTokens, (leftOut) => `[... ${leftOut} characters left out; whole: swap/chunk/${chunk} ...]`);
  };
  const parts: Part[] = [];
  if (view.text.trim() !== '') parts.push({ type: 'text', text: say(view.text, limits.messageTokens, view.role !== 'user') });
  const ids = callIds(message);
  for (const [index, call] of view.toolCalls.entries()) {
    const args = call.arguments === '' ? '{}' : call.arguments;
    const said = say(args, limits.messageTokens, false);
    parts.push({
      type: 'call',
      id: ids[index] as string,
      name: call.name || 'tool',
      args: said === args ? args : JSON.stringify({ partial: said }),
    });
  }
  for (const result of view.toolResults) parts.push({ type: 'result', id: result.id, text: say(result.text, limits.outputTokens, true) });
  const role = view.toolResults.length > 0 && view.text.trim() === '' ? 'tool' : view.role;
  return {
    line,
    role,
    name: view.name,
    form,
    parts,
    md: renderParts(role, line, parts),
    digest,
    bytes: message.bytes.length,
    bases,
    whole,
  };
}

function renderParts(role: string, line: number, parts: readonly Part[]): string {
  const only = parts.length === 1 ? parts[0] : undefined;
  if (only?.type === 'result')
    return renderBlock(role, only.id === '' ? `messages:${line}` : `messages:${line} tool:${oneLine(only.id)}`, only.text);
  return renderBlock(role, `messages:${line}`, parts.map(renderPart).join('\n'));
}

function renderPart(part: Part): string {
  switch (part.type) {
    case 'text':
      return part.text;
    case 'call':
      return `[call ${oneLine(part.name)} ${oneLine(part.id)}] ${part.args}`;
    case 'result':
      return `[result ${oneLine(part.id)}]\n${part.text}`;
  }
}

/** Fit for an item's first line: no line ends, no '>' that would end it early for a reader. */
export function oneLine(text: string): string {
  return text.replace(/[\s\u0000-\u001f>]+/g, ' ').slice(0, 200);
}
