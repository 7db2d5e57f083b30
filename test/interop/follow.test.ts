import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { discoverTranscripts, isOwnTranscript, exportOriginal, fileLines, follow, JournalImportState } from '../../src/interop/index.ts';
import { fixture } from './session-lines.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ctx-follow-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const user = (text: string): string => `{"role":"user","content":"${text}"}\n`;

class Followed {
  readonly messages: string[] = [];
  readonly events: string[] = [];
  readonly errors: unknown[] = [];
  /** Whose lines the sink was given. */
  readonly paths: string[] = [];
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #changed: () => void = () => undefined;

  constructor(paths: readonly string[], state: JournalImportState = new JournalImportState()) {
    this.#done = follow(
      paths,
      async (path, lines) => {
        this.paths.push(path);
        for (const { file, line } of lines) this[file].push(line);
        this.#changed();
        await Promise.resolve();
      },
      this.#stop.signal,
      {
        stateOf: () => state,
        onError: (_path, error) => {
          this.errors.push(error);
          this.#changed();
        },
        onReady: () => this.#changed(),
      },
    );
  }

  get said(): string[] {
    return this.messages.map((line) => String((JSON.parse(line) as { content: unknown }).content));
  }

  /** Resolves at the delivery that makes it true; the test's time limit bounds the wait. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

test('what is appended arrives once, and a line only when it is whole', async () => {
  const path = join(directory, 'chat.jsonl');
  writeFileSync(path, user('one') + '{"role":"user","con');
  const followed = new Followed([path]);
  await followed.until(() => followed.said.length === 1);
  appendFileSync(path, 'tent":"two"}\n' + user('three').slice(0, 9));
  await followed.until(() => followed.said.length === 2);
  appendFileSync(path, user('three').slice(9));
  await followed.until(() => followed.said.length === 3);
  await followed.stop();
  expect(followed.said).toEqual(['one', 'two', 'three']);
  const original: Buffer[] = [];
  for await (const part of exportOriginal(
    () => followed.messages,
    () => followed.events,
  ))
    original.push(part);
  expect(Buffer.concat(original).toString()).toBe(user('one') + user('two') + user('three'));
});

test('a later follow goes on where the earlier one ended', async () => {
  const path = join(directory, 'chat.jsonl');
  writeFileSync(path, user('one'));
  const first = new Followed([path]);
  await first.until(() => first.said.length === 1);
  await first.stop();
  appendFileSync(path, user('two'));
  const state = new JournalImportState();
  for (const line of [...first.messages, ...first.events]) state.observe(line);
  const second = new Followed([path], state);
  await second.until(() => second.said.length === 1);
  await second.stop();
  expect(second.said).toEqual(['two']);
});

test('a truncated file and a replaced file are read again, and only what is new is said', async () => {
  const path = join(directory, 'chat.jsonl');
  writeFileSync(path, user('one') + user('two'));
  const followed = new Followed([path]);
  await followed.until(() => followed.said.length === 2);
  truncateSync(path, user('one').length);
  appendFileSync(path, user('2'));
  await followed.until(() => followed.said.length === 3);
  const next = join(directory, 'chat.next');
  writeFileSync(next, user('one') + user('2') + user('three') + user('four'));
  renameSync(next, path);
  await followed.until(() => followed.said.length === 5);
  await followed.stop();
  expect(followed.said).toEqual(['one', 'two', '2', 'three', 'four']);
});

test('a renamed file without a conversation id stays the same source: nothing is imported again', async () => {
  const path = join(directory, 'chat.jsonl');
  const later = join(directory, 'chat-old.jsonl');
  writeFileSync(path, user('one') + user('two'));
  const followed = new Followed([directory]);
  await followed.until(() => followed.said.length === 2);
  renameSync(path, later);
  appendFileSync(later, user('three'));
  await followed.until(() => followed.said.length === 3);
  // A new file takes the old name: what it says is new, whatever its name.
  writeFileSync(path, user('fresh'));
  await followed.until(() => followed.said.includes('fresh'));
  appendFileSync(later, user('four'));
  await followed.until(() => followed.said.includes('four'));
  await followed.stop();
  expect([...followed.said].sort()).toEqual(['four', 'fresh', 'one', 'three', 'two']);
  expect(new Set(followed.paths)).toEqual(new Set([path]));
});

test('another file that begins alike is no renamed one', async () => {
  const path = join(directory, 'chat.jsonl');
  writeFileSync(path, user('one') + user('two'));
  const followed = new Followed([directory]);
  await followed.until(() => followed.said.length === 2);
  writeFileSync(join(directory, 'copy.jsonl'), user('one') + user('two'));
  await followed.until(() => followed.said.length === 4);
  await followed.stop();
  expect(new Set(followed.paths)).toEqual(new Set([path, join(directory, 'copy.jsonl')]));
});

test('a followed directory takes in files made later, in directories made later', async () => {
  const followed = new Followed([directory]);
  mkdirSync(join(directory, 'sub'));
  writeFileSync(join(directory, 'sub', 'late.jsonl'), user('late'));
  writeFileSync(join(directory, 'sub', 'other.bin'), user('not a transcript'));
  await followed.until(() => followed.said.length === 1);
  await followed.stop();
  expect(followed.said).toEqual(['late']);
});

test('a document is taken again at each whole rewrite; a torn one waits', async () => {
  const path = join(directory, 'chat.json');
  const chat = JSON.parse(fixture('openai-array.json').toString()) as unknown[];
  writeFileSync(path, JSON.stringify(chat.slice(0, 2)));
  const followed = new Followed([path]);
  await followed.until(() => followed.said.length === 2);
  writeFileSync(path, JSON.stringify(chat.slice(0, 6)).slice(0, -9));
  await followed.until(() => followed.errors.length > 0 || followed.said.length > 2);
  writeFileSync(path, JSON.stringify(chat.slice(0, 6)));
  await followed.until(() => followed.said.length === 6);
  await followed.stop();
  expect(followed.said).toHaveLength(6);
});

test('a Claude Code file is not read before it says whose it is', async () => {
  const path = join(directory, 'named-otherwise.jsonl');
  const lines = fixture('claude-code.jsonl').toString().split('\n');
  writeFileSync(path, `${lines[1] ?? ''}\n`);
  const followed = new Followed([path]);
  appendFileSync(path, lines.slice(2).join('\n'));
  await followed.until(() => followed.said.length === 11);
  await followed.stop();
  expect(
    new Set(
      followed.events
        .map((line) => JSON.parse(line) as { source?: string; origin?: { source: string } })
        .map((event) => event.source ?? event.origin?.source),
    ),
  ).toEqual(new Set(['claude-code:5b1f3a52-6c1e-4f7e-9d5c-0a6e0c5f2b11']));
});

test("discovery finds each program's sessions, newest first, and nothing else", async () => {
  const put = (path: string, seconds: number): void => {
    const whole = join(directory, path);
    mkdirSync(join(whole, '..'), { recursive: true });
    writeFileSync(whole, '{}\n');
    utimesSync(whole, seconds, seconds);
  };
  put('.claude/projects/-src/a.jsonl', 1000);
  put('.claude/projects/-src/notes.md', 1000);
  put('.codex/sessions/2026/03/03/rollout-x.jsonl', 3000);
  put('.codex/sessions/2026/03/03/other.jsonl', 3000);
  put('.gemini/tmp/hash/chats/session-1.json', 2000);
  put('.gemini/tmp/hash/logs.json', 2000);
  put('.gemini/tmp/hash/chats/parent/child.jsonl', 1900);
  put('.claude/projects/-src/a/subagents/agent-1.jsonl', 900);
  put('.claude/projects/-src/a/subagents/agent-1.meta.json', 900);
  put('.claude/projects/-src/a/subagents/workflows/w1/agent-2.jsonl', 800);
  put('.claude/projects/-src/a/subagents/workflows/w1/journal.jsonl', 800);
  put('.pi/agent/sessions/--src--/1_b.jsonl', 4000);
  const found = await discoverTranscripts(directory);
  expect(found.map((item) => item.path.slice(directory.length + 1))).toEqual([
    '.pi/agent/sessions/--src--/1_b.jsonl',
    '.codex/sessions/2026/03/03/rollout-x.jsonl',
    '.gemini/tmp/hash/chats/session-1.json',
    '.gemini/tmp/hash/chats/parent/child.jsonl',
    '.claude/projects/-src/a.jsonl',
    '.claude/projects/-src/a/subagents/agent-1.jsonl',
    '.claude/projects/-src/a/subagents/workflows/w1/agent-2.jsonl',
  ]);
  // Who follows these places takes the same files.
  for (const { path } of found) expect(isOwnTranscript(directory, path), path).toBe(true);
  expect(isOwnTranscript(directory, join(directory, '.gemini/tmp/hash/logs.json'))).toBe(false);
  expect(isOwnTranscript(directory, join(directory, 'elsewhere/logs.json'))).toBeUndefined();
});

test('lines of a file, whatever the chunks', async () => {
  const path = join(directory, 'lines');
  const long = 'ß'.repeat(300_000);
  writeFileSync(path, `a\n\n${long}\nlast`);
  const lines: string[] = [];
  for await (const line of fileLines(path)) lines.push(line);
  expect(lines).toEqual(['a', '', long, 'last']);
});
