// What the daemon does for a wiki by itself: the lint that is due, and commits where the owner asked for them.
import * as fs from 'node:fs';
import { CONFIG_PATH } from '../src/wiki/config.ts';
import { stampHeartbeat } from '../src/wiki/fix.ts';
import { daysBetween, heartbeatOf, queueState } from '../src/wiki/lint-time.ts';
import { formatDone } from '../src/wiki/queue.ts';
import { QueueFile } from '../src/wiki/queue-file.ts';
import { replaceFile } from '../src/wiki/write.ts';
import { commitWiki } from './wiki-commit.ts';
import type { WikiKeeper } from './wiki-keeper.ts';

export interface WikiUpkeepOptions {
  readonly mountpoint: string;
  readonly keepers: () => ReadonlyMap<string, WikiKeeper>;
  readonly today: () => string;
  readonly log: (line: string) => void;
}

/** How often it is looked whether a lint is due, and how long after the start first. */
const CHECK_MS = Number(process.env['CTX_WIKI_CHECK_MS'] ?? 3_600_000);
const FIRST_MS = Math.min(60_000, CHECK_MS);
const UNSETTLED_MS = 2000;
const TRIES = 6;
/** A commit waits until nothing has changed for so long. */
const QUIET_MS = Number(process.env['CTX_WIKI_QUIET_MS'] ?? 30_000);

export class WikiUpkeep {
  readonly #options: WikiUpkeepOptions;
  readonly #commits: Map<string, NodeJS.Timeout> = new Map();
  #timer: NodeJS.Timeout;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: WikiUpkeepOptions) {
    this.#options = options;
    this.#timer = setTimeout(() => this.#check(), FIRST_MS);
  }

  changed(name: string, keeper: WikiKeeper): void {
    if (keeper.config().commit === 'auto') this.#commitSoon(name, keeper, QUIET_MS, TRIES);
  }

  /** Somebody may be at work with git: it is tried again, ever later. */
  #commitSoon(name: string, keeper: WikiKeeper, delayMs: number, tries: number): void {
    if (this.#closed) return;
    clearTimeout(this.#commits.get(name));
    const commit = async (): Promise<void> => {
      try {
        await commitWiki(keeper, `${this.#options.mountpoint}/${name}`);
      } catch (error) {
        if (tries > 1 && !this.#commits.has(name)) this.#commitSoon(name, keeper, delayMs * 2, tries - 1);
        throw error;
      }
    };
    const timer = setTimeout(() => {
      this.#commits.delete(name);
      this.#next(name, commit);
    }, delayMs);
    this.#commits.set(name, timer);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const timer of this.#commits.values()) clearTimeout(timer);
  }

  #check(): void {
    for (const [name, keeper] of this.#options.keepers()) this.#next(name, () => lintWhenDue(keeper, this.#options.today()));
    this.#turn = this.#turn.then(() => {
      if (!this.#closed) this.#timer = setTimeout(() => this.#check(), CHECK_MS);
    });
  }

  /** One after the other: a store of many wikis is no burst of work. */
  #next(name: string, work: () => Promise<void>): void {
    this.#turn = this.#turn.then(async () => {
      if (this.#closed) return;
      await work().catch((error: unknown) => this.#options.log(`${name}: ${String(error)}`));
    });
  }
}

/** WIK-50: only this and `--fix` stamp. What the log tells leaves the queue on the way. */
async function lintWhenDue(keeper: WikiKeeper, today: string): Promise<void> {
  keeper.flush();
  // Somebody may be at writing it: empty for a moment, it would say nothing of when a lint is due.
  const config = fs.lstatSync(`${keeper.root}/${CONFIG_PATH}`, { throwIfNoEntry: false });
  if (config !== undefined && Date.now() - config.ctimeMs < UNSETTLED_MS) return;
  const index = keeper.config().index.find((name) => fs.existsSync(`${keeper.root}/${name}`));
  if (index === undefined) return;
  const last = heartbeatOf(keeper.text(index) ?? '');
  if (last !== undefined && daysBetween(last, today) < keeper.config().lintDays) return;
  const report = keeper.report();
  if (report instanceof Error) return;
  const wiki = keeper.directory();
  if (last !== undefined && daysBetween(last, today) < wiki.config.lintDays) return;
  const page = wiki.index.get(index);
  const before = wiki.text(index);
  if (page === undefined || before === undefined) return;
  const { done } = queueState(wiki.lintInput({ today }));
  const time = new Date().toISOString();
  if (done.size > 0) new QueueFile(keeper.root).append([...done].map((id) => formatDone(id, time)).join(''));
  replaceFile(keeper.root, index, stampHeartbeat(before, today), page.facts.digest);
}
