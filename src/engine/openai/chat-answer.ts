// Chunks of a streamed chat completion, put together: text as it comes, tool calls when they are whole.
import { CtxError } from '../../abi/errors.ts';
import { countOf, listOf, objectOf } from '../json-fields.ts';
import type { GenerateEvent, GenerateOutcome } from '../types.ts';

export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number | undefined;
}

/** `usage` of a reply; undefined when it says nothing usable. A server that does not report cached tokens reports none. */
export function usageOf(reply: unknown): Usage | undefined {
  const usage = objectOf(objectOf(reply)['usage']);
  const promptTokens = countOf(usage['prompt_tokens']);
  if (promptTokens === undefined) return undefined;
  const cached = countOf(objectOf(usage['prompt_tokens_details'])['cached_tokens']) ?? 0;
  return { promptTokens, cachedTokens: Math.min(cached, promptTokens), completionTokens: countOf(usage['completion_tokens']) };
}

interface CallSoFar {
  id: string;
  name: string;
  arguments: string;
}

export class ChatAnswer {
  readonly #url: string;
  readonly #text: string[] = [];
  readonly #calls = new Map<number, CallSoFar>();
  #usage: Usage | undefined;
  #finish: string | undefined;
  #pieces = 0;
  #aborted = false;

  constructor(url: string) {
    this.#url = url;
  }

  *feed(chunk: Readonly<Record<string, unknown>>): Generator<GenerateEvent> {
    const usage = usageOf(chunk);
    // Some servers count in every chunk: the last is the whole.
    if (usage !== undefined) this.#usage = usage;
    const choice = objectOf(listOf(chunk['choices'])[0]);
    const { content, tool_calls: calls } = objectOf(choice['delta']);
    if (typeof content === 'string' && content !== '') {
      this.#pieces += 1;
      this.#text.push(content);
      yield { kind: 'text', text: content };
    }
    for (const [place, call] of listOf(calls).entries()) this.#take(objectOf(call), place);
    if (typeof choice['finish_reason'] === 'string') this.#finish = choice['finish_reason'];
  }

  *end(): Generator<GenerateEvent> {
    if (this.#finish === undefined) {
      throw new CtxError('engine.stream', 'EIO', 'ended its reply before the answer ended', {
        where: this.#url,
        next: "look at the server's log, then try again",
      });
    }
    for (const call of this.#toolCalls()) yield { kind: 'tool_call', ...call };
    if (this.#usage !== undefined) {
      const { promptTokens, cachedTokens } = this.#usage;
      yield { kind: 'start', restoredTokens: cachedTokens, evaluatedTokens: promptTokens - cachedTokens };
    }
  }

  /** What came stays; a call that is not whole does not. */
  abort(): void {
    this.#aborted = true;
    this.#calls.clear();
  }

  outcome(): GenerateOutcome {
    const toolCalls = this.#toolCalls();
    const cached = this.#usage?.cachedTokens ?? 0;
    const stop = this.#aborted ? 'aborted' : toolCalls.length > 0 ? 'tool_calls' : this.#finish === 'length' ? 'length' : 'end';
    return {
      text: this.#text.join(''),
      toolCalls,
      stop,
      restoredTokens: cached,
      evaluatedTokens: (this.#usage?.promptTokens ?? 0) - cached,
      generatedTokens: this.#usage?.completionTokens ?? this.#pieces,
    };
  }

  #take(call: Readonly<Record<string, unknown>>, place: number): void {
    const index = countOf(call['index']) ?? place;
    const { name, arguments: piece } = objectOf(call['function']);
    const known = this.#calls.get(index) ?? { id: '', name: '', arguments: '' };
    if (typeof call['id'] === 'string' && known.id === '') known.id = call['id'];
    if (typeof name === 'string') known.name += name;
    if (typeof piece === 'string') known.arguments += piece;
    this.#calls.set(index, known);
  }

  #toolCalls(): readonly CallSoFar[] {
    return [...this.#calls.entries()]
      .sort(([a], [b]) => a - b)
      .map(([index, call]) => ({ ...call, id: call.id === '' ? `call_${index + 1}` : call.id }))
      .filter(({ name }) => name !== '');
  }
}
