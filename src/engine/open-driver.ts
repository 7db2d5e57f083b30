// From a model's configuration to the driver that serves it.
import { openLlamaDriver } from './llama/driver.ts';
import { openLlamaServerDriver } from './llama-server/driver.ts';
import { openOpenAiDriver } from './openai/driver.ts';
import type { RemoteLimits } from './remote-server.ts';
import type { EngineDriver, ModelConfig } from './types.ts';

export interface DriverSetup {
  /** Where the engine is installed; undefined: `$CTX_ENGINE_DIR`, or the default place. */
  readonly engineDirectory?: string;
  /** Where drivers remember digests of model files and names of saved states; undefined: nowhere. */
  readonly cacheDirectory?: string;
  /** Holds the keys of remote servers. */
  readonly environment?: NodeJS.ProcessEnv;
  readonly limits?: Partial<RemoteLimits>;
}

/** Nothing starts, and nobody is asked, before the first call. */
export function openDriver(config: ModelConfig, setup: DriverSetup = {}): EngineDriver {
  switch (config.driver) {
    case 'llama':
      return openLlamaDriver(config, setup);
    case 'llama-server':
      return openLlamaServerDriver(config, setup);
    case 'openai':
      return openOpenAiDriver(config, setup);
  }
}
