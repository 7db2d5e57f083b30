// `image.link` and `image.start` of the control channel: a session's sealed history becomes blobs of the caller's image layout,
// and a session is made whose history is such blobs. By link: nothing of the history is read or copied (IMG-31).
import * as fs from 'node:fs';
import type { ControlRequest, ImageLinkReply, ImageStartReply, ImageStartRequest, SealReply } from '../abi/control.ts';
import { CtxError } from '../abi/errors.ts';
import type { ForeignState } from '../engine/adopt.ts';
import { adoptHistory } from '../journal/index.ts';
import { loadInput, readInputs } from '../journal/inputs.ts';
import { OrderPages } from '../journal/order-pages.ts';
import type { RawRecord } from '../journal/order-record.ts';
import { lstat, restoreDirectory } from './backing.ts';
import { newSessionPath } from './session-access.ts';
import { startingPath } from './starting-sessions.ts';
import type { Session } from './sessions.ts';
import type { Store } from './store.ts';
import type { Caller } from './types.ts';

/** Larger pieces of the order log and of inputs are linked or left out, never copied on the thread that serves. */
const MOST_COPIED_BYTES = 8 * 1024 * 1024;

type ImageAdoptRequest = Extract<ControlRequest, { verb: 'image.adopt' }>;

export function linkHistory(store: Store, session: Session, sealed: SealReply, caller: Caller): ImageLinkReply {
  const beganMs = performance.now();
  const layout = layoutOf(store, caller);
  const blobs = `${layout}/blobs/sha256`;
  const { uid } = fs.lstatSync(blobs);
  const linked = sealed.blobs.map((blob) => {
    if (blob.sha256 === null)
      throw new CtxError('image.not_digested', 'EAGAIN', 'has a segment without a digest yet', {
        where: sealed.session,
        next: 'ask for digest first',
      });
    const whole = blob.bytes === blob.file_bytes;
    return {
      ...blob,
      sha256: blob.sha256,
      linked: share(`${session.directory}/${blob.file}`, layout, blob.sha256, uid, whole ? undefined : blob.bytes),
    };
  });
  // Without all of the order log an instance makes its own from the journals.
  const ordered = linked.every(({ journal, linked: is }) => is || (journal !== 'order' && journal !== 'inputs'));
  const inputs = ordered
    ? sealed.inputs.filter(({ file, sha256 }) => share(`${session.directory}/${file}`, layout, sha256, uid, undefined))
    : [];
  syncDirectory(blobs);
  const last = lastSealed(session.directory);
  return {
    session: sealed.session,
    blobs: ordered ? linked : linked.filter(({ journal }) => journal !== 'order' && journal !== 'inputs'),
    inputs,
    lines: { messages: last.messageLines, events: last.eventLines },
    newest_ms: last.timeMs,
    elapsed_ms: Math.round((performance.now() - beganMs) * 100) / 100,
  };
}

/** The new blob has the first `bytes` bytes. False: not here, because another owner's file, or a part of one, would have to be copied. */
function share(from: string, layout: string, sha256: string, uid: number, bytes: number | undefined): boolean {
  const to = `${layout}/blobs/sha256/${sha256}`;
  if (fs.existsSync(to)) return true;
  const stat = fs.lstatSync(from);
  if (bytes === undefined && stat.uid === uid) {
    fs.linkSync(from, to);
    return true;
  }
  if ((bytes ?? stat.size) > MOST_COPIED_BYTES) return false;
  const content = fs.readFileSync(from).subarray(0, bytes);
  // A name that gc knows for what it is, should this process end here.
  const temporary = `${layout}/tmp/link-${process.pid}-${sha256.slice(0, 16)}`;
  fs.rmSync(temporary, { force: true });
  try {
    // wx: whose directory it is could put a link there.
    const fd = fs.openSync(temporary, 'wx', 0o400);
    try {
      // All of it, or ENOSPC: a blob that is short would have a digest's name.
      fs.writeFileSync(fd, content);
      fs.fsyncSync(fd);
      if (process.getuid?.() === 0) fs.fchownSync(fd, uid, fs.lstatSync(layout).gid);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, to);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  return true;
}

/**
 * Blobs are named by their digest; that they are what it says has been verified by who asks, when they were stored. The session
 * has no name yet (IMG-110): who asks writes its files, then gives it one with image.ready.
 */
export function startInstance(store: Store, request: ImageStartRequest, caller: Caller): ImageStartReply {
  const beganMs = performance.now();
  if (request.session !== undefined) newSessionPath(store, request.session, caller);
  const blobs = `${layoutOf(store, caller)}/blobs/sha256`;
  const pathOf = (sha256: string, bytes: number): string => blobOf(blobs, sha256, bytes);
  const history = {
    blobs: request.blobs.map(({ journal, sha256, bytes, count }) => ({
      journal,
      path: pathOf(sha256, bytes),
      bytes,
      fileBytes: bytes,
      sha256,
      ...(count === undefined ? {} : { count }),
    })),
    inputs: request.inputs.map(({ sha256, bytes }) => ({ path: pathOf(sha256, bytes), bytes, sha256 })),
  };
  const session = startingPath(caller);
  const directory = `${store.root}/${session}`;
  store.makeAgent(directory, caller);
  store.makeSession(directory, 0o755, caller, '/', (aside) => {
    adoptHistory(aside, history);
    restoreInputs(store, aside);
  });
  return { session, elapsed_ms: Math.round((performance.now() - beganMs) * 100) / 100 };
}

function lastSealed(directory: string): RawRecord {
  const pages = new OrderPages(directory);
  try {
    return pages.at(pages.first - 1);
  } finally {
    pages.close();
  }
}

/** Files as the newest recorded inputs have them: were they written later, each would be a change, and begin an epoch of its own. */
function restoreInputs(store: Store, directory: string): void {
  const newest = new Map<string, string | undefined>();
  for (const { path, digest } of readInputs(directory).inputs) if (RESTORED.test(path)) newest.set(path, digest);
  const { uid, gid } = fs.lstatSync(directory);
  for (const [path, digest] of newest) {
    const target = `${directory}/${path}`;
    if (digest === undefined) {
      fs.rmSync(target, { force: true });
      continue;
    }
    const folder = target.slice(0, target.lastIndexOf('/'));
    if (lstat(folder) === undefined) store.makeDirectory(folder, 0o755, uid, gid);
    // Exclusively: the directory is its owner's already, and a link put there meanwhile is not followed.
    fs.rmSync(target, { force: true });
    fs.writeFileSync(target, loadInput(directory, digest), { mode: 0o644, flag: 'wx' });
    store.own(target, uid, gid);
  }
}

// eslint-disable-next-line no-control-regex
const RESTORED =
  /^context\/(?:budget|gc\.policy|policy\.yaml|tools\.json|pinned\/[^./\u0000-\u001f\u007f\ufffd][^/\u0000-\u001f\u007f\ufffd]*|child\/[^./][^/\u0000-\u001f\u007f\ufffd]*\/(?!artifact)[^./][^/\u0000-\u001f\u007f\ufffd]*)$/;

export function foreignState(store: Store, { fingerprint, blobs }: ImageAdoptRequest, caller: Caller): ForeignState {
  const directory = `${layoutOf(store, caller)}/blobs/sha256`;
  const [state, tokens] = blobs.map(({ sha256, bytes }) => ({ path: blobOf(directory, sha256, bytes), bytes, sha256 }));
  const plain = Object.values(fingerprint).every((value) => value === null || ['string', 'number', 'boolean'].includes(typeof value));
  if (state === undefined || tokens === undefined || !plain)
    throw new CtxError('control.request', 'EINVAL', 'image.adopt needs a fingerprint, and the blobs of state and tokens', {
      next: 'see abi-spec/control.md',
    });
  return { fingerprint: fingerprint as ForeignState['fingerprint'], state, tokens };
}

function blobOf(blobs: string, sha256: string, bytes: number): string {
  const path = `${blobs}/${sha256}`;
  const stat = /^[0-9a-f]{64}$/.test(sha256) ? lstat(path) : undefined;
  if (stat?.isFile() === true && Number(stat.size) === bytes) return path;
  throw new CtxError('image.blob_missing', 'ENOENT', 'is not in the store', {
    where: `sha256:${sha256}`,
    next: 'pull or import the image again, or run ctx fsck',
  });
}

/** The layout of the caller's own home. */
function layoutOf(store: Store, { uid }: Caller): string {
  const images = `${store.root}/home/${uid}/image`;
  if (lstat(images)?.isDirectory() !== true)
    throw new CtxError('image.no_home', 'ENOENT', 'has no image directory', {
      where: `home/${uid}`,
      next: `make the home first: mkdir home/${uid}`,
    });
  const layout = `${images}/.store`;
  for (const path of [layout, `${layout}/tmp`, `${layout}/blobs`, `${layout}/blobs/sha256`]) {
    restoreDirectory(path);
    if (lstat(path)?.isDirectory() !== true)
      throw new CtxError('image.bad_layout', 'EIO', 'is not a directory', { where: path, next: 'move it away' });
  }
  return layout;
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
