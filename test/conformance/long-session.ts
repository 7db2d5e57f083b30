// A session as a coding agent leaves it: requests, calls with results, repeated file reads, decisions, facts. Deterministic.

/** The same file, read again and again: what repeats in real transcripts. */
export const REPEATED_OUTPUT: string = Array.from(
  { length: 60 },
  (_, line) => `${line + 1}\texport const SETTING_${line} = 'value number ${line} of the settings file';`,
).join('\n');

export const NEWEST_REQUEST = 'Now tell me: which port does the staging server use, and what is still open?';

export function longSession(turns: number): string {
  const lines: object[] = [];
  for (let turn = 1; turn <= turns; turn++) {
    lines.push({ role: 'user', content: request(turn) });
    lines.push({
      role: 'assistant',
      content: `I will look at module ${turn}.`,
      tool_calls: [
        {
          id: `call_${turn}`,
          type: 'function',
          function: { name: 'read_file', arguments: JSON.stringify({ path: `/repo/src/module-${turn % 7}.ts` }) },
        },
      ],
    });
    lines.push({ role: 'tool', tool_call_id: `call_${turn}`, content: turn % 5 === 0 ? REPEATED_OUTPUT : output(turn) });
    lines.push({ role: 'assistant', content: answer(turn) });
  }
  lines.push({ role: 'user', content: NEWEST_REQUEST });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

function request(turn: number): string {
  if (turn === 3) return 'Remember: the staging server listens on port 8443. Please check the settings.';
  if (turn === 6) return "Let's use SQLite for the lock table.";
  return `Please review module ${turn} of the project and fix what is wrong with its locks.`;
}

function answer(turn: number): string {
  if (turn === 9) return 'We decided to keep the old API until version 3.\n\nTODO: update the changelog for module nine.';
  return `Module ${turn} is reviewed: its lock is taken once and released in a finally block. All ${turn * 3} tests pass.`;
}

function output(turn: number): string {
  return Array.from(
    { length: 12 },
    (_, line) => `${line + 1}\tfunction lock${turn}_${line}() { return acquire(${turn * 31 + line}, 'module ${turn}'); }`,
  ).join('\n');
}
