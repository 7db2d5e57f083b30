// Worker thread: serves /dev/fuse until the mount is gone. Never awaits, never touches the mount.
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { buildTree } from './build-tree.ts';
import type { TreeOptions } from './build-tree.ts';
import { CommitRing } from './commit-ring.ts';
import { KernelServer } from './kernel/server.ts';
import { PortClient } from './port-client.ts';
import { Doorbell } from './doorbell.ts';

export interface ServingData {
  readonly fd: number;
  readonly tree: TreeOptions;
  readonly port: MessagePort;
  readonly ring: SharedArrayBuffer;
  readonly doorbell: SharedArrayBuffer;
  readonly requestTimeoutSeconds: number;
}

const data = workerData as ServingData;
// Expected errors are answers here; their stacks would cost more than the operations.
Error.stackTraceLimit = 0;

const doorbell = new Doorbell(data.doorbell);
const client = new PortClient(data.port, new CommitRing(data.ring));
client.wiki.holds = true;
const built = buildTree(data.tree, client);
client.onChanged = (id, path): void => {
  for (const session of built.sessions.sessions()) if (session.id === id) session.inputChanged(path);
};
const server = new KernelServer({
  fd: data.fd,
  root: built.root,
  storePath: data.tree.store,
  requestTimeoutSeconds: data.requestTimeoutSeconds,
  beforeRequest: () => {
    if (doorbell.answered()) client.drain();
    client.wiki.dueMs();
  },
  beforeSleep: () => client.wiki.dueMs(),
  log: (line) => {
    built.lastError = line.split('\n')[0] ?? '';
    parentPort?.postMessage({ log: line });
  },
});
try {
  server.run();
} finally {
  server.releaseAll();
  built.sessions.closeAll();
  client.wiki.flush();
  data.port.close();
}
