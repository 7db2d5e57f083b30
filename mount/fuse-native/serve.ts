// The second driver: the npm package fuse-native, for systems where the kernel protocol cannot be mounted (macOS) and for
// ordinary users without fusermount3. It must run on the main thread, so derivation shares that thread with serving.
// Its limits are listed in docs/drivers.md.
import { MessageChannel } from 'node:worker_threads';
import { CtxError } from '../../src/abi/errors.ts';
import { buildTree } from '../build-tree.ts';
import type { TreeOptions } from '../build-tree.ts';
import { CommitRing } from '../commit-ring.ts';
import type { FromDeriver, ToDeriver, ToEngine, ToWiki } from '../deriver-messages.ts';
import { openHosts } from '../hosts.ts';
import { detach, prepareMountpoint } from '../lifecycle.ts';
import { mountAt } from '../mount-table.ts';
import { PortClient } from '../port-client.ts';
import { loadBinding } from './binding.ts';
import type { NativeMount } from './binding.ts';
import { operations } from './operations.ts';

export interface FuseNativeOptions {
  readonly tree: TreeOptions;
  /** Called when the mount answers. */
  readonly ready: () => void;
  readonly log: (line: string) => void;
}

/** It tells nobody when its mount is taken away; the mount table is looked at this often. */
const POLL_MS = 300;

/** Serves until the mount is gone. */
export async function serveFuseNative({ tree, ready, log }: FuseNativeOptions): Promise<void> {
  const Native = loadBinding();
  const mountpoint = await prepareMountpoint(tree.mountpoint);

  const ring = new CommitRing();
  const channel = new MessageChannel();
  const hosts = await openHosts({
    store: tree.store,
    mountpoint,
    ring,
    fd: undefined,
    rebuildWaitMs: tree.rebuildWaitMs,
    log,
    send: (message: FromDeriver) => channel.port1.postMessage(message),
  });
  channel.port1.on('message', (message: ToDeriver | ToEngine | ToWiki) => hosts.handle(message));
  const client = new PortClient(channel.port2, ring);
  channel.port2.on('message', (message: FromDeriver) => client.handle(message));

  const built = buildTree(tree, client);
  client.onChanged = (id, path): void => {
    for (const session of built.sessions.sessions()) if (session.id === id) session.inputChanged(path);
  };
  // It hides who asks, so nobody else is let in (no allow_other): every caller is the user of this process.
  const caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: 0 };
  const served = operations({
    root: built.root,
    caller,
    storePath: tree.store,
    log: (line) => {
      built.lastError = line.split('\n')[0] ?? '';
      log(line);
    },
  });

  await mountNative(
    new Native(mountpoint, served.handlers, {
      // It has no option for direct I/O, which journals need (a buffered append is split at pages): one more word here.
      fsname: 'ctxfs,direct_io,big_writes,atomic_o_trunc',
      subtype: 'ctxfs',
      defaultPermissions: true,
      attrTimeout: '0',
      entryTimeout: '1',
      timeout: false,
    }),
  );
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      log(`${signal}: unmounting`);
      void detach(mountpoint, { lazy: true }).catch((error: unknown) => log(`unmount: ${String(error)}`));
    });
  }
  ready();
  while ((await mountAt(mountpoint)) !== undefined) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  served.releaseAll();
  built.sessions.closeAll();
  // What the serving side posted last is still on its way to the deriver.
  await new Promise((resolve) => setImmediate(resolve));
  hosts.drain();
  await hosts.close();
  channel.port1.close();
}

function mountNative(native: NativeMount): Promise<void> {
  return new Promise((resolve, reject) => {
    native.mount((error) => {
      if (error === null || error === undefined) resolve();
      else
        reject(
          new CtxError('mount.refused', 'EIO', error.message, {
            next: 'libfuse 2 must be installed, and the mount point yours',
            cause: error,
          }),
        );
    });
  });
}
