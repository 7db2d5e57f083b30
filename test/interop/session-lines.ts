// A session's two journals as arrays, filled by the real importer.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exportOriginal, JournalImportState, planImport, bytesSource } from '../../src/interop/index.ts';
import type { ImportOptions } from '../../src/interop/index.ts';

export const FIXTURES: string = fileURLToPath(new URL('../fixtures/transcripts/', import.meta.url));

/** Fixture file, the name it would have in real life, and the format detection must find. */
export const CASES = [
  [
    'claude-code.jsonl',
    '/home/dana/.claude/projects/-home-dana-src-parcel/5b1f3a52-6c1e-4f7e-9d5c-0a6e0c5f2b11.jsonl',
    'claude-code',
    'lines',
  ],
  ['rollout-codex.jsonl', '/r/rollout-2026-03-03T10-00-00-0199a213-81c0-7800-8aa1-bbab2a035a53.jsonl', 'codex', 'lines'],
  ['rollout-codex-flat.jsonl', '/r/rollout-2025-07-01.jsonl', 'codex', 'lines'],
  ['session-gemini.json', '/g/session-2026.json', 'gemini', 'document'],
  ['session-gemini.jsonl', '/g/session-2026.jsonl', 'gemini', 'lines'],
  ['openai-array.json', '/o/chat.json', 'openai', 'document'],
  ['openai-lines.jsonl', '/o/chat.jsonl', 'openai', 'lines'],
  ['openai-request.json', '/o/request.json', 'openai', 'document'],
  ['finetune.jsonl', '/o/finetune.jsonl', 'openai', 'document'],
  ['tau-bench.json', '/o/results.json', 'openai', 'document'],
  ['marshmallow.traj', '/s/marshmallow.traj', 'swe-agent', 'document'],
  ['pi.jsonl', '/p/session.jsonl', 'pi', 'lines'],
  ['sharegpt.json', '/h/share.json', 'sharegpt', 'document'],
  ['atif.json', '/a/trajectory.json', 'atif', 'document'],
  ['dialogue.txt', '/t/dialogue.txt', 'text', 'text'],
  ['notes.txt', '/t/notes.txt', 'text', 'text'],
  ['latin1.txt', '/t/latin1.txt', 'text', 'text'],
] as const;

export function fixture(name: string): Buffer {
  return readFileSync(FIXTURES + name);
}

export class SessionLines {
  readonly messages: string[] = [];
  readonly events: string[] = [];
  state: JournalImportState = new JournalImportState();

  /** Imports, and returns how many lines were new. */
  async import(path: string, bytes: Uint8Array, options: ImportOptions = {}): Promise<number> {
    let count = 0;
    for await (const planned of planImport(bytesSource(path, bytes), this.state, options)) {
      this[planned.file].push(planned.line);
      count++;
    }
    return count;
  }

  /** As after a restart: what is known is read back from the journals. */
  forget(): void {
    this.state = new JournalImportState();
    for (const line of [...this.messages, ...this.events]) this.state.observe(line);
  }

  async original(source?: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    for await (const part of exportOriginal(
      () => this.messages,
      () => this.events,
      source,
    ))
      parts.push(part);
    return Buffer.concat(parts);
  }

  /** Journal lines without the marks, which say how often was imported. */
  get records(): { messages: readonly string[]; events: readonly string[] } {
    return { messages: this.messages, events: this.events.filter((line) => !line.startsWith('{"type":"import.source"')) };
  }
}

export async function imported(name: string, path: string, options: ImportOptions = {}): Promise<SessionLines> {
  const session = new SessionLines();
  await session.import(path, fixture(name), options);
  return session;
}

export function parsed(lines: readonly string[]): Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
