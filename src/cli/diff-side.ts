// What `ctx diff` compares: an image as its store has it, or a session as the mount shows it.
import { constants, type Dirent } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { CONTEXT_CONTROLS } from '../abi/session-files.ts';
import type { DiffSide, SourceFile } from '../image/diff.ts';
import { readLayerFile } from '../image/file-part.ts';
import { journalOfImage } from '../image/journal-side.ts';
import { joinFiles } from '../image/layers.ts';
import { ociDigest } from '../image/oci.ts';
import type { JournalSide } from '../image/transcript-diff.ts';
import { initialControls } from '../session/controls.ts';
import { policyWith } from './image-memory.ts';
import type { NamedImage } from './image-named.ts';

const POLICY = 'context/policy.yaml';
const MAX_FILE_BYTES = 256 * 1024 * 1024;

export function imageSide({ store, image, key }: Pick<NamedImage, 'store' | 'image' | 'key'>): DiffSide {
  const { layers } = image.config;
  const files = [...joinFiles(layers)].map(([path, file]): [string, SourceFile] => [
    path,
    { size: file.size, digest: file.digest, read: () => readLayerFile(store, layers, file) },
  ]);
  return {
    name: key,
    config: image.config,
    files: new Map(files),
    messages: journalOfImage(store, image.config, 'messages'),
    events: journalOfImage(store, image.config, 'events'),
  };
}

export async function sessionSide(name: string, directory: string): Promise<DiffSide> {
  const files = new Map<string, SourceFile>();
  for (const control of CONTEXT_CONTROLS) {
    const path = `context/${control}`;
    files.set(path, fileOf(await readFile(join(directory, path))));
  }
  const walk = async (area: string): Promise<void> => {
    const entries: Dirent[] = await readdir(join(directory, area), { withFileTypes: true });
    for (const entry of entries) {
      const path = `${area}/${entry.name}`;
      if (entry.isDirectory()) await walk(path);
      const bytes = entry.isFile() ? await readRegular(join(directory, path)) : undefined;
      if (bytes !== undefined) files.set(path, fileOf(bytes));
    }
  };
  for (const area of ['context/pinned', 'context/child']) await walk(area);
  return {
    name,
    config: undefined,
    files,
    messages: await journalOfSession(join(directory, 'messages.jsonl')),
    events: await journalOfSession(join(directory, 'events.jsonl')),
  };
}

/** An image as an instance of it begins: its policy has the image's bindings (IMG-91). */
export async function asBegun(side: DiffSide): Promise<DiffSide> {
  if (side.config === undefined) return side;
  const own = await side.files.get(POLICY)?.read();
  const policy = policyWith(own, side.config.mounts.memory);
  return policy === undefined ? side : { ...side, files: new Map(side.files).set(POLICY, fileOf(policy)) };
}

/** A control file as every new session has it, which an image need not hold. */
export function isInitial(path: string, { digest }: Pick<SourceFile, 'digest'>): boolean {
  const initial = initialControls(0, '/').get(path);
  return initial !== undefined && ociDigest(initial) === digest;
}

function fileOf(bytes: Buffer): SourceFile {
  return { size: bytes.length, digest: ociDigest(bytes), read: () => Promise.resolve(bytes) };
}

/** What is no regular file, or too large for an image, is none of it. */
async function readRegular(path: string): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
  try {
    const found = await file?.stat();
    return found?.isFile() === true && found.size <= MAX_FILE_BYTES ? await file?.readFile() : undefined;
  } finally {
    await file?.close();
  }
}

/** As long as it is now: what is appended meanwhile is not compared. */
async function journalOfSession(path: string): Promise<JournalSide> {
  const { size } = await stat(path);
  return {
    bytes: size,
    lines: undefined,
    stretches: [],
    async read(offset, bytes) {
      const file = await open(path, 'r');
      try {
        const piece = Buffer.allocUnsafe(Math.max(0, Math.min(bytes, size - offset)));
        const { bytesRead } = await file.read(piece, 0, piece.length, offset);
        return piece.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    },
  };
}
