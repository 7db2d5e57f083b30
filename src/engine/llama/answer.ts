// One answer of the model: prefill under the bitwise law, then token by token until it ends, is long enough or is stopped.
import { CtxError } from '../../abi/errors.ts';
import type { ModelFacts } from '../gguf.ts';
import type { GenerateEvent, GenerateOutcome } from '../types.ts';
import type { LiveState } from './live-state.ts';
import type { Llama, LlamaModel, NativeEngine } from './native.ts';
import { bindableSchema } from './output-schema.ts';
import { TokenText } from './token-text.ts';
import { AnswerReader } from './tool-calls.ts';
import type { ToolCall } from './tool-calls.ts';
import type { GenerateRequest } from './wire.ts';

export interface AnswerEngine {
  readonly native: NativeEngine;
  readonly llama: Llama;
  readonly model: LlamaModel;
  readonly facts: ModelFacts;
  readonly live: LiveState;
  readonly contextTokens: number;
}

/** How grammars of the engine end: JSON has no such run of line ends. */
const GRAMMAR_END = '\n\n\n\n';

export async function answer(
  engine: AnswerEngine,
  request: GenerateRequest,
  tokens: Uint32Array,
  signal: AbortSignal,
  emit: (event: GenerateEvent) => void,
): Promise<GenerateOutcome> {
  const { live } = engine;
  const constraint = await grammarOptions(engine, request.schema);
  const text: string[] = [];
  const toolCalls: ToolCall[] = [];
  let restoredTokens = 0;
  let generatedTokens = 0;
  let stop: GenerateOutcome['stop'] = 'length';
  const reader = new AnswerReader(request.schema === undefined ? request.prompt.tools : []);
  const take = (piece: string, parts = reader.feed(piece)): void => {
    for (const part of parts) {
      if (part.kind === 'text') text.push(part.text);
      else toolCalls.push({ id: part.id, name: part.name, arguments: part.arguments });
      emit(part);
    }
  };
  try {
    const prepared = await live.prepare(tokens, request.base, true, signal);
    restoredTokens = prepared.reusedTokens;
    const last = await live.evaluate(tokens, restoredTokens, 'leave', signal, () => undefined);
    const room = Math.min(request.maxTokens, engine.contextTokens - 1 - tokens.length);
    const words = new TokenText(engine.model, engine.facts);
    const ending = new GrammarEnd(request.schema !== undefined);
    const sampling = { temperature: request.temperature, ...(request.seed === undefined ? {} : { seed: request.seed }), ...constraint };
    const run = live.sequence.evaluate(last, { ...sampling, yieldEogToken: true });
    try {
      for await (const token of run) {
        if (generatedTokens === 0) {
          await live.proven();
          live.settle(tokens);
          emit({ kind: 'start', restoredTokens, evaluatedTokens: tokens.length - restoredTokens });
        }
        if (generatedTokens >= room) break;
        if (engine.model.isEogToken(token)) {
          stop = 'end';
          break;
        }
        generatedTokens += 1;
        take(ending.pass(words.push(token)));
        if (ending.reached) stop = 'end';
        if (signal.aborted) stop = 'aborted';
        if (stop !== 'length' || generatedTokens >= room) break;
      }
    } finally {
      await run.return();
    }
    take(ending.pass(words.end()));
  } catch (error) {
    if (!signal.aborted) throw error;
    stop = 'aborted';
  }
  take('', reader.end());
  if (toolCalls.length > 0 && stop !== 'aborted') stop = 'tool_calls';
  const evaluatedTokens = tokens.length - restoredTokens;
  return { text: text.join(''), toolCalls, stop, restoredTokens, evaluatedTokens, generatedTokens };
}

async function grammarOptions({ native, llama, model }: AnswerEngine, schema: unknown): Promise<Record<string, unknown>> {
  if (schema === undefined) return {};
  const bindable = bindableSchema(schema);
  try {
    const grammar = await llama.createGrammarForJsonSchema(bindable);
    return { grammarEvaluationState: new native.LlamaGrammarEvaluationState({ model, grammar }) };
  } catch (error) {
    throw new CtxError(
      'engine.schema',
      'EINVAL',
      `the output schema cannot be followed: ${error instanceof Error ? error.message : String(error)}`,
      {
        next: 'use plain JSON Schema: type, properties, items, enum, const, oneOf',
        cause: error,
      },
    );
  }
}

/** Holds back line ends at the end of constrained output, and stops at the run of them that ends it. */
class GrammarEnd {
  readonly #on: boolean;
  #held = '';
  reached = false;

  constructor(on: boolean) {
    this.#on = on;
  }

  pass(piece: string): string {
    if (!this.#on) return piece;
    const text = this.#held + piece;
    const end = text.indexOf(GRAMMAR_END);
    if (end >= 0) {
      this.reached = true;
      this.#held = '';
      return text.slice(0, end);
    }
    const kept = /\n*$/.exec(text)?.[0].length ?? 0;
    this.#held = text.slice(text.length - kept);
    return text.slice(0, text.length - kept);
  }
}
