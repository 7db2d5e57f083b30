// What a model file brings along is somebody else's program: its chat template may never end, or say without end.
import { createContext, Script } from 'node:vm';
import type { TemplateCompiler } from '../chat-prompt.ts';
import type { Jinja } from './native.ts';

/** A megabyte of messages takes a tenth of a second. */
const LIMIT_MS = 20_000;
const MOST_UNITS = 1 << 26;
const CALL: Script = new Script('work()');

/** The engine's own templates, each reading and each rendering bounded. */
export function boundedTemplates(jinja: Jinja, limitMs: number = LIMIT_MS): TemplateCompiler {
  return (source) => {
    const template = withinTime(limitMs, () => new jinja.Template(source));
    return (variables) => {
      const text = withinTime(limitMs, () => template.render(variables));
      if (text.length > MOST_UNITS) throw new Error(`it says more than ${MOST_UNITS} characters`);
      return text;
    };
  };
}

/** The outcome of `work`, or an error once it has run for so long: also inside loops that never give way. */
function withinTime<T>(limitMs: number, work: () => T): T {
  let outcome: { readonly value: T } | undefined;
  const context = createContext({
    work: () => {
      outcome = { value: work() };
    },
  });
  try {
    CALL.runInContext(context, { timeout: limitMs });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new Error(`it runs longer than ${limitMs / 1000} s`, { cause: error });
  }
  return (outcome as { readonly value: T }).value;
}
