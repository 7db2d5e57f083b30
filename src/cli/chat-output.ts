// How an answer is shown: text as it comes, or one JSON object a line. What was restored and evaluated goes beside the answer.
import type { GenerateEvent, GenerateOutcome } from '../engine/types.ts';
import { countWords } from './figures.ts';
import type { Terminal } from './terminal.ts';

export interface ChatOutput {
  event(event: GenerateEvent): void;
  done(outcome: GenerateOutcome, model: string): void;
}

/** What a model says never drives a terminal: control characters but tab and line end are left out there. */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

export function textOutput(terminal: Terminal, onTerminal: boolean): ChatOutput {
  const shown = (text: string): string => (onTerminal ? text.replace(CONTROLS, '') : text);
  let told = false;
  let column = 0;
  const usage = (restored: number, evaluated: number): void => {
    told = true;
    terminal.note(terminal.style('dim', `ctx: ${countWords(restored)} tokens restored, ${countWords(evaluated)} evaluated`));
  };
  return {
    event(event) {
      if (event.kind === 'start') usage(event.restoredTokens, event.evaluatedTokens);
      else if (event.kind === 'text') {
        column = event.text.endsWith('\n') ? 0 : 1;
        void terminal.write(shown(event.text));
      } else {
        if (column > 0) terminal.line('');
        column = 0;
        terminal.line(shown(`[call ${event.id}] ${event.name} ${event.arguments}`));
      }
    },
    done(outcome) {
      if (column > 0) terminal.line('');
      if (!told) usage(outcome.restoredTokens, outcome.evaluatedTokens);
      if (outcome.stop === 'length') terminal.note('ctx: cut at --max-tokens');
      if (outcome.stop === 'aborted') terminal.note('ctx: stopped; what came is kept');
      told = false;
      column = 0;
    },
  };
}

/** `{"type":"usage",…}` once, `text` and `tool_call` as they come, `done` last. */
export function jsonOutput(terminal: Terminal): ChatOutput {
  let told = false;
  const print = (value: Readonly<Record<string, unknown>>): void => terminal.line(JSON.stringify(value));
  const usage = (restored: number, evaluated: number): void => {
    told = true;
    print({ type: 'usage', restored_tokens: restored, evaluated_tokens: evaluated });
  };
  return {
    event(event) {
      if (event.kind === 'start') usage(event.restoredTokens, event.evaluatedTokens);
      else if (event.kind === 'text') print({ type: 'text', text: event.text });
      else print({ type: 'tool_call', id: event.id, name: event.name, arguments: event.arguments });
    },
    done(outcome, model) {
      if (!told) usage(outcome.restoredTokens, outcome.evaluatedTokens);
      told = false;
      print({ type: 'done', stop: outcome.stop, text: outcome.text, generated_tokens: outcome.generatedTokens, model });
    },
  };
}
