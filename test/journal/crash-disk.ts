// A disk that records what reaches the page cache and what was fsynced, and can show what power loss would leave:
// unsynced pages kept or zero one by one, unsynced sizes cut anywhere, unsynced names of each directory in any prefix.
import * as fs from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Disk } from '../../src/journal/disk.ts';

type Op =
  | { readonly op: 'create' | 'link'; readonly path: string; readonly file: number }
  | { readonly op: 'write'; readonly file: number; readonly at: number; readonly bytes: Buffer }
  | { readonly op: 'truncate'; readonly file: number; readonly size: number }
  | { readonly op: 'sync'; readonly file: number }
  | { readonly op: 'rename'; readonly from: string; readonly path: string }
  | { readonly op: 'unlink'; readonly path: string }
  | { readonly op: 'sync-directory'; readonly path: string };

export interface Trace {
  readonly disk: Disk;
  readonly length: number;
  /** Builds in `target` what may be left of the recorded directory after the first `count` operations. */
  materialize(count: number, target: string, random: () => number): void;
}

const PAGE = 4096;

/** Records what happens below `root`, which exists and is empty. */
export function recordTrace(root: string): Trace {
  const ops: Op[] = [];
  const files = new Map<number, number>();
  const open = new Map<number, { file: number } | { directory: string }>();
  let next = 1;
  const inside = (path: fs.PathLike): string => relative(root, String(path)) || '.';
  const fileOf = (inode: number): number => {
    let file = files.get(inode);
    if (file === undefined) files.set(inode, (file = next++));
    return file;
  };
  const disk: Disk = {
    ...fs,
    openSync(path: fs.PathLike, flags: fs.OpenMode = 'r', mode?: fs.Mode | null): number {
      const existed = fs.existsSync(path);
      const fd = fs.openSync(path, flags, mode);
      const stat = fs.fstatSync(fd);
      if (stat.isDirectory()) {
        open.set(fd, { directory: inside(path) });
        return fd;
      }
      if (!existed) files.delete(stat.ino);
      const file = fileOf(stat.ino);
      if (!existed) ops.push({ op: 'create', path: inside(path), file });
      else if (flags === 'w') ops.push({ op: 'truncate', file, size: 0 });
      open.set(fd, { file });
      return fd;
    },
    closeSync(fd: number): void {
      open.delete(fd);
      fs.closeSync(fd);
    },
    writeSync: ((fd: number, bytes: Buffer, offset: number, length: number, position?: number | null): number => {
      const at = position ?? fs.fstatSync(fd).size;
      const wrote = fs.writeSync(fd, bytes, offset, length, position);
      ops.push({
        op: 'write',
        file: (open.get(fd) as { file: number }).file,
        at,
        bytes: Buffer.from(bytes.subarray(offset, offset + wrote)),
      });
      return wrote;
    }) as typeof fs.writeSync,
    ftruncateSync(fd: number, size?: number | null): void {
      fs.ftruncateSync(fd, size ?? 0);
      ops.push({ op: 'truncate', file: (open.get(fd) as { file: number }).file, size: size ?? 0 });
    },
    fsyncSync(fd: number): void {
      const what = open.get(fd) as { file: number } | { directory: string };
      ops.push('file' in what ? { op: 'sync', file: what.file } : { op: 'sync-directory', path: what.directory });
    },
    fdatasyncSync(fd: number): void {
      ops.push({ op: 'sync', file: (open.get(fd) as { file: number }).file });
    },
    renameSync(from: fs.PathLike, path: fs.PathLike): void {
      fs.renameSync(from, path);
      ops.push({ op: 'rename', from: inside(from), path: inside(path) });
    },
    linkSync(from: fs.PathLike, path: fs.PathLike): void {
      fs.linkSync(from, path);
      ops.push({ op: 'link', path: inside(path), file: fileOf(fs.statSync(path).ino) });
    },
    unlinkSync(path: fs.PathLike): void {
      fs.unlinkSync(path);
      ops.push({ op: 'unlink', path: inside(path) });
    },
  };
  return {
    disk,
    get length() {
      return ops.length;
    },
    materialize: (count, target, random) => materialize(ops.slice(0, count), target, random),
  };
}

function materialize(ops: readonly Op[], target: string, random: () => number): void {
  const names = survivingNames(ops, random);
  const made = new Map<number, string>();
  for (const [path, file] of names) {
    const full = join(target, path);
    fs.mkdirSync(dirname(full), { recursive: true });
    const first = made.get(file);
    if (first !== undefined) {
      fs.linkSync(first, full);
      continue;
    }
    made.set(file, full);
    fs.writeFileSync(full, survivingBytes(ops, file, random));
  }
}

/** Per directory: everything before its last fsync, then any prefix of what came after. */
function survivingNames(ops: readonly Op[], random: () => number): Map<string, number> {
  const named = ops.filter((op) => 'path' in op);
  const kept = new Map<string, number>();
  for (const directory of new Set(named.map((op) => (op.op === 'sync-directory' ? op.path : dirname(op.path))))) {
    const own = named.filter((op) => (op.op === 'sync-directory' ? op.path : dirname(op.path)) === directory);
    const synced = own.findLastIndex((op) => op.op === 'sync-directory') + 1;
    kept.set(directory, synced + Math.floor(random() * (own.length - synced + 1)));
  }
  const names = new Map<string, number>();
  const seen = new Map<string, number>();
  for (const op of named) {
    const directory = op.op === 'sync-directory' ? op.path : dirname(op.path);
    const number = seen.get(directory) ?? 0;
    seen.set(directory, number + 1);
    if (number >= (kept.get(directory) as number)) continue;
    if (op.op === 'create' || op.op === 'link') names.set(op.path, op.file);
    else if (op.op === 'unlink') names.delete(op.path);
    else if (op.op === 'rename') {
      const file = names.get(op.from);
      if (file === undefined) throw new Error(`rename of unknown ${basename(op.from)}`);
      names.delete(op.from);
      names.set(op.path, file);
    }
  }
  return names;
}

function survivingBytes(ops: readonly Op[], file: number, random: () => number): Buffer {
  let cache: Buffer = Buffer.alloc(0);
  let disk: Buffer = Buffer.alloc(0);
  /** Sizes the file had since its last fsync. */
  let sizes: number[] = [0];
  for (const op of ops) {
    if (!('file' in op) || op.file !== file) continue;
    if (op.op === 'write') {
      const grown = Buffer.alloc(Math.max(cache.length, op.at + op.bytes.length));
      cache.copy(grown);
      op.bytes.copy(grown, op.at);
      cache = grown;
      sizes.push(cache.length);
    } else if (op.op === 'truncate') {
      cache = Buffer.concat([cache.subarray(0, op.size), Buffer.alloc(Math.max(0, op.size - cache.length))]);
      sizes.push(cache.length);
    } else if (op.op === 'sync') {
      disk = Buffer.from(cache);
      sizes = [cache.length];
    }
  }
  const size = sizes[Math.floor(random() * sizes.length)] as number;
  const left = Buffer.alloc(size);
  disk.copy(left, 0, 0, Math.min(size, disk.length));
  for (let page = 0; page < size; page += PAGE) {
    if (random() < 0.5) cache.copy(left, page, page, Math.min(page + PAGE, size, cache.length));
  }
  return left;
}
