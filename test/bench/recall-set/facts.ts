// Reads the labelled recall set (test/fixtures/recall): facts with evidence marks and questions, and fillers.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly text: string;
  /** '' no evidence; '*' for every question of the fact. */
  readonly mark: string;
}

export interface Fact {
  readonly name: string;
  /** Parts are told apart from each other, in order. */
  readonly parts: readonly (readonly Turn[])[];
  /** In other words throughout. */
  readonly questions: readonly string[];
  /** The same questions as a person asks them: people and things by their names. */
  readonly plain: readonly string[];
  /** As one asks who has forgotten the exact words; only some sets have them. */
  readonly middle?: readonly string[];
}

export function readFacts(directory: string): readonly Fact[] {
  const facts: Fact[] = [];
  const plain = readQuestions(join(directory, 'questions-plain.txt'));
  const middlePath = join(directory, 'questions-middle.txt');
  const middle = existsSync(middlePath) ? readQuestions(middlePath) : undefined;
  for (const file of readdirSync(directory)
    .filter((name) => name.startsWith('facts-'))
    .sort()) {
    for (const block of blocks(readFileSync(join(directory, file), 'utf8'), /^= /m)) facts.push(parseFact(block, plain, middle));
  }
  return facts;
}

function readQuestions(path: string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    blocks(readFileSync(path, 'utf8'), /^= /m).map((block) => {
      const [name = '', ...questions] = block.split('\n');
      return [name, questions] as const;
    }),
  );
}

export function readFillers(directory: string): readonly (readonly Turn[])[] {
  return blocks(readFileSync(join(directory, 'filler.txt'), 'utf8'), /^-$/m).map((block) =>
    block
      .split('\n')
      .filter((line) => line !== '')
      .map(parseTurn),
  );
}

function blocks(text: string, border: RegExp): readonly string[] {
  const body = text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n');
  return body
    .split(border)
    .map((block) => block.trim())
    .filter((block) => block !== '');
}

type Questions = ReadonlyMap<string, readonly string[]>;

function parseFact(block: string, plain: Questions, middle: Questions | undefined): Fact {
  const [name = '', ...lines] = block.split('\n');
  const parts: Turn[][] = [[]];
  const questions: string[] = [];
  for (const line of lines) {
    if (line === '--') parts.push([]);
    else if (line.startsWith('? ')) questions.push(line.slice(2));
    else if (line !== '') (parts.at(-1) as Turn[]).push(parseTurn(line));
  }
  const worded = (wordings: Questions): readonly string[] => {
    const same = wordings.get(name) ?? [];
    if (same.length !== questions.length) throw new Error(`${name} has ${questions.length} questions and ${same.length} in other wording`);
    return same;
  };
  const fact = { name, parts, questions, plain: worded(plain) };
  return middle === undefined ? fact : { ...fact, middle: worded(middle) };
}

function parseTurn(line: string): Turn {
  const match = /^([ua])(\*?) +(.*)$/.exec(line);
  if (match === null) throw new Error(`not a turn: ${line}`);
  return { role: match[1] === 'u' ? 'user' : 'assistant', mark: match[2] as string, text: match[3] as string };
}
