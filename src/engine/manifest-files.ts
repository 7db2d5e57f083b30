// The last manifest of each session that says how a compile ended, kept between runs in `.engine/manifests/`.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sessionFileName } from './artifact-refs.ts';
import { formatManifest, parseManifest } from './manifest.ts';
import type { Manifest } from './manifest.ts';

export class ManifestFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** A lost or damaged one is none: the next read of the pack finds the artifact again. */
  read(session: string): Manifest | undefined {
    try {
      return parseManifest(readFileSync(this.#path(session), 'utf8'));
    } catch {
      return undefined;
    }
  }

  /** Nothing depends on it: a full disk costs the memory of this compile, not the compile. */
  write(session: string, manifest: Manifest): void {
    const path = this.#path(session);
    const temporary = `${path}.new`;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      writeFileSync(temporary, formatManifest(manifest), { mode: 0o600 });
      renameSync(temporary, path);
    } catch {
      // What was half written is written over next time.
    }
  }

  forget(session: string): void {
    rmSync(this.#path(session), { force: true });
  }

  #path(session: string): string {
    return join(this.#directory, `${sessionFileName('', session)}.json`);
  }
}
