// One question to a model, with an answer that is JSON of a schema, within bounds.
import { CtxError } from '../abi/errors.ts';
import type { EngineDriver, GenerateOutcome, Prompt } from './types.ts';

/** Characters a token, where the model does not count for us: on the safe side for code and prose. */
export const UNITS_A_TOKEN = 2.5;
/** A server that heeds no limit: what is longer than any answer that was asked for is not waited for. */
const MOST_UNITS_A_TOKEN = 16;

export interface Question {
  readonly prompt: Prompt;
  readonly schema: object;
  readonly maxTokens: number;
  readonly signal: AbortSignal;
}

/** `tooLong` makes the error of an answer without end. */
export async function askModel(driver: EngineDriver, question: Question, tooLong: (units: number) => CtxError): Promise<GenerateOutcome> {
  const most = question.maxTokens * MOST_UNITS_A_TOKEN;
  const run = driver.generate({ ...question, temperature: 0 });
  try {
    for (let units = 0; ;) {
      const step = await run.next();
      if (step.done === true) {
        if (step.value.stop === 'aborted') throw new CtxError('engine.cancelled', 'EINTR', 'was interrupted; what was recorded stays');
        return step.value;
      }
      if (step.value.kind === 'text') units += step.value.text.length;
      if (units > most) throw tooLong(most);
    }
  } finally {
    await run.return(undefined as never);
  }
}
