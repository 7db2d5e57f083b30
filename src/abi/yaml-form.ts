// The form of YAML that nobody vouches for, before it is composed: the composer recurses, which deep text makes end the process
// (a regular expression that is compiled where the stack ends), and keeps an error for every character that is out of place.
import { loadYaml } from './packages.ts';

/** Collections in each other; what a file means is bounded more tightly by who reads it. */
const MOST_DEEP = 256;

export interface YamlFault {
  readonly deep: boolean;
  readonly what: string;
}

/** What is wrong first: too deep, a second document, or a character out of place. Time in proportion to the text, whatever it is. */
export function yamlFault(text: string): YamlFault | undefined {
  const fault = (what: string): YamlFault => ({ deep: false, what });
  const { Lexer, Parser } = loadYaml();
  const parser = new Parser();
  let documents = 0;
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === 'error') return fault(`${token.message} at character ${token.offset + 1}`);
      if (token.type === 'document' && ++documents > 1) return fault('has several documents');
    }
    if (parser.stack.length > MOST_DEEP) return { deep: true, what: 'is nested too deep' };
  }
  return undefined;
}
