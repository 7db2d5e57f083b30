// The three pack files of one epoch: they grow with it, and a reader of an earlier state keeps its bytes.
import type { Epoch } from '../context/pack-epoch.ts';
import type { Content } from '../derive/types.ts';
import { GrowingFile } from './output-files.ts';
import type { BlobFiles, EpochNames } from './output-files.ts';

export class EpochFiles {
  readonly #json: GrowingFile;
  readonly #md: GrowingFile;
  readonly #prompt: GrowingFile;
  readonly #prefix: string;
  readonly #names: EpochNames;
  readonly #blobs: BlobFiles;
  #items = 0;
  #messages = 0;
  /** Somebody may still read them. */
  #served = false;

  /** `head`: what pack.json begins with. */
  constructor(names: EpochNames, blobs: BlobFiles, head: string) {
    this.#names = names;
    this.#blobs = blobs;
    this.#prefix = names.take();
    this.#json = new GrowingFile(`${this.#prefix}.json`);
    this.#md = new GrowingFile(`${this.#prefix}.md`);
    this.#prompt = new GrowingFile(`${this.#prefix}.prompt`);
    this.#json.append(head);
  }

  /** False when someone deleted one of them. */
  get intact(): boolean {
    return this.#json.intact && this.#md.intact && this.#prompt.intact;
  }

  /** Writes what the epoch has got since. */
  take(epoch: Epoch): void {
    const fragment = epoch.text.take();
    for (const item of fragment.items) this.#json.append(this.#items++ === 0 ? `\n${item}` : `,\n${item}`);
    for (const md of fragment.md) this.#md.append(md);
    for (const message of fragment.prompt) this.#prompt.append(this.#messages++ === 0 ? `[\n${message}` : `,\n${message}`);
  }

  /** `trailer`: what pack.json ends with now. */
  content(name: 'pack.json' | 'pack.md' | 'prompt.json', trailer: () => string, modifiedMs: number): Content {
    this.#served = true;
    if (name === 'pack.md') return this.#md.content('', this.#blobs, modifiedMs);
    if (name === 'prompt.json') return this.#prompt.content(this.#messages === 0 ? '[]\n' : '\n]\n', this.#blobs, modifiedMs);
    return this.#json.content(trailer(), this.#blobs, modifiedMs);
  }

  close(): void {
    this.#json.close();
    this.#md.close();
    this.#prompt.close();
  }

  /** A fold that is begun again for every count that it waits for would push out the files that are read. */
  giveUp(): void {
    this.close();
    if (!this.#served) this.#names.giveBack(this.#prefix);
  }
}
