// What passes between the driver and its child process (advanced serialization: typed arrays pass as they are).
import { CtxError } from '../../abi/errors.ts';
import type { ErrnoName } from '../../abi/errors.ts';
import type { ArtifactFile, GenerateEvent, ModelConfig, Prompt } from '../types.ts';

/** What a child is started with; one model a child. */
export interface ChildSetup {
  readonly config: ModelConfig;
  readonly engineDirectory: string;
  /** Where digests of model files are remembered; undefined: they are computed each time a child starts. */
  readonly cacheDirectory: string | undefined;
  readonly memoryLimitBytes: number;
  /** Only tokens are asked for: weights are not loaded. */
  readonly vocabularyOnly?: boolean;
}

export interface TokenizeRequest {
  readonly method: 'tokenize';
  readonly prompt: Prompt;
  readonly generationPrompt: boolean;
}

export interface CountRequest {
  readonly method: 'count';
  readonly texts: readonly string[];
}

export interface CountPromptRequest {
  readonly method: 'count-prompt';
  readonly prompt: Prompt;
}

export interface CompileRequest {
  readonly method: 'compile';
  readonly prompt: Prompt;
  readonly tokens: Uint32Array | undefined;
  readonly base: ArtifactFile | undefined;
  readonly saveTo: string;
}

export interface GenerateRequest {
  readonly method: 'generate';
  readonly prompt: Prompt;
  readonly base: ArtifactFile | undefined;
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number | undefined;
  readonly schema: unknown;
}

export type Request =
  { readonly method: 'describe' } | TokenizeRequest | CountRequest | CountPromptRequest | CompileRequest | GenerateRequest;

export type ToChild =
  | { readonly kind: 'setup'; readonly setup: ChildSetup }
  | { readonly kind: 'call'; readonly id: number; readonly request: Request }
  | { readonly kind: 'cancel'; readonly id: number };

export type ChildEvent =
  | GenerateEvent
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  /** The next call may begin; this one's answer follows. */
  | { readonly kind: 'free' };

export type ToDriver =
  /** The child began with the call: what happens to the child from here on happens to the call. */
  | { readonly kind: 'taken'; readonly id: number }
  | { readonly kind: 'event'; readonly id: number; readonly event: ChildEvent }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: WireError };

export interface WireError {
  readonly code: string;
  readonly errno: ErrnoName;
  readonly message: string;
  readonly where: string | undefined;
  readonly next: string | undefined;
}

export function toWire(error: unknown): WireError {
  if (error instanceof CtxError)
    return { code: error.code, errno: error.errno, message: error.message, where: error.where, next: error.next };
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: 'engine.failed',
    errno: 'EIO',
    message: `the engine failed: ${message.slice(0, 500)}`,
    where: undefined,
    next: 'try again; it starts anew',
  };
}

export function fromWire({ code, errno, message, where, next }: WireError): CtxError {
  return new CtxError(code, errno, message, { ...(where === undefined ? {} : { where }), ...(next === undefined ? {} : { next }) });
}
