// The one header that tars of images have: a regular file, mode 0444, time 0, owner 0.
import { loadTarStream } from '../abi/packages.ts';

export const TAR_BLOCK = 512;
export const TAR_END: Buffer = Buffer.alloc(2 * TAR_BLOCK);

/** The header of one file: ustar, with a pax path where the name is long or not ASCII. */
export async function tarHeader(path: string, size: number): Promise<Buffer> {
  const tar = loadTarStream().pack();
  tar.entry({ name: path, size, mode: 0o444, mtime: new Date(0), uid: 0, gid: 0, type: 'file' }).on('error', () => undefined);
  await new Promise<void>((resolve) => tar.once('readable', () => resolve()));
  const parts: Buffer[] = [];
  for (let part = tar.read() as Buffer | null; part !== null; part = tar.read() as Buffer | null) parts.push(part);
  tar.on('error', () => undefined).destroy();
  return Buffer.concat(parts);
}
