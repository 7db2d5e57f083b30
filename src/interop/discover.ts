// The transcripts a person already has, newest first, for quickstart and `ctx import` without files.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Format } from './types.ts';

export interface Transcript {
  readonly format: Format;
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

interface Place {
  readonly format: Format;
  readonly directory: string;
  readonly depth: number;
  readonly name: RegExp;
}

const PLACES: readonly Place[] = [
  { format: 'claude-code', directory: '.claude/projects', depth: 3, name: /\.jsonl$/ },
  { format: 'codex', directory: '.codex/sessions', depth: 3, name: /^rollout-.*\.jsonl$/ },
  { format: 'codex', directory: '.codex/archived_sessions', depth: 0, name: /^rollout-.*\.jsonl$/ },
  { format: 'gemini', directory: '.gemini/tmp', depth: 2, name: /^session-.*\.jsonl?$/ },
  { format: 'pi', directory: '.pi/agent/sessions', depth: 1, name: /\.jsonl$/ },
];

/** Looks only in the places where these programs keep sessions; unreadable directories are passed over. Empty files are left out. */
export async function discoverTranscripts(home: string): Promise<readonly Transcript[]> {
  const found: Transcript[] = [];
  for (const place of PLACES) await walk(join(home, place.directory), place.depth, place, found);
  return found.sort((a, b) => b.modifiedMs - a.modifiedMs || (a.path < b.path ? -1 : 1));
}

async function walk(directory: string, depth: number, place: Place, found: Transcript[]): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && depth > 0) await walk(path, depth - 1, place, found);
    else if (entry.isFile() && place.name.test(entry.name)) {
      const facts = await stat(path).catch(() => undefined);
      if (facts !== undefined && facts.size > 0)
        found.push({ format: place.format, path, sizeBytes: facts.size, modifiedMs: facts.mtimeMs });
    }
  }
}
