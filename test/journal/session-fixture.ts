// A session directory of its own for each test, and small ways to look into it.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { nodeDisk, type Disk } from '../../src/journal/disk.ts';
import { openSessionJournals, type CommitNote, type JournalOptions, type SessionJournals } from '../../src/journal/index.ts';

export function temporaryDirectory(): string {
  const directory = fs.mkdtempSync(join(tmpdir(), 'ctx-journal-'));
  onTestFinished(() => fs.rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The real disk without the wait of fsync, where a test does not ask what power loss leaves. */
export const unsyncedDisk: Disk = { ...nodeDisk, fsyncSync: () => undefined, fdatasyncSync: () => undefined };

export interface Opened {
  readonly directory: string;
  readonly notes: CommitNote[];
  readonly journals: SessionJournals;
  text(file?: 'messages.jsonl' | 'events.jsonl'): string;
  events(): Record<string, unknown>[];
  close(): void;
}

export function openFixture(directory: string = temporaryDirectory(), options: JournalOptions = {}): Opened {
  const notes: CommitNote[] = [];
  const journals = openSessionJournals(directory, { copyTailBytes: 0, onCommit: (note) => notes.push(note), ...options });
  let open = true;
  const close = (): void => {
    if (open) journals.close();
    open = false;
  };
  onTestFinished(close);
  const text = (file: 'messages.jsonl' | 'events.jsonl' = 'messages.jsonl'): string => {
    const journal = file === 'messages.jsonl' ? journals.messages : journals.events;
    const into = Buffer.alloc(journal.sizeBytes + 10);
    return into.subarray(0, journal.read(0, into)).toString('utf8');
  };
  return {
    directory,
    notes,
    journals,
    text,
    close,
    events: () =>
      text('events.jsonl')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

export function user(content: string): string {
  return `${JSON.stringify({ role: 'user', content })}\n`;
}

/** The errno that a call throws, or what it returned. */
export function outcome(call: () => unknown): unknown {
  try {
    return call();
  } catch (error) {
    return (error as { errno?: unknown }).errno ?? error;
  }
}
