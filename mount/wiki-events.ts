// Deploys, debugging, corrections and decisions that a session records: the log of its wiki is to tell of them.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { parseSessionRelativePath } from '../src/abi/names.ts';
import { JournalTail } from '../src/session/journal-tail.ts';
import { aboutEvent } from '../src/wiki/event-words.ts';
import { sessionName } from './wiki-doer.ts';
import type { WikiKeeper } from './wiki-keeper.ts';
import type { ToKeeper } from './wiki-messages.ts';

const WHAT: Readonly<Record<string, string>> = {
  deploy: 'deploy',
  debugging: 'debugging',
  correction: 'correction',
  decision: 'decision',
  'context.decision': 'decision',
};
const ANY = /"type"\s*:\s*"(?:deploy|debugging|correction|decision|context\.decision)"/;
/** Events that lie further back are not looked for: a queue of thousands helps nobody. */
const MAX_BYTES = 16 << 20;

/** WIK-49: looks at what came since the last time; of a session that is new here, at the lines that were just committed. */
export function queueEvents(keeper: WikiKeeper, directory: string, told: Extract<ToKeeper, { op: 'events' }>): void {
  const { session } = told;
  const { known, recorder } = keeper;
  const tail = new JournalTail(directory, 'events.jsonl');
  const seen = known.eventsSeen(session);
  const least = seen ?? 0;
  let lines = 0;
  const found: { readonly line: string; readonly endBytes: number }[] = [];
  // With the newline before the first of them, which shows that it is whole.
  for (const each of tail.linesBackwards(Math.min(MAX_BYTES, tail.sizeBytes - least + 1))) {
    if (each.endBytes > told.endBytes) continue;
    if (each.endBytes <= least || (seen === undefined && lines >= told.lines)) break;
    lines += 1;
    if (ANY.test(each.line)) found.push(each);
  }
  const path = parseSessionRelativePath(session);
  const uid = path !== undefined && 'home' in path.owner ? path.owner.home : keeper.ownerUid();
  const name = sessionName(session, uid);
  // Whoever may read the wiki may not be told of a session that only some may read.
  const open = (fs.lstatSync(keeper.root).mode & 0o044 & ~fs.lstatSync(directory).mode) === 0;
  for (const { line, endBytes } of found.toReversed()) {
    const event = parse(line);
    const what = WHAT[String(event?.['type'])];
    if (event === undefined || what === undefined) continue;
    const time = typeof event['time'] === 'string' && !Number.isNaN(Date.parse(event['time'])) ? event['time'] : new Date().toISOString();
    const id = createHash('sha256').update(`${session}\0${endBytes}`).digest('hex').slice(0, 16);
    const about = open ? aboutEvent(event) : undefined;
    const said = {
      id: `event-${id}`,
      time,
      path: `${name}/events.jsonl`,
      what,
      ...(about === undefined ? {} : { about }),
      session: name,
      uid,
    };
    recorder.event(said, told.timeMs);
  }
  known.seeEvents(session, Math.max(least, told.endBytes));
  keeper.flushSoon();
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}
