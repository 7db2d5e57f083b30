// What answers the serving thread, behind one port: the derivers and the engine.
import type { CommitRing } from './commit-ring.ts';
import { DeriverHost } from './deriver-host.ts';
import type { FromDeriver, ToDeriver, ToEngine, ToWiki } from './deriver-messages.ts';
import { openDerivers } from './derivers.ts';
import { EngineHost } from './engine-host.ts';
import { WikiHost } from './wiki-host.ts';

export interface Hosts {
  handle(message: ToDeriver | ToEngine | ToWiki): void;
  /** Writes the order logs of everything that was committed. */
  drain(): void;
  close(): Promise<void>;
}

export interface HostsOptions {
  readonly store: string;
  readonly mountpoint: string;
  readonly ring: CommitRing;
  readonly fd: number | undefined;
  readonly rebuildWaitMs: number;
  readonly log: (line: string) => void;
  readonly send: (message: FromDeriver) => void;
}

export async function openHosts(options: HostsOptions): Promise<Hosts> {
  const { store, mountpoint, rebuildWaitMs, log } = options;
  const limit = Number(process.env['CTX_KV_LIMIT_BYTES'] ?? '');
  const engine = new EngineHost({
    ...options,
    store,
    mountpoint,
    deriver: (session) => host.deriver(session),
    onModel: () => host.modelChanged(),
    waitMs: rebuildWaitMs,
    limitBytes: Number.isSafeInteger(limit) && limit > 0 ? limit : undefined,
    log,
  });
  const derivers = await openDerivers(log, engine.tokens, rebuildWaitMs);
  const wikis = new WikiHost(options);
  const host = new DeriverHost({
    ...options,
    openDeriver: derivers.open,
    onCommitted: (directory, notes) => wikis.committed(directory, notes),
  });
  return {
    handle(message) {
      if (message.op === 'engine' || message.op === 'pack-read' || message.op === 'let-go') return engine.handle(message);
      if (message.op === 'wiki' || message.op === 'wiki-change' || message.op === 'wiki-changes') return wikis.handle(message);
      if (message.op === 'input') engine.inputChanged(message.session);
      host.handle(message);
    },
    drain: () => host.drain(),
    async close() {
      await engine.close();
      await host.close();
      await wikis.close();
      await derivers.close();
      await engine.tokens.close();
    },
  };
}
