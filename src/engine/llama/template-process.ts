// A process that renders one chat template, and holds nothing else. It ends itself with whoever asked it: also out of a loop
// that never gives way, once its time is up.
import { createContext, Script } from 'node:vm';
import { loadJinja } from './native.ts';
import type { Jinja } from './native.ts';
import type { Rendered, Rendering } from './template.ts';

/** Characters of a rendered prompt. */
const MOST_UNITS = 1 << 26;
const CALL: Script = new Script('work()');
/** Templates that ask for today's date would render other bytes tomorrow: they get this one. */
const FIXED_DATE: Readonly<Record<string, string>> = {
  d: '26',
  b: 'Jul',
  B: 'July',
  m: '07',
  Y: '2024',
  y: '24',
  H: '00',
  M: '00',
  S: '00',
  A: 'Friday',
  a: 'Fri',
};
const fixedDate = (format: string): string => format.replace(/%([A-Za-z])/g, (_all, letter: string) => FIXED_DATE[letter] ?? '');

let template: InstanceType<Jinja['Template']> | undefined;

process.on('disconnect', () => process.exit());
process.on('message', (rendering: Rendering) => void answer(rendering));

async function answer({ engineDirectory, source, limitMs, variables }: Rendering): Promise<void> {
  let stage: 'read' | 'render' = 'read';
  let rendered: Rendered;
  try {
    const { Template } = await loadJinja(engineDirectory);
    const text = withinTime(limitMs, () => {
      template ??= new Template(source.replaceAll('strftime_now', 'fixed_date'));
      stage = 'render';
      return template.render({ ...variables, fixed_date: fixedDate });
    });
    rendered = text.length > MOST_UNITS ? { stage, refused: `it says more than ${MOST_UNITS} characters` } : { text };
  } catch (error) {
    rendered = { stage, refused: error instanceof Error ? error.message : String(error) };
  }
  if (process.connected) process.send?.(rendered);
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
