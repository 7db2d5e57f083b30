// Tokens that a model evaluates in each turn over real transcripts, with compiled state, beside full prefill and tail:N. Prints
// JSON. Usage: node test/bench/run.mjs test/bench/evaluated.ts FILE…   (transcripts of any format that ctx imports)
//
// The files are imported end to end as one session, and again from the start until four budgets are full. At each call the
// pack's own prompt.json goes through the model's chat template and tokenizer; what is evaluated follows from the functions
// that the engine itself uses (evaluation.ts), the state of every earlier call being saved. Where the prompts fit a small
// context, the real engine compiles them too, and must have evaluated just as many (`verified_turns`).
//
// Bound: within an epoch the tokens by which the prompt grew; at an epoch's start all but the pinned part, which alone never
// changes. tail:N keeps the newest messages that fit, and evaluates all but the pinned part whenever
// the first of them changes.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { viewMessage } from '../../src/abi/records.ts';
import { renderLine } from '../../src/context/pack-line.ts';
import { ArtifactStore } from '../../src/engine/artifact-store.ts';
import { compilePrompt } from '../../src/engine/compile-run.ts';
import { openLlamaDriver } from '../../src/engine/llama/driver.ts';
import { reusableTokens } from '../../src/engine/llama/evaluation.ts';
import { commonPrefix } from '../../src/engine/prefix.ts';
import type { ChatMessage, EngineDriver, Prompt } from '../../src/engine/types.ts';
import { JournalImportState, fileSource, planImport } from '../../src/interop/index.ts';
import type { ImportLine } from '../../src/interop/types.ts';
import { openSessionJournals } from '../../src/journal/index.ts';
import { initialControls } from '../../src/session/controls.ts';
import { defaultServices, openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import { makeTinyModel, tinyConfig } from '../engine/tiny.ts';

const BUDGET = Number(process.env['BENCH_BUDGET'] ?? 32_000);
const BUDGETS = 4;
const MOST_ROUNDS = 8;
const WHOLE = { messageTokens: Infinity, outputTokens: Infinity };
const SMALL_CONTEXT = 8192;
const PINNED = 'You are a careful engineer. Follow the house rules.\n'.repeat(8);

/** What a message takes of the budget, and of the model. */
interface Size {
  readonly budgetTokens: number;
  readonly tokens: number;
}

interface Call {
  readonly line: number;
  readonly epoch: string;
  readonly tokens: Uint32Array;
  readonly evaluated: number;
}

const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'ctxfs-bench-'));
const services = defaultServices();
const counter = services.counter('o200k_base');
const driver = openLlamaDriver(tinyConfig(makeTinyModel(join(root, 'tiny.gguf')), { contextTokens: SMALL_CONTEXT, threads: 1 }));
try {
  const files = process.argv.slice(2).map((file) => resolve(file));
  const { lines, rounds } = await joined(files);
  const { calls, verified, sizes } = await measure(lines);
  const overflow = firstOverflow(sizes);
  const counted = calls.filter(({ line }) => line >= overflow);
  const of = (work: (call: Call, before: Call | undefined) => number): number =>
    counted.reduce((sum, call) => sum + work(call, calls[calls.indexOf(call) - 1]), 0);
  const full = of(({ tokens }) => tokens.length);
  const ours = of(({ evaluated }) => evaluated);
  const pinned = (await count({ role: 'system', content: PINNED })).length;
  const bound = of(({ epoch, tokens }, before) =>
    before?.epoch === epoch ? Math.max(0, tokens.length - before.tokens.length) : tokens.length - pinned,
  );
  const tail = tailEvaluated(sizes, pinned, new Set(counted.map(({ line }) => line)));
  const row = {
    files: files.map((file) => basename(file)),
    rounds,
    budget: BUDGET,
    messages: sizes.length,
    calls: counted.length,
    first_overflow_at: overflow,
    epochs: new Set(counted.map(({ epoch }) => epoch)).size,
    mean_prompt_tokens: Math.round(full / counted.length),
    evaluated_a_turn: Math.round(ours / counted.length),
    bound_a_turn: Math.round(bound / counted.length),
    tail_n_a_turn: Math.round(tail / counted.length),
    ours_over_bound: round(ours / bound),
    ours_over_full: round(ours / full),
    tail_n_over_full: round(tail / full),
    verified_turns: verified,
  };
  console.log(JSON.stringify(row));
} finally {
  await driver.close();
  await services.close();
  rmSync(root, { recursive: true, force: true });
}
process.exit(0);

async function joined(files: readonly string[]): Promise<{ readonly lines: readonly ImportLine[]; readonly rounds: number }> {
  const lines: ImportLine[] = [];
  let tokens = 0;
  let rounds = 0;
  do {
    const known = new JournalImportState();
    for (const path of files)
      for await (const line of planImport(fileSource(path), known)) {
        lines.push(line);
        if (line.file === 'messages') tokens += counter.count(line.line);
      }
    rounds += 1;
  } while (rounds < MOST_ROUNDS && tokens < BUDGETS * BUDGET);
  return { lines, rounds };
}

async function measure(
  lines: readonly ImportLine[],
): Promise<{ readonly calls: readonly Call[]; readonly verified: number; readonly sizes: readonly Size[] }> {
  const directory = join(root, 'agent/a/session/s');
  mkdirSync(join(directory, 'context/pinned'), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp', BUDGET)) writeFileSync(join(directory, path), text);
  writeFileSync(join(directory, 'context/pinned/system.md'), PINNED);
  const journals = openSessionJournals(directory);
  const deriver = openSessionDeriver(directory, services);
  const store = new ArtifactStore(join(root, '.engine'), { reserveBytes: 0 });
  await store.open();
  const calls: Call[] = [];
  const sizes: Size[] = [];
  let verified = 0;
  for (const { file, line } of lines) {
    journals[file].write('b:1', Buffer.from(`${line}\n`));
    if (file !== 'messages') continue;
    const message = JSON.parse(line) as ChatMessage;
    sizes.push(await sizeOf(message));
    // A model is called when the last line is a user message or a tool result.
    if (message.role !== 'user' && message.role !== 'tool') continue;
    const revision = { messagesBytes: journals.messages.sizeBytes, eventsBytes: journals.events.sizeBytes };
    const read = async (name: 'prompt.json' | 'pack.json'): Promise<unknown> =>
      JSON.parse(readContent(await deriver.fetch(name, revision)).toString('utf8'));
    const prompt: Prompt = { messages: (await read('prompt.json')) as ChatMessage[], tools: [] };
    const { epoch } = (await read('pack.json')) as { epoch: { id: string } };
    const tokens = await tokenized(driver, prompt);
    const reused = Math.max(
      0,
      ...calls.map((call) => reusableTokens(tokens.length, commonPrefix(call.tokens, tokens), call.tokens.length, false)),
    );
    const call = { line: sizes.length - 1, epoch: epoch.id, tokens, evaluated: tokens.length - reused };
    if (tokens.length < SMALL_CONTEXT && verified === calls.length) {
      await verify(store, prompt, call);
      verified += 1;
    }
    calls.push(call);
  }
  await deriver.close();
  journals.close();
  return { calls, verified, sizes };
}

/** The real engine, with its real cache. */
async function verify(store: ArtifactStore, prompt: Prompt, { tokens, evaluated }: Call): Promise<void> {
  const signal = new AbortController().signal;
  const result = await compilePrompt(driver, store, { session: 's', prompt, packDigest: '', signal, onProgress: () => undefined });
  if (result.tokens === tokens.length && result.evaluatedTokens === evaluated) return;
  throw new Error(`the engine evaluated ${result.evaluatedTokens} of ${result.tokens} tokens, not ${evaluated} of ${tokens.length}`);
}

async function tokenized(from: EngineDriver, prompt: Prompt): Promise<Uint32Array> {
  const tokens = await from.tokenize(prompt, false);
  if (tokens === undefined) throw new Error('the driver has no tokenizer');
  return tokens;
}

function count(message: ChatMessage): Promise<Uint32Array> {
  return tokenized(driver, { messages: [message], tools: [] });
}

/** As the pack writes it, whole. */
async function sizeOf(message: ChatMessage): Promise<Size> {
  const view = viewMessage({ ...message });
  const { md } = renderLine({ line: 1, bytes: Buffer.from(''), view }, WHOLE, counter, undefined);
  return { budgetTokens: counter.count(md), tokens: (await count({ role: 'user', content: md })).length };
}

/** The line at which all of history no longer fits. */
function firstOverflow(all: readonly Size[]): number {
  let total = 0;
  for (const [n, { budgetTokens }] of all.entries()) if ((total += budgetTokens) > BUDGET) return n;
  return all.length;
}

/** The newest messages that fit, none more than half of the budget. */
function tailEvaluated(all: readonly Size[], pinned: number, called: ReadonlySet<number>): number {
  const sizes = all.map(({ budgetTokens, tokens }) => {
    const share = Math.min(1, BUDGET / 2 / budgetTokens);
    return { budgetTokens: budgetTokens * share, tokens: tokens * share };
  });
  const held = { budgetTokens: 0, tokens: pinned };
  let [first, lastFirst, last, evaluated] = [0, 0, pinned, 0];
  for (const [n, size] of sizes.entries()) {
    held.budgetTokens += size.budgetTokens;
    held.tokens += size.tokens;
    for (; held.budgetTokens > BUDGET && first < n; first += 1) {
      held.budgetTokens -= sizes[first]?.budgetTokens ?? 0;
      held.tokens -= sizes[first]?.tokens ?? 0;
    }
    if (!called.has(n)) continue;
    evaluated += first === lastFirst ? held.tokens - last : held.tokens - pinned;
    [lastFirst, last] = [first, held.tokens];
  }
  return evaluated;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
