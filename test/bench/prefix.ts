// Share of a turn's prompt tokens that are a byte-stable prefix of the prompt before, over the calls after the first
// overflow. Prints JSON lines.
// Usage: node test/bench/run.mjs test/bench/prefix.ts FILE…   (transcripts of any format that ctx imports)
//
// Each file alone at 8, 16 and 32 thousand tokens, and all of them end to end as one long session at 32 thousand: a
// person who goes on in the same session. They are imported in order, and from the start again (`rounds`) until they
// hold four budgets. Compared: ours, and what is in prefix-peers.ts.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { viewMessage } from '../../src/abi/records.ts';
import { renderLine } from '../../src/context/pack-line.ts';
import { JournalImportState, fileSource, planImport } from '../../src/interop/index.ts';
import type { ImportLine } from '../../src/interop/types.ts';
import { openSessionJournals } from '../../src/journal/index.ts';
import { initialControls } from '../../src/session/controls.ts';
import { defaultServices, openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import { bestShare, firstOverflow, summarizeShare, tailShare, type Turns } from './prefix-peers.ts';

const BUDGETS = [8_000, 16_000, 32_000];
const JOINED_BUDGET = 32_000;
const JOINED_BUDGETS = 4;
const MOST_ROUNDS = 8;
const PINNED = 'You are a careful engineer. Follow the house rules.\n'.repeat(8);
const services = defaultServices();
const counter = services.counter('o200k_base');

interface Transcript {
  readonly name: string;
  readonly rounds: number;
  readonly lines: readonly ImportLine[];
}

const files = process.argv.slice(2).map((file) => resolve(file));
for (const file of files) {
  const lines = await imported([file]);
  for (const budget of BUDGETS) await report({ name: basename(file), rounds: 1, lines }, budget);
}
if (files.length > 1) {
  const lines: ImportLine[] = [];
  let rounds = 0;
  do {
    for (const line of await imported(files)) lines.push(line);
    rounds += 1;
  } while (rounds < MOST_ROUNDS && sum(turnsOf(lines, JOINED_BUDGET).tokens) < JOINED_BUDGETS * JOINED_BUDGET);
  await report({ name: files.map((file) => basename(file)).join(' + '), rounds, lines }, JOINED_BUDGET);
}
await services.close();

/** The lines that `ctx import` of these files, one after the other, appends. */
async function imported(paths: readonly string[]): Promise<ImportLine[]> {
  const known = new JournalImportState();
  const lines: ImportLine[] = [];
  for (const path of paths) {
    // What is planned is known from then on: a file that goes on from the one before adds what is new.
    for await (const line of planImport(fileSource(path), known)) lines.push(line);
  }
  return lines;
}

async function report(transcript: Transcript, budget: number): Promise<void> {
  const turns = turnsOf(transcript.lines, budget);
  const from = firstOverflow(turns);
  // A history that fits has no call after an overflow.
  if (!turns.calls.some((call, n) => call && n >= from)) return;
  const ours = await measureOurs(transcript.lines, turns, from);
  const bound = bestShare(turns, from);
  const row = {
    file: transcript.name,
    ...(transcript.rounds > 1 ? { rounds: transcript.rounds } : {}),
    messages: turns.tokens.length,
    tokens: sum(turns.tokens),
    budget,
    first_overflow_at: from,
    calls: turns.calls.filter((call, n) => call && n >= from).length,
    ours: round(ours.share),
    epochs: ours.epochs,
    bound: round(bound),
    ours_of_bound: round(ours.share / bound),
    mean_tokens: ours.meanTokens,
    tail_n: round(tailShare(turns, from)),
    summarize_at_threshold: round(summarizeShare(turns, from)),
  };
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

function turnsOf(lines: readonly ImportLine[], budget: number): Turns {
  const views = lines.filter(({ file }) => file === 'messages').map(({ line }) => viewMessage(JSON.parse(line) as Record<string, unknown>));
  const limits = { messageTokens: Infinity, outputTokens: Infinity };
  return {
    tokens: views.map((view) => counter.count(renderLine({ line: 1, bytes: Buffer.from(''), view }, limits, counter, undefined).md)),
    // A model is called when the last line is a user message or a tool result.
    calls: views.map(({ role }) => role === 'user' || role === 'tool'),
    pinned: counter.count(PINNED),
    budget,
  };
}

async function measureOurs(
  lines: readonly ImportLine[],
  { calls, budget }: Turns,
  from: number,
): Promise<{ readonly share: number; readonly epochs: number; readonly meanTokens: number }> {
  const root = mkdtempSync(join(tmpdir(), 'ctx-prefix-'));
  const directory = join(root, 'agent/a/session/s');
  mkdirSync(join(directory, 'context/pinned'), { recursive: true });
  for (const [path, text] of initialControls(Date.now(), '/tmp', budget)) writeFileSync(join(directory, path), text);
  writeFileSync(join(directory, 'context/pinned/system.md'), PINNED);
  const journals = openSessionJournals(directory);
  const deriver = openSessionDeriver(directory, services);
  const epochs = new Set<string>();
  let before = '';
  let message = -1;
  let stable = 0;
  let total = 0;
  let counted = 0;
  for (const { file, line } of lines) {
    journals[file].write('b:1', Buffer.from(`${line}\n`));
    if (file !== 'messages') continue;
    message += 1;
    if (calls[message] !== true) continue;
    const revision = { messagesBytes: journals.messages.sizeBytes, eventsBytes: journals.events.sizeBytes };
    const md = readContent(await deriver.fetch('pack.md', revision)).toString('utf8');
    const pack = JSON.parse(readContent(await deriver.fetch('pack.json', revision)).toString('utf8')) as {
      epoch: { id: string };
      tokens: number;
    };
    epochs.add(pack.epoch.id);
    if (message >= from) {
      stable += counter.count(commonItems(before, md));
      total += pack.tokens;
      counted += 1;
    }
    before = md;
  }
  await deriver.close();
  journals.close();
  rmSync(root, { recursive: true });
  return { epochs: epochs.size, share: stable / total, meanTokens: Math.round(total / counted) };
}

/** The common prefix of two texts, back to a line end. */
function commonItems(a: string, b: string): string {
  let at = 0;
  const most = Math.min(a.length, b.length);
  while (at < most && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
  return b.slice(0, b.lastIndexOf('\n', at - 1) + 1);
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
