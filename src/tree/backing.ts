// Paths below the store and stat(2) of them. Two kinds, never mixed: a text path (the store, homes, sessions: what `fs` takes),
// and a byte path (ordinary areas): a latin1 string of its raw bytes, so that any byte sequence the kernel allows survives.
import * as fs from 'node:fs';
import { fail } from './types.ts';
import type { Attr } from './types.ts';

// eslint-disable-next-line no-control-regex
const NON_ASCII = /[^\x00-\x7f]/;

/** The byte path of a text path: where an ordinary area begins. */
export function bytePath(text: string): string {
  return NON_ASCII.test(text) ? Buffer.from(text).toString('latin1') : text;
}

/** A byte path as `fs` wants it: a string when it is ASCII. Good for the calls that follow at once (see anchored). */
export function native(path: string): string | Buffer {
  const short = path.length < PATH_MAX ? path : anchored(path);
  return NON_ASCII.test(short) ? Buffer.from(short, 'latin1') : short;
}

/** With its NUL. */
const PATH_MAX = 4096;
const O_PATH = 0o10000000;
/** No operation names more paths than this at once. */
const MOST_ANCHORS = 8;
const anchors: number[] = [];

/** A path that is too long for a system call, from a descriptor of a directory on its way; the descriptors of the newest few stay open. */
function anchored(path: string): string {
  let short = path;
  for (let cut; short.length >= PATH_MAX && (cut = short.lastIndexOf('/', PATH_MAX - 1)) > 0;) {
    const flags = O_PATH | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW;
    const fd = fs.openSync(native(short.slice(0, cut)), flags);
    anchors.push(fd);
    if (anchors.length > MOST_ANCHORS) fs.closeSync(anchors.shift() as number);
    short = `/proc/self/fd/${fd}${short.slice(cut)}`;
  }
  return short;
}

/** The path as a UTF-8 string for calls that take no bytes; undefined when it is not UTF-8. */
export function nativeUtf8(path: string): string | undefined {
  if (!NON_ASCII.test(path)) return path;
  const text = Buffer.from(path, 'latin1').toString('utf8');
  return text.includes('\ufffd') ? undefined : text;
}

const BILLION = 1_000_000_000n;

/** Whole seconds (rounded down, also before 1970) and the nanoseconds above them. */
function split(ns: bigint): readonly [number, number] {
  const above = ns % BILLION;
  return above < 0n ? [Number(ns / BILLION) - 1, Number(above + BILLION)] : [Number(ns / BILLION), Number(above)];
}

export function toAttr(stat: fs.BigIntStats): Attr {
  const [atime, atimeNsec] = split(stat.atimeNs);
  const [mtime, mtimeNsec] = split(stat.mtimeNs);
  const [ctime, ctimeNsec] = split(stat.ctimeNs);
  return {
    ino: Number(stat.ino),
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    rdev: Number(stat.rdev),
    sizeBytes: Number(stat.size),
    blocks: Number(stat.blocks),
    atime,
    atimeNsec,
    mtime,
    mtimeNsec,
    ctime,
    ctimeNsec,
  };
}

/** lstat(2) of a text path, or undefined when there is no such name. */
export function lstat(path: string): fs.BigIntStats | undefined {
  return fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** lstat(2) of a byte path, or undefined when there is no such name. */
export function lstatBytes(path: string): fs.BigIntStats | undefined {
  return fs.lstatSync(native(path), { bigint: true, throwIfNoEntry: false });
}

/** A directory itself: a symbolic link in the store is never followed to one. */
export function isDirectory(path: string): boolean {
  return lstat(path)?.isDirectory() === true;
}

/** A directory that belongs here but is missing, as in a copy of the store that dropped empty ones. Owner and mode of its parent. */
export function restoreDirectory(path: string): void {
  if (lstat(path) !== undefined) return;
  const parent = fs.lstatSync(path.slice(0, path.lastIndexOf('/')));
  fs.mkdirSync(path, { mode: parent.mode & 0o777 });
  if (process.getuid?.() === 0) fs.lchownSync(path, parent.uid, parent.gid);
  fs.chmodSync(path, parent.mode & 0o777);
}

export function lstatOrFail(path: string): fs.BigIntStats {
  const stat = lstat(path);
  if (stat === undefined) throw fail('ENOENT', 'no such file');
  return stat;
}

/** Attributes of a file that exists only here. `atMs`: its times. */
export function syntheticAttr(ino: number, mode: number, sizeBytes: number, owner: { uid: number; gid: number }, atMs: number): Attr {
  const seconds = Math.floor(atMs / 1000);
  const nsec = Math.floor((atMs - seconds * 1000) * 1e6);
  return {
    ino,
    mode,
    nlink: (mode & 0o170000) === 0o040000 ? 2 : 1,
    uid: owner.uid,
    gid: owner.gid,
    rdev: 0,
    sizeBytes,
    blocks: Math.ceil(sizeBytes / 512),
    atime: seconds,
    atimeNsec: nsec,
    mtime: seconds,
    mtimeNsec: nsec,
    ctime: seconds,
    ctimeNsec: nsec,
  };
}

/** Inode numbers of nodes without a backing file: above every real one, exact in a double. */
let nextSynthetic = 2 ** 52;
export function syntheticIno(): number {
  return nextSynthetic++;
}
