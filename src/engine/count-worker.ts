// Worker thread: counts tokens with the engine's own process for a thread that waits (engine-tokenizer.ts).
import { workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { CountAnswer, CountRequest } from './engine-tokenizer.ts';
import { openLlamaDriver } from './llama/driver.ts';
import { toWire } from './llama/wire.ts';
import type { ModelConfig } from './types.ts';

const { config, port, signal } = workerData as {
  readonly config: ModelConfig;
  readonly port: MessagePort;
  readonly signal: SharedArrayBuffer;
};
const rung = new Int32Array(signal);
const driver = openLlamaDriver(config, { vocabularyOnly: true });

port.on('message', (request: CountRequest) => void reply(request));
port.on('close', () => void driver.close());

async function reply({ id, question }: CountRequest): Promise<void> {
  let answer: CountAnswer;
  try {
    answer = {
      id,
      counts: 'texts' in question ? await driver.count(question.texts) : Uint32Array.of(await driver.countPrompt(question.prompt)),
    };
  } catch (error) {
    answer = { id, error: toWire(error) };
  }
  // First the answer: whoever wakes up takes it.
  port.postMessage(answer);
  Atomics.add(rung, 0, 1);
  Atomics.notify(rung, 0);
}
