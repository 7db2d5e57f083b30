// WIK-61: what an agent ingests is drafted by a model when whoever started the server named one; an agent never waits long for it.
import { rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

import { proposalPath, type Proposal } from '../../wiki/proposal.ts';
import type { FiledSource } from '../../wiki/ingest.ts';
import type { WikiDirectory } from '../../wiki/wiki-directory.ts';
import { placeInside } from '../../wiki/write.ts';
import type { Shell } from '../shell.ts';
import { draft, openDrafter } from './drafting.ts';
import { saveProposal } from './filing.ts';
import type { Material } from './material.ts';

/** Clients give a tool a minute. */
const ANSWER_MS = 40_000;
/** So many wait for the model; more are only filed and listed. */
const MOST_WAITING = 8;

export class Drafting {
  readonly #shell: Shell;
  readonly #model: string | undefined;
  readonly #stop = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** `model`: PROVIDER/NAME; undefined: the model of the mounted store. */
  constructor(shell: Shell, model: string | undefined) {
    this.#shell = shell;
    this.#model = model;
  }

  /** `listed`: the proposal without a model, which the drafted one takes the place of. What the agent is told. */
  async draft(place: WikiDirectory, material: Material, source: FiledSource, listed: Proposal): Promise<string> {
    if (this.#waiting >= MOST_WAITING) return `${this.#waiting} others are being drafted: its pages are listed only\n`;
    this.#waiting += 1;
    const work = this.#turn.then(() => this.#work(place, material, source, listed)).finally(() => (this.#waiting -= 1));
    this.#turn = work.catch(() => undefined);
    const late = new AbortController();
    try {
      return await Promise.race([
        work.catch((error: unknown) => `nothing was drafted: ${String(error)}\n`),
        setTimeout(ANSWER_MS, 'the model is still drafting; the proposal is replaced when it is done\n', { signal: late.signal }),
      ]);
    } finally {
      late.abort();
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#turn;
  }

  async #work(place: WikiDirectory, material: Material, source: FiledSource, listed: Proposal): Promise<string> {
    if (this.#stop.signal.aborted) return '';
    const drafter = await openDrafter(this.#shell, this.#model);
    try {
      const { proposal, dropped, notes } = await draft(this.#shell, place, drafter, material, source, this.#stop.signal);
      const said = [...dropped.map(({ what, reason }) => `dropped: ${what}: ${reason}\n`), ...notes.map((note) => `${note}\n`)].join('');
      if (proposal === undefined) return said;
      saveProposal(place, proposal);
      if (proposal.id !== listed.id) rmSync(placeInside(place.root, proposalPath(listed.id)), { force: true });
      return `${said}drafted: proposal ${proposal.id} takes the place of ${listed.id}: ${proposal.changes.map(({ path }) => path).join(', ')}\n`;
    } finally {
      await drafter.driver.close();
    }
  }
}
