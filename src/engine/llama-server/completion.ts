// One /completion over token ids, streamed: what was reused, how far the prompt is, text, and the end.
import { CtxError } from '../../abi/errors.ts';
import { readEvents } from '../event-stream.ts';
import { countOf, listOf, objectOf, textOf, tokenIds } from '../json-fields.ts';
import type { RemoteServer } from '../remote-server.ts';

export interface CompletionRequest {
  readonly tokens: Uint32Array;
  readonly slot: number;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed?: number;
  readonly schema?: unknown;
  /** Special tokens whose text is to be shown. */
  readonly preserved: readonly string[];
}

export type CompletionPart =
  /** Once, before any text: tokens of the prompt that the slot had. */
  | { readonly kind: 'reuse'; readonly tokens: number }
  | { readonly kind: 'progress'; readonly done: number }
  | { readonly kind: 'text'; readonly text: string };

export interface Completed {
  readonly reusedTokens: number;
  readonly generated: readonly number[];
  /** Ended by its length. */
  readonly limited: boolean;
}

export async function* complete(
  server: RemoteServer,
  request: CompletionRequest,
  signal: AbortSignal,
): AsyncGenerator<CompletionPart, Completed, void> {
  const url = `${server.base}/completion`;
  let reused: number | undefined;
  const generated: number[] = [];
  for await (const event of readEvents(server.stream('/completion', bodyOf(request), signal), url)) {
    const progress = objectOf(event['prompt_progress']);
    const cached = countOf(progress['cache']) ?? countOf(objectOf(event['timings'])['cache_n']);
    if (reused === undefined && cached !== undefined) {
      reused = cached;
      yield { kind: 'reuse', tokens: cached };
    }
    const done = countOf(progress['processed']);
    if (done !== undefined) yield { kind: 'progress', done };
    else generated.push(...(tokenIds(event['tokens']) ?? []));
    const text = textOf(event['content']);
    if (text !== undefined && request.maxTokens > 0) yield { kind: 'text', text };
    if (event['stop'] !== true) continue;
    if (reused === undefined) throw fault(url, 'did not say how many tokens it reused');
    return { reusedTokens: reused, generated, limited: event['stop_type'] === 'limit' };
  }
  throw fault(url, 'ended its reply before the answer ended');
}

function bodyOf({ tokens, slot, maxTokens, temperature, seed, schema, preserved }: CompletionRequest): Readonly<Record<string, unknown>> {
  return {
    prompt: Array.from(tokens),
    id_slot: slot,
    cache_prompt: true,
    n_predict: maxTokens,
    temperature,
    stream: true,
    return_progress: true,
    return_tokens: true,
    ...(listOf(preserved).length === 0 ? {} : { preserved_tokens: preserved }),
    ...(seed === undefined ? {} : { seed }),
    ...(schema === undefined ? {} : { json_schema: schema }),
  };
}

function fault(url: string, what: string): CtxError {
  return new CtxError('engine.stream', 'EIO', what, { where: url, next: "look at the server's log, then try again" });
}
