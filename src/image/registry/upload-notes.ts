// Where interrupted uploads can go on, one small file each below the XDG state directory: a push in another process resumes them.
// A hint, never truth: what a registry makes of it is checked by the blob's digest at the end.
import * as fs from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { hexOfDigest, ociDigest, parseBounded, record, type OciDigest } from '../oci.ts';

export interface UploadNote {
  /** Holds a secret of the upload: the files are their owner's alone. */
  readonly location: string;
  /** Bytes that the registry has acknowledged. */
  readonly offset: number;
}

const MAX_BYTES = 64 * 1024;
const MAX_AGE_MS = 7 * 24 * 3_600_000;

export function uploadNotesDirectory(environment: NodeJS.ProcessEnv): string {
  const state = environment['XDG_STATE_HOME'] ?? '';
  const home = environment['HOME'] ?? '';
  return join(state.startsWith('/') ? state : join(home === '' ? homedir() : home, '.local/state'), 'ctxfs/uploads');
}

export class UploadNotes {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(place: string, digest: OciDigest): Promise<UploadNote | undefined> {
    const path = this.#path(place, digest);
    try {
      const { location, offset } = record(parseBounded(await fs.readFile(path), path, MAX_BYTES), path);
      const whole = typeof location === 'string' && typeof offset === 'number' && Number.isSafeInteger(offset) && offset > 0;
      return whole ? { location, offset } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Failing to note it costs a later resumption only. */
  async write(place: string, digest: OciDigest, note: UploadNote): Promise<void> {
    const path = this.#path(place, digest);
    try {
      await fs.mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await fs.writeFile(`${path}.${process.pid}`, JSON.stringify(note), { mode: 0o600 });
      await fs.rename(`${path}.${process.pid}`, path);
    } catch {
      await fs.rm(`${path}.${process.pid}`, { force: true }).catch(() => undefined);
    }
  }

  async remove(place: string, digest: OciDigest): Promise<void> {
    await fs.rm(this.#path(place, digest), { force: true }).catch(() => undefined);
  }

  /** Registries forget uploads after about a week. */
  async removeOld(nowMs: number = Date.now()): Promise<void> {
    for (const name of await fs.readdir(this.#directory).catch(() => [])) {
      const path = join(this.#directory, name);
      const stat = await fs.stat(path).catch(() => undefined);
      if (stat !== undefined && nowMs - stat.mtimeMs > MAX_AGE_MS) await fs.rm(path, { force: true }).catch(() => undefined);
    }
  }

  #path(place: string, digest: OciDigest): string {
    return join(this.#directory, `${hexOfDigest(ociDigest(`${place}@${digest}`))}.json`);
  }
}
