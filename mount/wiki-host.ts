// Who keeps the wikis, seen from the main thread: a thread of its own, started when there is a wiki to keep.
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { CtxError } from '../src/abi/errors.ts';
import { parseSessionRelativePath } from '../src/abi/names.ts';
import type { CommitNote } from '../src/journal/types.ts';
import type { ReplyTicket } from '../src/tree/types.ts';
import type { ToWiki } from './deriver-messages.ts';
import { revive } from './deriver-messages.ts';
import { settle } from './replies.ts';
import type { Replies } from './replies.ts';
import { sessionOf } from './wiki-doer.ts';
import { Nap } from './nap.ts';
import type { FromKeeper, KeeperData, ToKeeper } from './wiki-messages.ts';

export interface WikiHostOptions extends Replies {
  readonly store: string;
  readonly mountpoint: string;
  readonly rebuildWaitMs: number;
  readonly log: (line: string) => void;
}

/** Vaults of 200,000 pages are read in less; what needs more ends its thread, not the daemon. */
const HEAP_MB = 1024;
/** Whether there is a wiki is looked at again so much later. */
const LOOK_AGAIN_MS = 1000;
const CLOSE_MS = 5000;
/** A thread that ended is not started again at once. */
const REST_MS = 5000;
const MARK = '.wiki/begun';

const ENDED = (): CtxError =>
  new CtxError('wiki.ended', 'EIO', 'the wiki could not be read', { next: 'see the daemon log, then read again' });

export class WikiHost {
  readonly #options: WikiHostOptions;
  readonly #waiting: Map<number, { readonly ticket: ReplyTicket | undefined; readonly timer: NodeJS.Timeout }> = new Map();
  readonly #wikis: Map<string, { readonly is: boolean; readonly untilMs: number }> = new Map();
  readonly #baseline: boolean;
  #worker: Worker | undefined;
  #nap: Nap = new Nap();
  #closed: (() => void) | undefined;
  #notBeforeMs = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: WikiHostOptions) {
    this.#options = options;
    const { store } = options;
    this.#baseline = !fs.existsSync(`${store}/${MARK}`);
    // What was changed while no daemon ran is found at the start, not when somebody looks.
    if (wikisOf(store).some((wiki) => hasEntries(`${store}/${wiki}`))) this.#keeper();
    else if (this.#baseline) begun(store);
  }

  handle(message: ToWiki): void {
    if (message.op === 'wiki-change') return this.#changed(message);
    if (message.op === 'wiki-changes') {
      const { changes } = message;
      this.#turn = this.#turn.then(() => this.#post({ op: 'changes', changes }));
      return;
    }
    const { id, request, ticket } = message;
    const { rebuildWaitMs } = this.#options;
    const late = (): void =>
      this.#fail(id, new CtxError('wiki.timeout', 'ETIMEDOUT', 'the wiki is still being read', { next: 'read it again' }));
    this.#waiting.set(id, { ticket, timer: setTimeout(late, rebuildWaitMs) });
    // After the changes that came before it.
    this.#turn = this.#turn.then(() => this.#post({ op: 'request', id, request, untilMs: Date.now() + rebuildWaitMs }));
  }

  /** In their order; each with what its maker works for, who is kept for as long as it takes to find out. */
  #changed({ wiki, change, id, ticket }: Extract<ToWiki, { op: 'wiki-change' }>): void {
    const by = change.kind === 'other' ? undefined : change.by;
    const session = by === undefined ? null : (by.session ?? (by.session === null ? null : sessionOf(by, this.#options.mountpoint)));
    if (id !== undefined) void Promise.resolve(session).then((found) => settle(this.#options, id, ticket, undefined, found, false));
    this.#turn = this.#turn.then(async () => {
      const found = await session;
      const told = change.kind === 'other' || by === undefined ? change : { ...change, by: { ...by, session: found } };
      this.#post({ op: 'changes', changes: [{ wiki, change: told }] });
    });
  }

  /** Events of a session went into its order log. */
  committed(directory: string, notes: readonly CommitNote[]): void {
    const events = notes.filter(({ file }) => file === 'events.jsonl');
    const session = directory.slice(this.#options.store.length + 1);
    const path = events.length === 0 ? undefined : parseSessionRelativePath(session);
    if (path === undefined) return;
    const wiki = `${'home' in path.owner ? `home/${path.owner.home}` : `shared/${path.owner.shared}`}/wiki`;
    if (!this.#isWiki(wiki)) return;
    const endBytes = Math.max(...events.map((note) => note.endBytes));
    const timeMs = Math.min(...events.map((note) => note.timeMs));
    this.#post({ op: 'events', wiki, session, endBytes, lines: events.reduce((sum, note) => sum + note.lines, 0), timeMs });
  }

  async close(): Promise<void> {
    await this.#turn;
    const worker = this.#worker;
    for (const id of this.#waiting.keys()) this.#fail(id, new CtxError('wiki.closed', 'EINTR', 'the mount is being taken away'));
    if (worker === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#closed = resolve;
      this.#nap.wake();
      worker.postMessage({ op: 'close' } satisfies ToKeeper);
      timer = setTimeout(resolve, CLOSE_MS);
    });
    clearTimeout(timer);
    this.#worker = undefined;
    await worker.terminate();
  }

  #post(message: ToKeeper): void {
    if (Date.now() >= this.#notBeforeMs) {
      const keeper = this.#keeper();
      if (message.op !== 'changes') this.#nap.wake();
      keeper.postMessage(message);
    }
    // What is not told now is found when the next one starts.
    else if (message.op === 'request') this.#fail(message.id, ENDED());
  }

  #keeper(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const { store, mountpoint, log } = this.#options;
    const nap = new Nap();
    this.#nap = nap;
    const baseline = this.#baseline && !fs.existsSync(`${store}/${MARK}`);
    const workerData: KeeperData = { store, mountpoint, baseline, nap: nap.shared };
    const worker = new Worker(fileURLToPath(new URL('./wiki-worker.js', import.meta.url)), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    this.#worker = worker;
    worker.on('message', (message: FromKeeper) => this.#answered(message));
    worker.on('error', (error) => log(`wikis: ${(error as Error).stack ?? String(error)}`));
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      // The next message starts another one, which finds by itself what this one had not written.
      this.#worker = undefined;
      this.#notBeforeMs = Date.now() + REST_MS;
      this.#closed?.();
      for (const id of this.#waiting.keys()) this.#fail(id, ENDED());
    });
    return worker;
  }

  #answered(message: FromKeeper): void {
    switch (message.op) {
      case 'log':
        return this.#options.log(message.line);
      case 'closed':
        return this.#closed?.();
      case 'failed':
        return this.#fail(message.id, revive(message.error));
      case 'answer':
        return this.#settle(message.id, undefined, message.value);
    }
  }

  #fail(id: number, error: CtxError): void {
    this.#settle(id, error, undefined);
  }

  #settle(id: number, error: unknown, value: unknown): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    settle(this.#options, id, waiting.ticket, error, value, true);
  }

  #isWiki(wiki: string): boolean {
    const known = this.#wikis.get(wiki);
    const nowMs = Date.now();
    if (known !== undefined && nowMs < known.untilMs) return known.is;
    const is = ['INDEX.md', 'index.md', '.wiki/config.yaml'].some((name) => fs.existsSync(`${this.#options.store}/${wiki}/${name}`));
    this.#wikis.set(wiki, { is, untilMs: nowMs + LOOK_AGAIN_MS });
    return is;
  }
}

/** `home/<uid>/wiki` and `shared/<name>/wiki` that are directories. */
export function wikisOf(store: string): readonly string[] {
  const found: string[] = [];
  for (const place of ['home', 'shared']) {
    const names = fs.existsSync(`${store}/${place}`) ? fs.readdirSync(`${store}/${place}`) : [];
    for (const name of names) {
      const wiki = `${place}/${name}/wiki`;
      if (!name.startsWith('.') && fs.lstatSync(`${store}/${wiki}`, { throwIfNoEntry: false })?.isDirectory() === true) found.push(wiki);
    }
  }
  return found;
}

export function hasEntries(directory: string): boolean {
  return fs.readdirSync(directory).length > 0;
}

/** From now on a wiki that nothing is known of is a new one. */
export function begun(store: string): void {
  fs.mkdirSync(`${store}/.wiki`, { recursive: true, mode: 0o700 });
  fs.writeFileSync(`${store}/${MARK}`, '');
}
