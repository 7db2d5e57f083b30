// What this project uses of node-llama-cpp, which is installed apart from it (`ctx engine install`): shapes, and loading.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CtxError } from '../../abi/errors.ts';

export const ENGINE_PACKAGE = 'node-llama-cpp';
export const ENGINE_VERSION = '3.21.1';

export interface Llama {
  loadModel(options: Record<string, unknown>): Promise<LlamaModel>;
  createGrammarForJsonSchema(schema: unknown): Promise<LlamaGrammar>;
  dispose(): Promise<void>;
}

interface LlamaGrammar {
  readonly grammar: string;
}

export interface LlamaModel {
  readonly tokens: { readonly shouldPrependBosToken: boolean };
  isEogToken(token: number): boolean;
  tokenize(text: string, specialTokens: boolean, options?: 'trimLeadingSpace'): number[];
  detokenize(tokens: readonly number[], specialTokens: boolean, lastTokens?: readonly number[]): string;
  createContext(options: Record<string, unknown>): Promise<LlamaContext>;
}

export interface LlamaContext {
  readonly contextSize: number;
  getSequence(options: Record<string, unknown>): LlamaSequence;
}

export interface LlamaSequence {
  readonly nextTokenIndex: number;
  readonly contextTokens: readonly number[];
  dispose(): Promise<void>;
  clearHistory(): Promise<void>;
  adaptStateToTokens(tokens: readonly number[], allowShift: boolean): Promise<void>;
  evaluate(tokens: readonly number[], options: Record<string, unknown>): AsyncGenerator<number, void, void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  controlledEvaluate(
    input: readonly unknown[],
  ): Promise<readonly ({ readonly next?: { readonly probabilities?: ReadonlyMap<number, number> } } | undefined)[]>;
  saveStateToFile(path: string): Promise<{ readonly fileSize: number }>;
  loadStateFromFile(path: string, risk: { readonly acceptRisk: true }): Promise<void>;
}

export interface NativeEngine {
  getLlama(options: Record<string, unknown>): Promise<Llama>;
  readonly LlamaGrammarEvaluationState: new (options: { readonly model: LlamaModel; readonly grammar: LlamaGrammar }) => unknown;
}

export interface Jinja {
  readonly Template: new (source: string) => { render(variables: Record<string, unknown>): string };
}

/** Where the engine is installed: `$CTX_ENGINE_DIR`, else a directory of its version in the user's data directory. */
export function engineDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment['CTX_ENGINE_DIR'];
  if (named !== undefined && isAbsolute(named)) return named;
  const data = environment['XDG_DATA_HOME'];
  const root = process.getuid?.() === 0;
  const base = data !== undefined && isAbsolute(data) ? data : root ? '/var/lib' : join(homedir(), '.local', 'share');
  return join(base, 'ctxfs-engine', ENGINE_VERSION);
}

/** What is installed there; undefined: nothing that can be used. */
export function installedEngine(directory: string): { readonly version: string; readonly release: string } | undefined {
  try {
    const home = join(directory, 'node_modules', ENGINE_PACKAGE);
    const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string };
    const { release } = JSON.parse(readFileSync(join(home, 'llama', 'binariesGithubRelease.json'), 'utf8')) as { release: string };
    return { version, release };
  } catch {
    return undefined;
  }
}

export function requireEngine(directory: string): { readonly version: string; readonly release: string } {
  const found = installedEngine(directory);
  if (found?.version === ENGINE_VERSION) return found;
  const what = found === undefined ? 'the engine is not installed' : `the engine is version ${found.version}, not ${ENGINE_VERSION}`;
  throw new CtxError('engine.missing', 'ENODEV', what, { where: directory, next: 'install it with: ctx engine install' });
}

export async function loadEngine(directory: string): Promise<NativeEngine> {
  requireEngine(directory);
  return (await import(moduleUrl(directory, ENGINE_PACKAGE, 'dist/index.js'))) as NativeEngine;
}

export async function loadJinja(directory: string): Promise<Jinja> {
  requireEngine(directory);
  const nested = join('node_modules', ENGINE_PACKAGE, 'node_modules');
  const place = existsSync(join(directory, nested, '@huggingface', 'jinja')) ? join(directory, 'node_modules', ENGINE_PACKAGE) : directory;
  return (await import(moduleUrl(place, '@huggingface/jinja', 'dist/index.js'))) as Jinja;
}

function moduleUrl(directory: string, name: string, file: string): string {
  return pathToFileURL(join(directory, 'node_modules', name, file)).href;
}
