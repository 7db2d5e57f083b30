// The tree with everything it needs, for whichever thread serves it.
import { DEFAULT_MAX_LINE_BYTES } from '../src/abi/session-files.ts';
import { openSessionJournals } from '../src/journal/index.ts';
import type { DeriverClient } from '../src/tree/deriver-client.ts';
import { makeHome } from '../src/tree/places.ts';
import { RootDirectory } from '../src/tree/root.ts';
import { Sessions } from '../src/tree/sessions.ts';
import { Store } from '../src/tree/store.ts';
import * as fs from 'node:fs';

export interface TreeOptions {
  readonly store: string;
  readonly mountpoint: string;
  readonly driver: string;
  readonly version: string;
  readonly launcher: string;
  readonly rebuildWaitMs: number;
}

export interface BuiltTree {
  readonly root: RootDirectory;
  readonly sessions: Sessions;
  lastError: string;
}

export const ABI_VERSION = '1';

export function buildTree(options: TreeOptions, deriver: DeriverClient): BuiltTree {
  const sessions = new Sessions({
    openJournals: openSessionJournals,
    deriver,
    maxLineBytes: DEFAULT_MAX_LINE_BYTES,
    rebuildWaitMs: options.rebuildWaitMs,
  });
  const store = new Store(options.store, sessions);
  const uid = process.getuid?.() ?? 0;
  if (!fs.existsSync(`${options.store}/home/${uid}`)) makeHome(store, uid, process.getgid?.() ?? 0);
  const startedMs = Date.now();
  const built: BuiltTree = {
    root: new RootDirectory(store, {
      launcher: options.launcher,
      status: () => [
        `version=${options.version}`,
        `abi=${ABI_VERSION}`,
        `pid=${process.pid}`,
        `driver=${options.driver}`,
        `store=${options.store}`,
        `mountpoint=${options.mountpoint}`,
        `started=${new Date(startedMs).toISOString()}`,
        `open_sessions=${sessions.activeCount}`,
        `last_error=${built.lastError}`,
        ...deriver.engine.status,
        ...deriver.progress(),
      ],
    }),
    sessions,
    lastError: '',
  };
  return built;
}
