// A mount whose daemon finds the installed engine, with the tiny model, and sessions whose compiled state can be watched.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { engineDirectory } from '../../src/engine/llama/native.ts';
import type { Manifest } from '../../src/engine/manifest.ts';
import { prepareStore, type MountedStore } from '../cli/mounted-store.ts';
import { LIMIT_MS, ROOT, type RunOptions } from '../cli/program.ts';

export interface EngineMount extends MountedStore {
  /** The tiny model's file. */
  readonly model: string;
  /** `agent coder` of this user on the mount: `<sessions>/<name>/context/kv`. */
  readonly sessions: string;
  /** Makes a session with messages of about 40 tokens each; gives its directory on the mount. */
  session(name: string, messages?: number): Promise<string>;
  append(name: string, messages: number): Promise<void>;
  manifest(name: string): Promise<Manifest>;
  /** Polls the manifest until it is so. */
  until(name: string, holds: (manifest: Manifest) => boolean): Promise<Manifest>;
  read(name: string, file?: string): Promise<string>;
}

/** Shell words that leave the engine's process of this mount in $child, once there is one. Stand in the mount point. */
export const ENGINE_CHILD = `until child=$(pgrep -P "$(sed -n s/^pid=//p status)" -f engine/llama/child); do sleep 0.05; done`;

export async function prepareEngine(name: string): Promise<EngineMount> {
  const mounted = await prepareStore(name);
  const model = join(mounted.store, '..', 'tiny.gguf');
  execFileSync(process.execPath, [`${ROOT}scripts/make-tiny-model`, '--out', model]);
  const env = { CTX_ENGINE_DIR: engineDirectory() };
  const withEngine = (options: RunOptions = {}): RunOptions => ({ ...options, env: { ...env, ...options.env } });
  const must: MountedStore['must'] = (line, options) => mounted.must(line, withEngine(options));
  const sessions = join(mounted.agents, 'coder/session');
  const manifest: EngineMount['manifest'] = async (session) =>
    JSON.parse(await must(`cat ${sessions}/${session}/context/kv/manifest.json`)) as Manifest;
  const append: EngineMount['append'] = async (session, messages) => {
    const line = `{"role":"user","content":"request $n of ${session}: foxes, rivers and old towers"}`;
    await must(`for n in $(seq ${messages}); do echo ${JSON.stringify(line)}; done >> ${sessions}/${session}/messages.jsonl`);
  };
  return {
    ...mounted,
    ctx: (args, options) => mounted.ctx(args, withEngine(options)),
    sh: (line, options) => mounted.sh(line, withEngine(options)),
    must,
    model,
    sessions,
    manifest,
    append,
    async session(session, messages = 0) {
      await must(`mkdir -p ${mounted.agents}/coder && mkdir ${sessions}/${session}`);
      if (messages > 0) await append(session, messages);
      return `${sessions}/${session}`;
    },
    async until(session, holds) {
      for (const startedMs = Date.now(); ;) {
        const now = await manifest(session);
        if (holds(now)) return now;
        if (Date.now() - startedMs > LIMIT_MS) throw new Error(`it never came; last: ${JSON.stringify(now)}`);
        await sleep(50);
      }
    },
    read: (session, file = 'pack.md') => must(`cat ${sessions}/${session}/context/${file}`),
  };
}

/** Mounted, with the tiny model as its engine. */
export async function mountEngine(name: string): Promise<EngineMount> {
  const mounted = await prepareEngine(name);
  await mounted.must(`ctx mount && ctx model add ${mounted.model} --threads 1`);
  return mounted;
}

export const isReady = ({ state }: Manifest): boolean => state === 'ready';
