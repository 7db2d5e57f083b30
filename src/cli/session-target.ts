// Where imported lines go: a session on the mount, made when it is not there, and its journals opened for appending.
import { mkdir, open, readFile, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { isObjectName } from '../abi/names.ts';
import type { Batch, Format, SourceDescription } from '../interop/index.ts';
import { asCtxError } from './errors.ts';
import type { Mounted } from './mounted.ts';
import { parseReference } from './reference.ts';

export interface SessionTarget {
  /** As people write it: AGENT/SESSION. */
  readonly reference: string;
  /** Path below the mount. */
  readonly path: string;
  readonly directory: string;
  readonly created: boolean;
}

/** The session, made with its skeleton when missing; a new one takes the directory that the conversation worked in. */
export async function openTarget(mounted: Mounted, reference: string, about: SourceDescription): Promise<SessionTarget> {
  const { path } = parseReference(reference, mounted);
  const directory = join(mounted.root, path);
  const found = await stat(directory).catch(() => undefined);
  if (found !== undefined) return { reference, path, directory, created: false };
  await mkdir(dirname(directory), { recursive: true });
  await mkdir(directory).catch((error: unknown) => {
    throw asCtxError(error, reference);
  });
  // Both only describe; a value that the session refuses is no reason to refuse the history.
  if (about.facts.cwd !== undefined) await writeFile(join(directory, 'cwd'), `${about.facts.cwd}\n`).catch(() => undefined);
  await describeClient(directory, about.format);
  return { reference, path, directory, created: true };
}

async function describeClient(directory: string, format: Format): Promise<void> {
  const path = join(directory, 'meta.json');
  try {
    const meta = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    await writeFile(path, `${JSON.stringify({ ...meta, client: format })}\n`);
  } catch {
    // As above.
  }
}

/** AGENT/SESSION for a conversation: its format and its own id, or its file's name. */
export function defaultReference(about: SourceDescription, path: string): string {
  const file = (path.split('/').at(-1) ?? '').replace(/\.(jsonl|json|traj|txt|md|log)$/i, '');
  const name = (about.facts.session ?? file)
    .replace(/[^a-zA-Z0-9._+-]+/g, '-')
    .replace(/^[^a-zA-Z0-9]+/, '')
    .slice(0, 60);
  return `${about.format}/${isObjectName(name) ? name : 'import'}`;
}

/** The two journals of a session, appended to in whole lines. */
export class JournalAppender {
  readonly #messages: FileHandle;
  readonly #events: FileHandle;

  private constructor(messages: FileHandle, events: FileHandle) {
    this.#messages = messages;
    this.#events = events;
  }

  static async open(directory: string): Promise<JournalAppender> {
    const opened = await Promise.all(['messages.jsonl', 'events.jsonl'].map((name) => open(join(directory, name), 'a'))).catch(
      (error: unknown) => {
        throw asCtxError(error, directory);
      },
    );
    return new JournalAppender(opened[0] as FileHandle, opened[1] as FileHandle);
  }

  /** A short count means that a line was refused; writing on at that line gets its errno. */
  async append(batch: Pick<Batch, 'file' | 'bytes'>): Promise<void> {
    const file = batch.file === 'messages' ? this.#messages : this.#events;
    for (let done = 0; done < batch.bytes.length;) {
      const { bytesWritten } = await file.write(batch.bytes, done).catch((error: unknown) => {
        throw asCtxError(error, `${batch.file}.jsonl`);
      });
      done += bytesWritten;
    }
  }

  async sync(): Promise<void> {
    await this.#messages.sync();
    await this.#events.sync();
  }

  async close(): Promise<void> {
    await Promise.all([this.#messages.close(), this.#events.close()]);
  }
}
