// The daemon process: main thread = deriver and lifecycle, worker = serving. One daemon owns a store.
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker } from 'node:worker_threads';
import { CtxError } from '../src/abi/errors.ts';
import { lockStore } from '../src/journal/index.ts';
import { CommitRing } from './commit-ring.ts';
import type { FromDeriver, ToDeriver, ToEngine, ToWiki } from './deriver-messages.ts';
import { openHosts } from './hosts.ts';
import { attach, detach } from './lifecycle.ts';
import type { ServingData } from './serving-worker.ts';
import type { DaemonArguments } from './types.ts';
import { Doorbell } from './doorbell.ts';

const REBUILD_WAIT_MS = Number(process.env['CTX_REBUILD_WAIT_MS'] ?? 60_000);
/** A connection that answers nothing for this long is aborted by the kernel: no process stays unkillable. */
const REQUEST_TIMEOUT_SECONDS = 180;

const arguments_ = JSON.parse(process.argv[2] ?? '{}') as DaemonArguments;

function log(line: string): void {
  try {
    fs.writeSync(2, `${new Date().toISOString()} ${line}\n`);
  } catch {
    // The log lies in the store: a full disk must not end the daemon.
  }
}

// Node's own warnings go the same way.
process.stderr.on('error', () => undefined);

function say(line: string): void {
  try {
    fs.writeSync(1, `${line}\n`);
  } catch {
    // The one who started us has gone; the mount stands all the same.
  }
}

/** Text of /ctx/bin/ctx: this very checkout or package, with this very node. */
function launcher(): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const bin = fileURLToPath(new URL('../../bin/ctx', import.meta.url));
  return `#!/bin/sh\nexec ${quote(process.execPath)} ${quote(bin)} "$@"\n`;
}

function version(): string {
  const text = fs.readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function serve(): Promise<void> {
  const { store, driver } = arguments_;
  fs.mkdirSync(store, { recursive: true, mode: 0o700 });
  const lock = lockStore(store);
  try {
    if (driver === 'fuse-native') {
      const { serveFuseNative } = await import('./fuse-native/serve.ts');
      await serveFuseNative({ tree: treeOptions(), ready: () => say('ready'), log });
      return;
    }
    await serveKernel();
  } finally {
    lock.release();
  }
}

function treeOptions(): ServingData['tree'] {
  return {
    store: arguments_.store,
    mountpoint: arguments_.mountpoint,
    driver: arguments_.driver,
    version: version(),
    launcher: launcher(),
    rebuildWaitMs: REBUILD_WAIT_MS,
  };
}

async function serveKernel(): Promise<void> {
  const { fd, mountpoint } = await attach(arguments_.mountpoint);
  const ring = new CommitRing();
  const doorbell = new Doorbell();
  const channel = new MessageChannel();
  const hosts = await openHosts({
    store: arguments_.store,
    mountpoint,
    ring,
    fd,
    rebuildWaitMs: REBUILD_WAIT_MS,
    log,
    send: (message: FromDeriver) => {
      channel.port1.postMessage(message);
      doorbell.ring();
    },
  });
  channel.port1.on('message', (message: ToDeriver | ToEngine | ToWiki) => hosts.handle(message));

  const data: ServingData = {
    fd,
    tree: treeOptions(),
    port: channel.port2,
    ring: ring.shared,
    doorbell: doorbell.shared,
    requestTimeoutSeconds: REQUEST_TIMEOUT_SECONDS,
  };
  const worker = new Worker(new URL('./serving-worker.js', import.meta.url), { workerData: data, transferList: [channel.port2] });
  worker.on('message', (message: { log: string }) => log(message.log));
  let leaving = false;
  const leave = (why: string): void => {
    if (leaving) return;
    leaving = true;
    log(`${why}: unmounting`);
    void detach(mountpoint, { lazy: true }).catch((error: unknown) => log(`unmount: ${String(error)}`));
    // Files still open on a lazily unmounted tree keep the connection; they get ENOTCONN when we end.
    setTimeout(() => void worker.terminate(), 2000).unref();
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => leave(signal));

  const ended = new Promise<number>((resolve) => {
    worker.on('error', (error) => log(`serving thread: ${error.stack ?? String(error)}`));
    worker.on('exit', resolve);
  });
  say('ready');
  const code = await ended;
  log(`serving ended (${code})`);
  channel.port1.close();
  await hosts.close();
  if (!leaving) await detach(mountpoint, { lazy: true }).catch(() => {});
  fs.closeSync(fd);
}

try {
  await serve();
  process.exit(0);
} catch (error) {
  say(`error: ${error instanceof CtxError ? error.describe() : ((error as Error).stack ?? String(error)).replaceAll('\n', ' ')}`);
  process.exit(1);
}
