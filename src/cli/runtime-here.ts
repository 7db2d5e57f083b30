// What this machine runs, as images are judged by it: the model that compiles on the mount.
import type { Here } from '../image/compatibility.ts';
import { hereOf } from '../image/here.ts';
import { binaryDigest } from '../engine/fingerprint.ts';
import { defaultModel } from '../engine/models.ts';
import { askModels, driverFor } from './models-on-mount.ts';
import type { Mounted } from './mounted.ts';
import type { Shell } from './shell.ts';

/** A model file of 10 GB is hashed in seconds; a server that does not answer is not waited for. */
const DESCRIBE_MS = 60_000;

export interface RuntimeHere {
  readonly here: Here;
  /** Why the model that is chosen cannot be asked. */
  readonly reason: string | undefined;
}

/** Hashes the model's file: half a second a gigabyte. `CTX_SAFETY_POLICY`: what whoever runs this says is enforced. */
export async function runtimeHere(shell: Shell, mounted: Mounted): Promise<RuntimeHere> {
  const machine = { architecture: process.arch, safety: shell.env['CTX_SAFETY_POLICY'] };
  const config = defaultModel(await askModels(mounted, { verb: 'model.ls' }));
  if (config === undefined) return { here: hereOf(undefined, machine), reason: undefined };
  const driver = driverFor(shell, config);
  try {
    const { id, contextTokens, fingerprint } = await within(driver.describe());
    const model = { id, driver: config.driver, contextTokens, fingerprint, digest: binaryDigest(fingerprint) };
    return { here: hereOf(model, machine), reason: undefined };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { here: hereOf(undefined, machine), reason: `${config.provider}/${config.name} cannot be asked: ${why}` };
  } finally {
    await driver.close();
  }
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it gave no answer in ${DESCRIBE_MS / 1000} s`)), DESCRIBE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
