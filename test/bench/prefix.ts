// Share of a turn's prompt tokens that are a byte-stable prefix of the prompt before, over real transcripts. Prints JSON.
// Usage: node <built>/test/bench/prefix.js FILE.jsonl… (messages.jsonl lines, or Claude Code transcripts)
//
// Compared: ours; tail:N (the newest messages that fit the budget); summarize at threshold (at the budget, everything but
// the last fifth becomes a summary of 1/16 of the budget).
// Bound: no packer with a low-water mark of half the budget can cut oftener than (budget - half) of new tokens apart, nor
// keep more at a cut than what never changes. It is computed for each transcript by the best schedule: between cuts
// everything is stable, at a cut the pinned part alone, cuts as rare as the low-water mark allows.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { viewMessage } from '../../src/abi/records.ts';
import { renderLine } from '../../src/context/pack-line.ts';
import { initialControls } from '../../src/session/controls.ts';
import { openSessionJournals } from '../../src/journal/index.ts';
import { defaultServices, openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';

const BUDGET = Number(process.env['BENCH_BUDGET'] ?? 32_000);
const PINNED = 'You are a careful engineer. Follow the house rules.\n'.repeat(8);
const services = defaultServices();
const counter = services.counter('o200k_base');

for (const file of process.argv.slice(2)) {
  const messages = readMessages(file);
  const ours = await measureOurs(messages);
  const lines = messages.map(
    (message) =>
      renderLine(
        { line: 1, bytes: Buffer.from(''), view: viewMessage(message) },
        { messageTokens: Infinity, outputTokens: Infinity },
        counter,
        undefined,
      ).md,
  );
  const tokens = lines.map((text) => counter.count(text));
  const pinned = counter.count(PINNED);
  const from = firstOverflow(tokens, pinned);
  const bound = bestShare(tokens, pinned, from, messages);
  console.log(
    JSON.stringify({
      file: basename(file),
      messages: messages.length,
      tokens: tokens.reduce((a, b) => a + b, 0),
      budget: BUDGET,
      first_overflow_at: from,
      ours: round(ours.share(from)),
      epochs: ours.epochs,
      bound: round(bound),
      ours_of_bound: round(ours.share(from) / bound),
      tail_n: round(tailShare(tokens, pinned, from, messages)),
      summarize_at_threshold: round(summarizeShare(tokens, pinned, from, messages)),
    }),
  );
}
await services.close();

/** A model is called when the last line is a user message or a tool result. */
function isCall(message: Record<string, unknown>): boolean {
  return message['role'] === 'user' || message['role'] === 'tool';
}

async function measureOurs(messages: readonly Record<string, unknown>[]): Promise<{ share: (from: number) => number; epochs: number }> {
  const root = mkdtempSync(join(tmpdir(), 'ctx-prefix-'));
  const directory = join(root, 'agent/a/session/s');
  mkdirSync(join(directory, 'context/pinned'), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp', BUDGET)) writeFileSync(join(directory, path), text);
  writeFileSync(join(directory, 'context/pinned/system.md'), PINNED);
  const journals = openSessionJournals(directory);
  const deriver = openSessionDeriver(directory, services);
  const turns: { readonly line: number; readonly stable: number; readonly total: number }[] = [];
  let before = '';
  const epochs = new Set<string>();
  for (const [n, message] of messages.entries()) {
    journals.messages.write('b:1', Buffer.from(`${JSON.stringify(message)}\n`));
    if (!isCall(message)) continue;
    const revision = { messagesBytes: journals.messages.sizeBytes, eventsBytes: journals.events.sizeBytes };
    const md = readContent(await deriver.fetch('pack.md', revision)).toString('utf8');
    const pack = JSON.parse(readContent(await deriver.fetch('pack.json', revision)).toString('utf8')) as {
      epoch: { id: string };
      tokens: number;
    };
    epochs.add(pack.epoch.id);
    turns.push({ line: n, stable: counter.count(commonItems(before, md)), total: pack.tokens });
    before = md;
  }
  await deriver.close();
  journals.close();
  rmSync(root, { recursive: true });
  return {
    epochs: epochs.size,
    share: (from) => {
      const counted = turns.filter((turn) => turn.line >= from);
      return counted.reduce((sum, turn) => sum + turn.stable, 0) / counted.reduce((sum, turn) => sum + turn.total, 0);
    },
  };
}

/** The common prefix of two texts, back to a line end. */
function commonItems(a: string, b: string): string {
  let at = 0;
  const most = Math.min(a.length, b.length);
  while (at < most && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
  return b.slice(0, b.lastIndexOf('\n', at - 1) + 1);
}

/** First line at which all of history no longer fits. */
function firstOverflow(tokens: readonly number[], pinned: number): number {
  let total = pinned;
  for (const [n, count] of tokens.entries()) {
    total += count;
    if (total > BUDGET) return n;
  }
  return tokens.length;
}

/** Between cuts all is stable; at a cut the pinned part alone; after a cut exactly half the budget remains, never less. */
function bestShare(tokens: readonly number[], pinned: number, from: number, messages: readonly Record<string, unknown>[]): number {
  let total = pinned;
  let last = 0;
  let stable = 0;
  let all = 0;
  for (const [n, count] of tokens.entries()) {
    const size = Math.min(count, BUDGET / 2 - pinned);
    total += size;
    let kept = last;
    if (total > BUDGET) {
      total = Math.max(BUDGET / 2, size + pinned);
      kept = pinned;
    }
    if (!isCall(messages[n] as Record<string, unknown>)) {
      last = Math.min(last, kept);
      continue;
    }
    if (n >= from) {
      stable += Math.min(kept, total);
      all += total;
    }
    last = total;
  }
  return stable / all;
}

/** Newest messages that fit: once history overflows the first kept message changes at nearly every turn. */
function tailShare(tokens: readonly number[], pinned: number, from: number, messages: readonly Record<string, unknown>[]): number {
  let first = 0;
  let total = pinned;
  let lastFirst = 0;
  let last = 0;
  let stable = 0;
  let all = 0;
  for (const [n, count] of tokens.entries()) {
    total += Math.min(count, BUDGET / 2);
    while (total > BUDGET && first < n) total -= Math.min(tokens[first++] as number, BUDGET / 2);
    if (!isCall(messages[n] as Record<string, unknown>)) continue;
    if (n >= from) {
      stable += first === lastFirst ? last : pinned;
      all += total;
    }
    lastFirst = first;
    last = total;
  }
  return stable / all;
}

function summarizeShare(tokens: readonly number[], pinned: number, from: number, messages: readonly Record<string, unknown>[]): number {
  let total = pinned;
  let last = 0;
  let cut = false;
  let stable = 0;
  let all = 0;
  for (const [n, count] of tokens.entries()) {
    total += Math.min(count, BUDGET / 2);
    if (total > BUDGET) {
      total = pinned + BUDGET / 16 + BUDGET / 5;
      cut = true;
    }
    if (!isCall(messages[n] as Record<string, unknown>)) continue;
    if (n >= from) {
      stable += cut ? pinned : last;
      all += total;
    }
    cut = false;
    last = total;
  }
  return stable / all;
}

function readMessages(file: string): Record<string, unknown>[] {
  const messages: Record<string, unknown>[] = [];
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    if (line.trim() === '') continue;
    const value = JSON.parse(line) as Record<string, unknown>;
    const inner = value['message'] as Record<string, unknown> | undefined;
    const message = typeof value['role'] === 'string' ? value : inner;
    if (message !== undefined && typeof message['role'] === 'string') messages.push(message);
  }
  return messages;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
