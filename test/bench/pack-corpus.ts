// Messages as an agent's session has them, about 1 KB each: made from line numbers alone, so any size is reproducible.

const WORDS = (
  'the build fails because parser returns undefined when config file has no section so we should check index first and then report ' +
  'error with path line number instead of throwing also add test for empty input cache memory token budget journal segment order replay digest ' +
  'server client request response timeout retry queue worker thread module import export function class value string buffer array map set ' +
  'customer invoice payment refund address delivery warehouse calendar meeting travel hotel flight recipe garden music paint bicycle river'
).split(' ');

/** One line of messages.jsonl without its newline. */
export function messageText(n: number): string {
  const random = generator(n * 2654435761);
  const phase = n % 8;
  if (phase === 1) return JSON.stringify({ role: 'user', content: sentences(random, 2 + (n % 3)) });
  if (phase === 2 || phase === 4 || phase === 6) {
    return JSON.stringify({
      role: 'assistant',
      content: sentences(random, 1 + (n % 2)),
      tool_calls: [
        {
          id: `call_${n}`,
          type: 'function',
          function: {
            name: phase === 4 ? 'bash' : 'read_file',
            arguments: JSON.stringify({ path: `src/${pick(random)}/${pick(random)}.ts` }),
          },
        },
      ],
    });
  }
  if (phase === 3 || phase === 5 || phase === 7)
    return JSON.stringify({ role: 'tool', tool_call_id: `call_${n - 1}`, content: output(random) });
  return JSON.stringify({ role: 'assistant', content: sentences(random, 4 + (n % 4)) });
}

function output(random: () => number): string {
  const rows: string[] = [];
  const count = 8 + Math.floor(random() * 28);
  for (let row = 1; row <= count; row++)
    rows.push(
      `${row}: ${pick(random)} = ${pick(random)}(${pick(random)}, ${Math.floor(random() * 1e6)}); // ${pick(random)} ${pick(random)}`,
    );
  return rows.join('\n');
}

function sentences(random: () => number, count: number): string {
  const all: string[] = [];
  for (let n = 0; n < count; n++) {
    const words: string[] = [];
    for (let w = 0, length = 8 + Math.floor(random() * 14); w < length; w++) words.push(pick(random));
    all.push(`${words.join(' ')} ${Math.floor(random() * 1000)}.`);
  }
  return all.join(' ');
}

/** Words by rank, as natural text has them: the first few very often, a long tail of rare ones. */
function pick(random: () => number): string {
  const rank = Math.floor(Math.exp(random() * LOG_WORDS)) - 1;
  return rank < WORDS.length ? (WORDS[rank] as string) : rareWord(rank);
}

const LOG_WORDS = Math.log(30_000);
const SYLLABLES = 'ba ke di mo ru ta len sor vin pak tri gol nes dar fum wit hop cal jen mar'.split(' ');

function rareWord(rank: number): string {
  let word = '';
  for (let left = rank; left > 0; left = Math.floor(left / SYLLABLES.length)) word += SYLLABLES[left % SYLLABLES.length];
  return word;
}

function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
