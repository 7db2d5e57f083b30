// Each driver through the one suite: the embedded engine always; the two that speak to a server against a real llama-server.
import { rm } from 'node:fs/promises';
import { expect, it } from 'vitest';

import { openDriver } from '../../src/engine/open-driver.ts';
import type { ModelConfig } from '../../src/engine/types.ts';
import { CONTEXT_TOKENS, driverSuite } from './driver-suite.ts';
import { HAS_LLAMA_SERVER, startLlamaServer, temporary, tinyModel } from './llama-server-process.ts';

const common = { provider: 'test', name: 'tiny', contextTokens: CONTEXT_TOKENS } as const;

driverSuite('llama', { tokenizes: true, savesFiles: true, evaluatedAgain: 0, tooLong: 'engine.context' }, async () => {
  const directory = await temporary('llama');
  const driver = openDriver({ ...common, driver: 'llama', path: await tinyModel(directory), threads: 1 });
  const end = async (): Promise<void> => {
    await driver.close();
    await rm(directory, { recursive: true });
  };
  return { driver, directory, end };
});

const remote =
  (config: Pick<ModelConfig, 'driver'>, path: string) =>
  async (): Promise<{ driver: ReturnType<typeof openDriver>; directory: string; end: () => Promise<void> }> => {
    const directory = await temporary(config.driver);
    const server = await startLlamaServer(directory, CONTEXT_TOKENS);
    const driver = openDriver({ ...common, ...config, url: `${server.url}${path}` }, { cacheDirectory: directory });
    const end = async (): Promise<void> => {
      await driver.close();
      await server.end();
      await rm(directory, { recursive: true });
    };
    return { driver, directory, end };
  };

if (HAS_LLAMA_SERVER) {
  driverSuite(
    'llama-server',
    { tokenizes: true, savesFiles: false, evaluatedAgain: 0, tooLong: 'engine.context' },
    remote({ driver: 'llama-server' }, ''),
  );
  driverSuite(
    "openai, against llama-server's /v1",
    { tokenizes: false, savesFiles: false, evaluatedAgain: 1, tooLong: 'engine.http' },
    remote({ driver: 'openai' }, '/v1'),
  );
} else {
  it('llama-server is not built here (scripts/build-llama-server): its suites run in CI', () =>
    expect(process.env['CTX_NEED_LLAMA_SERVER']).toBeUndefined());
}
