// A worker thread: maps ranges of history, one task at a time.
import { parentPort } from 'node:worker_threads';
import { mapHistory } from './map-history.ts';
import type { MapTask } from './map-history.ts';

parentPort?.on('message', (task: MapTask) => {
  try {
    parentPort?.postMessage({ result: mapHistory(task) });
  } catch (error) {
    parentPort?.postMessage({ error: error instanceof Error ? `${error.message}` : String(error) });
  }
});
