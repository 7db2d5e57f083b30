// Worker thread: keeps the wikis of a store.
import { parentPort, workerData } from 'node:worker_threads';
import { WikiKeepers } from './wiki-keepers.ts';
import type { FromKeeper, KeeperData, ToKeeper } from './wiki-messages.ts';

const keepers = new WikiKeepers(workerData as KeeperData, (message: FromKeeper) => parentPort?.postMessage(message));
parentPort?.on('message', (message: ToKeeper) => keepers.handle(message));
