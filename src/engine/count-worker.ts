// Worker thread: counts tokens with the engine's own process, or a server, for a thread that asks and goes on (counting.ts).
import { workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { STARTED } from './counting.ts';
import type { CountAnswer, CountQuestion, CountRequest } from './counting.ts';
import { openLlamaDriver } from './llama/driver.ts';
import { toWire } from './llama/wire.ts';
import { ServerCounter } from './llama-server/server-count.ts';
import type { ModelConfig } from './types.ts';

const { config, port, signal } = workerData as {
  readonly config: ModelConfig;
  readonly port: MessagePort;
  readonly signal: SharedArrayBuffer;
};
const rung = new Int32Array(signal);
const driver = config.driver === 'llama' ? openLlamaDriver(config, { vocabularyOnly: true }) : undefined;
const counter = driver ?? new ServerCounter(config);

say({ id: STARTED, counts: new Uint32Array() });
port.on('message', (request: CountRequest) => void reply(request));
port.on('close', () => void driver?.close());

async function reply({ id, question }: CountRequest): Promise<void> {
  let answer: CountAnswer;
  try {
    answer = await answerTo(id, question);
  } catch (error) {
    answer = { id, error: toWire(error) };
  }
  say(answer);
}

/** First the answer: whoever wakes up takes it. */
function say(answer: CountAnswer): void {
  port.postMessage(answer);
  Atomics.add(rung, 0, 1);
  Atomics.notify(rung, 0);
}

async function answerTo(id: number, question: CountQuestion): Promise<CountAnswer> {
  if ('texts' in question) return { id, counts: await counter.count(question.texts) };
  if ('prompt' in question) return { id, counts: Uint32Array.of(await counter.countPrompt(question.prompt)) };
  if (counter instanceof ServerCounter) return { id, digest: await counter.digest() };
  throw new Error('a model file is read where its digest is wanted');
}
