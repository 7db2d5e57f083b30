// All wikis of a store, each with its keeper from when it is first heard of.
import * as fs from 'node:fs';
import { CtxError } from '../src/abi/errors.ts';
import type { WikiText } from '../src/tree/wiki-client.ts';
import { plainError } from './deriver-messages.ts';
import type { ToldChange } from './deriver-messages.ts';
import { finishSession, gateText } from './wiki-gate.ts';
import { queueEvents } from './wiki-events.ts';
import { Nap } from './nap.ts';
import { begun, hasEntries, wikisOf } from './wiki-host.ts';
import { knownFile, WikiKeeper } from './wiki-keeper.ts';
import type { FromKeeper, KeeperData, ToKeeper } from './wiki-messages.ts';
import { WikiUpkeep } from './wiki-upkeep.ts';

export class WikiKeepers {
  readonly #data: KeeperData;
  readonly #send: (message: FromKeeper) => void;
  readonly #keepers: Map<string, WikiKeeper> = new Map();
  readonly #upkeep: WikiUpkeep;
  readonly #today: () => string;
  readonly #nap: Nap;

  constructor(data: KeeperData, send: (message: FromKeeper) => void) {
    this.#data = data;
    this.#nap = new Nap(data.nap);
    this.#send = send;
    this.#today = () => new Date().toISOString().slice(0, 10);
    this.#upkeep = new WikiUpkeep({
      mountpoint: data.mountpoint,
      keepers: () => this.#keepers,
      today: this.#today,
      log: (line) => this.#log(line),
    });
    for (const wiki of wikisOf(data.store)) {
      // A wiki that is empty and was never known has nothing to compare.
      if (!data.baseline && !hasEntries(`${data.store}/${wiki}`) && !fs.existsSync(knownFile(data.store, wiki))) continue;
      this.#open(wiki, data.baseline);
    }
    if (data.baseline) begun(data.store);
  }

  handle(message: ToKeeper): void {
    if (message.op !== 'changes') this.#nap.woken();
    switch (message.op) {
      case 'changes':
        return this.#changed(message.changes);
      case 'events':
        return this.#guarded(() => {
          const keeper = this.#keeper(message.wiki);
          if (keeper !== undefined) queueEvents(keeper, `${this.#data.store}/${message.session}`, message);
        });
      case 'request': {
        const { id } = message;
        this.#answer(message).then(
          (value) => this.#send({ op: 'answer', id, value }),
          (error: unknown) => {
            if (!(error instanceof CtxError)) this.#log((error as Error).stack ?? String(error));
            this.#send({ op: 'failed', id, error: plainError(error) });
          },
        );
        return;
      }
      case 'close':
        this.close();
        this.#send({ op: 'closed' });
    }
  }

  close(): void {
    this.#upkeep.close();
    for (const keeper of this.#keepers.values()) keeper.close();
  }

  /** Whether a wiki is still there is looked at once for what came together. */
  #changed(changes: readonly ToldChange[]): void {
    const keepers = new Map<string, WikiKeeper | undefined>();
    for (const { wiki, change } of changes) {
      if (!keepers.has(wiki)) keepers.set(wiki, this.#keeper(wiki));
      keepers.get(wiki)?.changed(change);
    }
    for (const [wiki, keeper] of keepers) if (keeper !== undefined) this.#upkeep.changed(wiki, keeper);
  }

  async #answer({ request, untilMs }: Extract<ToKeeper, { op: 'request' }>): Promise<WikiText | null> {
    if (request.kind === 'look') {
      const keeper = this.#keeper(request.wiki);
      if (keeper === undefined) throw new CtxError('wiki.gone', 'ENOENT', 'the wiki is gone', { where: request.wiki });
      return keeper.look(request.file);
    }
    const context = { store: this.#data.store, session: request.session, keeper: (wiki: string) => this.#keeper(wiki) };
    return request.kind === 'gate' ? gateText(context) : finishSession(context, request.bytes, untilMs);
  }

  #keeper(wiki: string): WikiKeeper | undefined {
    const known = this.#keepers.get(wiki);
    if (known !== undefined && fs.existsSync(known.root)) return known;
    if (known !== undefined) {
      this.#keepers.delete(wiki);
      known.close();
    }
    return this.#open(wiki, false);
  }

  #open(name: string, baseline: boolean): WikiKeeper | undefined {
    const { store, mountpoint } = this.#data;
    try {
      const keeper = new WikiKeeper({
        store,
        mountpoint,
        name,
        baseline,
        today: this.#today,
        log: (line) => this.#log(line),
        met: () => this.#nap.soon(),
      });
      this.#keepers.set(name, keeper);
      return keeper;
    } catch (error) {
      this.#log(`${name}: ${String(error)}`);
      return undefined;
    }
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log((error as Error).stack ?? String(error));
    }
  }

  #log(line: string): void {
    this.#send({ op: 'log', line });
  }
}
