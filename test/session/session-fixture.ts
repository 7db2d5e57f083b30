// A real session directory, written through the real journals, for tests of the deriver.
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { openSessionJournals } from '../../src/journal/index.ts';
import type { CommitNote, SessionJournals } from '../../src/journal/types.ts';
import { initialControls } from '../../src/session/controls.ts';
import { openSessionDeriver, readContent } from '../../src/session/session-deriver.ts';
import type { InspectableDeriver } from '../../src/session/session-deriver.ts';
import { defaultServices } from '../../src/session/services.ts';
import type { DeriverServices } from '../../src/session/services.ts';
import type { Revision } from '../../src/session/types.ts';

export const services: DeriverServices = defaultServices();

export class TestSession {
  readonly root: string;
  readonly directory: string;
  journals: SessionJournals;
  deriver: InspectableDeriver;
  clock: number = Date.now() - 1_000_000;
  /** Milliseconds that pass more than usual at each look at the clock. */
  hurry = 0;
  #notes: CommitNote[] = [];
  #stage = 0;

  /** `owner`: `home/1000` or `shared/acme`, below `root` as a store has them. */
  constructor(controls: Readonly<Record<string, string>> = {}, owner: string = '') {
    this.root = mkdtempSync(join(tmpdir(), 'ctx-deriver-'));
    this.directory = join(this.root, owner, 'agent/coder/session/default');
    mkdirSync(join(this.directory, 'context/pinned'), { recursive: true });
    mkdirSync(join(this.directory, 'context/child'), { recursive: true });
    for (const [path, text] of initialControls(this.clock, '/tmp')) writeFileSync(join(this.directory, path), text);
    for (const [path, text] of Object.entries(controls)) this.put(path, text);
    this.journals = this.#openJournals();
    this.deriver = this.open();
  }

  put(path: string, text: string): void {
    mkdirSync(dirname(join(this.directory, path)), { recursive: true });
    writeFileSync(join(this.directory, path), text);
  }

  remove(path: string): void {
    rmSync(join(this.directory, path), { recursive: true, force: true });
  }

  append(message: Record<string, unknown>): void {
    this.#write('messages', message);
  }

  event(event: Record<string, unknown>): void {
    this.#write('events', event);
  }

  /** Tells the deriver what was committed, as the server thread does. */
  notify(): void {
    this.deriver.committed(this.#notes.splice(0));
  }

  get revision(): Revision {
    return { messagesBytes: this.journals.messages.sizeBytes, eventsBytes: this.journals.events.sizeBytes };
  }

  async read(name: string): Promise<string> {
    this.notify();
    return readContent(await this.deriver.fetch(name, this.revision)).toString('utf8');
  }

  open(more: Partial<DeriverServices> = {}): InspectableDeriver {
    return openSessionDeriver(this.directory, { ...services, ...more, now: () => (this.clock += 1 + this.hurry) - 1 });
  }

  /** Closes and opens the deriver; with `scratch` everything derived is deleted in between. */
  async reopen(scratch = false): Promise<void> {
    this.notify();
    await this.deriver.close();
    if (scratch) this.remove('context/.cache');
    this.deriver = this.open();
  }

  /** What a power cut may take: journals lose their ends (offsets in bytes), the cache stays. Nothing is open afterwards until `open`. */
  async cut(ends: { readonly messages: number; readonly events: number; readonly order?: number }): Promise<void> {
    this.notify();
    await this.deriver.close();
    this.journals.close();
    truncateSync(join(this.directory, 'messages.jsonl'), ends.messages);
    truncateSync(join(this.directory, 'events.jsonl'), ends.events);
    if (ends.order !== undefined) truncateSync(join(this.directory, 'order.log'), ends.order);
    this.journals = this.#openJournals();
  }

  async end(): Promise<void> {
    await this.deriver.close();
    this.journals.close();
    rmSync(this.root, { recursive: true, force: true });
  }

  #openJournals(): SessionJournals {
    return openSessionJournals(this.directory, { now: () => this.clock++, onCommit: (note) => this.#notes.push(note) });
  }

  #write(file: 'messages' | 'events', record: Record<string, unknown>): void {
    const bytes = Buffer.from(`${JSON.stringify(record)}\n`);
    const taken = this.journals[file].write(`${this.#stage++}:1`, bytes);
    if (taken !== bytes.length) throw new Error(`short write ${taken} of ${bytes.length}`);
  }
}
