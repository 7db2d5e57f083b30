// The project that the sample session works on, before its first message: a small service that watches bike docks.
export const files = {
  'package.json': `{
  "name": "dockd",
  "version": "0.4.1",
  "type": "module",
  "private": true,
  "scripts": {
    "start": "node --enable-source-maps dist/main.js",
    "build": "tsc -p .",
    "test": "vitest run"
  },
  "dependencies": {
    "better-sqlite3": "11.8.1",
    "fastify": "5.2.1"
  },
  "devDependencies": {
    "typescript": "5.7.3",
    "vitest": "3.0.5"
  }
}
`,
  'README.md': `# dockd

Watches the docks of a bike-share system and tells people when a station runs empty.

- polls a GBFS feed (\`station_status.json\`) every 60 seconds
- keeps snapshots in SQLite
- serves \`/stations\`, \`/stations/:id/history\` and \`/healthz\`
- sends an alert when a watched station falls below its threshold

## Run

    npm ci && npm run build
    DOCKD_FEED=https://gbfs.example.org/v2/station_status.json npm start
`,
  'src/config.ts': `export interface Config {
  readonly feedUrl: string;
  readonly pollSeconds: number;
  readonly databasePath: string;
  readonly port: number;
  readonly alertWebhook: string | undefined;
}

export function readConfig(env: NodeJS.ProcessEnv): Config {
  const feedUrl = env.DOCKD_FEED;
  if (!feedUrl) throw new Error('DOCKD_FEED is not set');
  return {
    feedUrl,
    pollSeconds: Number(env.DOCKD_POLL ?? 60),
    databasePath: env.DOCKD_DB ?? 'dockd.sqlite',
    port: Number(env.DOCKD_PORT ?? 8087),
    alertWebhook: env.DOCKD_WEBHOOK,
  };
}
`,
  'src/feed.ts': `import type { Config } from './config.js';

export interface StationStatus {
  readonly stationId: string;
  readonly bikes: number;
  readonly docks: number;
  readonly reportedAt: number;
}

interface RawStation {
  station_id: string;
  num_bikes_available: number;
  num_docks_available: number;
  last_reported: number;
  is_renting?: boolean | number;
}

export async function fetchStatus(config: Config): Promise<StationStatus[]> {
  const response = await fetch(config.feedUrl);
  const body = (await response.json()) as { data: { stations: RawStation[] } };
  return body.data.stations.map(parseStation);
}

export function parseStation(raw: RawStation): StationStatus {
  return {
    stationId: raw.station_id,
    bikes: raw.num_bikes_available,
    docks: raw.num_docks_available,
    reportedAt: raw.last_reported,
  };
}
`,
  'src/store.ts': `import Database from 'better-sqlite3';
import type { StationStatus } from './feed.js';

export interface HistoryPoint {
  readonly at: number;
  readonly bikes: number;
  readonly docks: number;
}

export class Store {
  readonly #db: Database.Database;

  constructor(path: string) {
    this.#db = new Database(path);
    this.#db.exec(\`
      CREATE TABLE IF NOT EXISTS snapshot (
        station_id TEXT NOT NULL,
        at INTEGER NOT NULL,
        bikes INTEGER NOT NULL,
        docks INTEGER NOT NULL
      );
      CREATE TABLE IF NOT EXISTS watch (
        station_id TEXT PRIMARY KEY,
        threshold INTEGER NOT NULL,
        alerted INTEGER NOT NULL DEFAULT 0
      );
    \`);
  }

  insert(statuses: readonly StationStatus[]): void {
    const statement = this.#db.prepare('INSERT INTO snapshot (station_id, at, bikes, docks) VALUES (?, ?, ?, ?)');
    for (const status of statuses) {
      statement.run(status.stationId, status.reportedAt, status.bikes, status.docks);
    }
  }

  latest(): StationStatus[] {
    return this.#db
      .prepare(
        \`SELECT station_id AS stationId, bikes, docks, MAX(at) AS reportedAt
         FROM snapshot GROUP BY station_id ORDER BY station_id\`,
      )
      .all() as StationStatus[];
  }

  history(stationId: string, since: number): HistoryPoint[] {
    return this.#db
      .prepare('SELECT at, bikes, docks FROM snapshot WHERE station_id = ? AND at >= ? ORDER BY at')
      .all(stationId, since) as HistoryPoint[];
  }

  watch(stationId: string, threshold: number): void {
    this.#db.prepare('INSERT OR REPLACE INTO watch (station_id, threshold) VALUES (?, ?)').run(stationId, threshold);
  }

  watched(): { stationId: string; threshold: number; alerted: number }[] {
    return this.#db.prepare('SELECT station_id AS stationId, threshold, alerted FROM watch').all() as {
      stationId: string;
      threshold: number;
      alerted: number;
    }[];
  }

  setAlerted(stationId: string, alerted: boolean): void {
    this.#db.prepare('UPDATE watch SET alerted = ? WHERE station_id = ?').run(alerted ? 1 : 0, stationId);
  }

  close(): void {
    this.#db.close();
  }
}
`,
  'src/alerts.ts': `import type { Config } from './config.js';
import type { StationStatus } from './feed.js';
import type { Store } from './store.js';

export interface Alert {
  readonly stationId: string;
  readonly bikes: number;
  readonly threshold: number;
}

export function dueAlerts(store: Store, statuses: readonly StationStatus[]): Alert[] {
  const byId = new Map(statuses.map((status) => [status.stationId, status]));
  const due: Alert[] = [];
  for (const watch of store.watched()) {
    const status = byId.get(watch.stationId);
    if (!status) continue;
    if (status.bikes < watch.threshold) {
      due.push({ stationId: watch.stationId, bikes: status.bikes, threshold: watch.threshold });
    }
  }
  return due;
}

export async function sendAlerts(config: Config, alerts: readonly Alert[]): Promise<void> {
  if (!config.alertWebhook) return;
  for (const alert of alerts) {
    await fetch(config.alertWebhook, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: \`Station \${alert.stationId}: \${alert.bikes} bikes left (below \${alert.threshold})\` }),
    });
  }
}
`,
  'src/server.ts': `import Fastify from 'fastify';
import type { FastifyInstance } from 'fastify';
import type { Store } from './store.js';

export interface Health {
  lastPollAt: number | undefined;
  lastError: string | undefined;
}

export function createServer(store: Store, health: Health): FastifyInstance {
  const server = Fastify({ logger: true });

  server.get('/healthz', async () => ({
    ok: health.lastError === undefined,
    lastPollAt: health.lastPollAt,
    lastError: health.lastError,
  }));

  server.get('/stations', async () => store.latest());

  server.get<{ Params: { id: string }; Querystring: { hours?: string } }>('/stations/:id/history', async (request, reply) => {
    const hours = Number(request.query.hours ?? 24);
    const points = store.history(request.params.id, Math.floor(Date.now() / 1000) - hours * 3600);
    if (points.length === 0) return reply.code(404).send({ error: 'unknown station' });
    return points;
  });

  server.put<{ Params: { id: string }; Body: { threshold: number } }>('/watch/:id', async (request, reply) => {
    store.watch(request.params.id, request.body.threshold);
    return reply.code(204).send();
  });

  return server;
}
`,
  'src/main.ts': `import { dueAlerts, sendAlerts } from './alerts.js';
import { readConfig } from './config.js';
import { fetchStatus } from './feed.js';
import { createServer } from './server.js';
import type { Health } from './server.js';
import { Store } from './store.js';

const config = readConfig(process.env);
const store = new Store(config.databasePath);
const health: Health = { lastPollAt: undefined, lastError: undefined };
const server = createServer(store, health);

async function poll(): Promise<void> {
  try {
    const statuses = await fetchStatus(config);
    store.insert(statuses);
    await sendAlerts(config, dueAlerts(store, statuses));
    health.lastPollAt = Date.now();
    health.lastError = undefined;
  } catch (error) {
    health.lastError = String(error);
  }
}

setInterval(poll, config.pollSeconds * 1000);
await poll();
await server.listen({ port: config.port, host: '127.0.0.1' });
`,
  'test/feed.test.ts': `import { expect, test } from 'vitest';
import { parseStation } from '../src/feed.js';

test('a station is parsed', () => {
  expect(parseStation({ station_id: '12', num_bikes_available: 3, num_docks_available: 9, last_reported: 1767225600 })).toEqual({
    stationId: '12',
    bikes: 3,
    docks: 9,
    reportedAt: 1767225600,
  });
});
`,
  'test/store.test.ts': `import { beforeEach, expect, test } from 'vitest';
import { Store } from '../src/store.js';

let store: Store;
beforeEach(() => {
  store = new Store(':memory:');
});

test('the latest snapshot of each station is returned', () => {
  store.insert([{ stationId: 'a', bikes: 1, docks: 9, reportedAt: 100 }]);
  store.insert([{ stationId: 'a', bikes: 4, docks: 6, reportedAt: 160 }]);
  expect(store.latest()).toEqual([{ stationId: 'a', bikes: 4, docks: 6, reportedAt: 160 }]);
});

test('history starts at the given time', () => {
  store.insert([
    { stationId: 'a', bikes: 1, docks: 9, reportedAt: 100 },
    { stationId: 'a', bikes: 2, docks: 8, reportedAt: 200 },
  ]);
  expect(store.history('a', 150)).toHaveLength(1);
});
`,
};
