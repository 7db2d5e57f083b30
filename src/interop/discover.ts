// The transcripts a person already has, newest first, for quickstart and `ctx import` without files.
import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
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
  /** What is a transcript, by its path below the directory. */
  readonly path: RegExp;
}

const PLACES: readonly Place[] = [
  // Beside a session's file: what its sub-agents said, also those of a workflow, whose journal.jsonl is no transcript.
  { format: 'claude-code', directory: '.claude/projects', depth: 5, path: /^(?!.*\/journal\.jsonl$).*\.jsonl$/ },
  { format: 'codex', directory: '.codex/sessions', depth: 3, path: /(?:^|\/)rollout-[^/]*\.jsonl$/ },
  { format: 'codex', directory: '.codex/archived_sessions', depth: 0, path: /^rollout-[^/]*\.jsonl$/ },
  // A sub-agent's file is named by its session, in a directory named by its parent's.
  { format: 'gemini', directory: '.gemini/tmp', depth: 3, path: /\/chats\/(?:session-[^/]*\.jsonl?|[^/]+\/[^/]+\.jsonl)$/ },
  { format: 'pi', directory: '.pi/agent/sessions', depth: 1, path: /\.jsonl$/ },
];

/** Whether discovery takes this file, when it is below a place of this home; undefined when it is below none. */
export function isOwnTranscript(home: string, path: string): boolean | undefined {
  const below = PLACES.filter((place) => path.startsWith(`${join(home, place.directory)}/`));
  return below.length === 0 ? undefined : below.some((place) => place.path.test(relative(join(home, place.directory), path)));
}

/** Looks only in the places where these programs keep sessions; unreadable directories are passed over. Empty files are left out. */
export async function discoverTranscripts(home: string): Promise<readonly Transcript[]> {
  const found: Transcript[] = [];
  for (const place of PLACES) await walk(home, join(home, place.directory), place.depth, place, found);
  return found.sort((a, b) => b.modifiedMs - a.modifiedMs || (a.path < b.path ? -1 : 1));
}

async function walk(home: string, directory: string, depth: number, place: Place, found: Transcript[]): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && depth > 0) await walk(home, path, depth - 1, place, found);
    else if (entry.isFile() && place.path.test(relative(join(home, place.directory), path))) {
      const facts = await stat(path).catch(() => undefined);
      if (facts !== undefined && facts.size > 0)
        found.push({ format: place.format, path, sizeBytes: facts.size, modifiedMs: facts.mtimeMs });
    }
  }
}
