// A real mount of a fresh store, made and taken away by ctx itself. Everything that touches the mount runs in child processes:
// a test process that blocks on a mount could never report it.
import { chmod, mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ctx, LIMIT_MS, ROOT, runProgram, type Outcome, type RunOptions } from './program.ts';

export interface MountedStore {
  readonly root: string;
  readonly store: string;
  readonly env: Readonly<Record<string, string>>;
  /** `home/<uid>/agent` on the mount. */
  readonly agents: string;
  ctx(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Runs a bash line (pipefail); stands in the mount point unless told otherwise. */
  sh(line: string, options?: RunOptions): Promise<Outcome>;
  /** As sh, but fails unless the line succeeds; gives stdout. */
  must(line: string, options?: RunOptions): Promise<string>;
  end(): Promise<void>;
}

export async function prepareStore(name: string): Promise<MountedStore> {
  const directory = await mkdtemp(join(tmpdir(), `${name}-`));
  const root = join(directory, 'mnt');
  const store = join(directory, 'store');
  await mkdir(root);
  // Tests of other users come through here.
  await chmod(directory, 0o755);
  // What is waited for may take long on a machine under load.
  const checkout = process.env['CTX_TEST_CHECKOUT'] ?? ROOT;
  const env = {
    CTX_ROOT: root,
    CTX_STORE: store,
    CTX_REBUILD_WAIT_MS: String(LIMIT_MS),
    PATH: `${checkout}bin:${process.env['PATH'] ?? ''}`,
  };
  // bash changes the directory, not spawn: spawn waits for it, and this process must never wait for a mount.
  const sh: MountedStore['sh'] = (line, { cwd = root, ...options } = {}) =>
    runProgram('bash', ['-c', `set -o pipefail\ncd '${cwd}' || exit\n${line}`], { ...options, env: { ...env, ...options.env } });
  return {
    root,
    store,
    env,
    agents: join(root, `home/${process.getuid?.() ?? 0}/agent`),
    ctx: (args, options = {}) => ctx(args, { ...options, env: { ...env, ...options.env } }),
    sh,
    async must(line, options) {
      const { code, stdout, stderr } = await sh(line, options);
      if (code !== 0) throw new Error(`${line}\nended with ${code}: ${stderr}${stdout.slice(0, 2000)}`);
      return stdout;
    },
    async end() {
      const { code, stderr } = await ctx(['umount', '--lazy'], { env });
      if (code !== 0) throw new Error(`umount: ${stderr}`);
    },
  };
}

export async function mountStore(name: string): Promise<MountedStore> {
  const mounted = await prepareStore(name);
  const { code, stderr } = await mounted.ctx(['mount']);
  if (code !== 0) {
    const log = await readFile(join(mounted.store, 'daemon.log'), 'utf8').catch(() => '');
    throw new Error(`ctx mount ended with ${code}: ${stderr}\n${log}`);
  }
  return mounted;
}
