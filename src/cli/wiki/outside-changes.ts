// WIK-55: the tripwire of a wiki that is not on the mount: what changed since the last hook looked goes into its queue.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { tryLockFile, type Lock } from '../../journal/flock.ts';
import { ChangeRecorder, type Writer } from '../../wiki/change-recorder.ts';
import { KnownPages } from '../../wiki/known-pages.ts';
import { queueState } from '../../wiki/lint-time.ts';
import { formatChange, QUEUE_PATH, type QueuedChange } from '../../wiki/queue.ts';
import { QueueFile } from '../../wiki/queue-file.ts';
import { SeenLog } from '../../wiki/seen-log.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { appendToFile, placeInside } from '../../wiki/write.ts';

const KNOWN_PATH = '.wiki/known.jsonl';
const LOCK_PATH = '.wiki/known.lock';
const IGNORE_PATH = '.wiki/.gitignore';
const LOCK_WAIT_MS = 10_000;
const LOCK_POLL_MS = 20;
const IGNORED_BEFORE = '.gitignore\nknown.jsonl\nknown.lock\n';
/** Of no use to a clone. */
const IGNORED = '.gitignore\nknown.jsonl\nknown.lock\nqueue-*\n';

/** Changes since the last look, by `writer` as far as anybody knows. The first look takes the pages as they are. */
export async function recordOutside(place: WikiDirectory, writer: Writer | undefined, day: string): Promise<void> {
  const { root } = place;
  // On the mount the filesystem itself records.
  if (existsSync(join(root, '.ctx/status'))) return;
  const [known, lockFile, ignore] = [KNOWN_PATH, LOCK_PATH, IGNORE_PATH].map((path) => placeInside(root, path));
  if (known === undefined || lockFile === undefined || ignore === undefined) return;
  mkdirSync(join(root, '.wiki'), { recursive: true });
  const lock = await locked(lockFile);
  // Somebody has looked at the same pages for long: they are recorded there.
  if (lock === undefined) return;
  place.refresh();
  const queue = new QueueFile(root, join(root, '.wiki/queue-'));
  try {
    if (!existsSync(ignore)) writeFileSync(ignore, IGNORED);
    else if (readFileSync(ignore, 'utf8') === IGNORED_BEFORE) writeFileSync(ignore, IGNORED);
    const pages = KnownPages.open(known);
    const log = new SeenLog(pages.logSeen());
    const curated = new Map(place.index.curated().map(({ path, facts }) => [path, facts.digest]));
    const recorder = new ChangeRecorder({
      known: pages,
      queue,
      isRecorded: (path) => curated.has(path) || pages.get(path) !== undefined,
      digest: (path) => curated.get(path),
      logged: (atMs, path) => log.had(atMs, path),
      now: Date.now,
      newId,
    });
    recorder.reconcile(curated.keys(), pages.isNew, writer);
    // After the pages: an entry that is new tells of them.
    for (const { path } of place.index.special('log')) {
      if (log.see(place.text(path) ?? '', Date.now())) pages.seeLog(log.days());
    }
    recorder.flush();
    const { done } = queueState(place.lintInput({ today: day }));
    if (done.size > 0) recorder.done([...done]);
    queue.compact();
  } finally {
    queue.close();
    lock.release();
  }
}

/** WIK-70: pages that the log owes an entry, before git forgets that they changed. Entries that are there tell of none of them. */
export function queueGaps(place: WikiDirectory, paths: readonly string[], writer: Omit<QueuedChange, 'id' | 'time' | 'path' | 'op'>): void {
  const log = new SeenLog();
  const nowMs = Date.now();
  log.see(
    place.index
      .special('log')
      .map(({ path }) => place.text(path) ?? '')
      .join('\n'),
    nowMs,
  );
  const lines = paths.map((path) =>
    formatChange({ id: newId(), time: new Date(nowMs).toISOString(), path, op: 'write', ...writer, logged: log.had(nowMs, path) }),
  );
  if (lines.length > 0) appendToFile(place.root, QUEUE_PATH, lines.join(''));
}

function newId(): string {
  return `${Date.now().toString(36)}-${randomBytes(5).toString('hex')}`;
}

async function locked(path: string): Promise<Lock | undefined> {
  for (const endMs = Date.now() + LOCK_WAIT_MS; ; await setTimeout(LOCK_POLL_MS)) {
    const lock = tryLockFile(path, 'exclusive');
    if (lock !== undefined || Date.now() >= endMs) return lock;
  }
}
