// Texts on which tokenizers are slow: one sign repeated, and random text of many kinds, new in each round so that no
// cache of pieces answers for the encoder.
import { random } from './recall-set/conversation.ts';

const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const UPPER = LOWER.toUpperCase();
const DIGITS = '0123456789';
const SIGNS = '!"#$%&()*+,-.:;<=>?@[]^_`{|}~';
const WORDS = 'user name get handler request config Value index of state Machine session Token count is to File path'.split(' ');

const REPEATED: Record<string, string> = {
  letter: 'a',
  spaces: ' ',
  newlines: '\n',
  exclamation: '!',
  equals: '=',
  cjk: '文',
  pair: 'ab',
  word: 'hello',
  border: `+${'-'.repeat(30)}`,
};

/** By kind: a piece of text from a source of random numbers below a limit. */
type Piece = (next: (limit: number) => number) => string;
const RANDOM: Record<string, Piece> = {
  randomLetters: from(LOWER),
  randomCommonLetters: from('eeeeeettttaaaaooooiiiinnnnssshhhrrrdllu'),
  randomUpper: from(UPPER),
  randomCase: from(LOWER + UPPER),
  random70Letters: (next) => `${Array.from({ length: 60 + next(20) }, () => from(LOWER)(next)).join('')} `,
  randomShortWords: (next) => `${Array.from({ length: 5 + next(30) }, () => from(LOWER)(next)).join('')} `,
  identifiers: (next) => WORDS[next(WORDS.length)] ?? '',
  base64: from(`${LOWER}${UPPER}${DIGITS}+/`),
  hex: from(`${DIGITS}abcdef`),
  digits: from(DIGITS),
  signs: from(SIGNS),
  signRuns: (next) => ('-=*#_'[next(5)] ?? '').repeat(1 + next(12)),
  longSignRuns: (next) => ('-=*#_'[next(5)] ?? '').repeat(1 + next(90)),
  blanks: from(' \t\n\r'),
  tabsAndSpaces: from(' \t'),
  randomCjk: range(0x4e00, 0x9fff),
  hangul: range(0xac00, 0xd7a3),
  kana: range(0x3041, 0x30ff),
  thai: range(0x0e01, 0x0e4e),
  devanagari: range(0x0905, 0x0950),
  arabic: range(0x0621, 0x064b),
  cyrillic: range(0x0430, 0x0450),
  cyrillicWords: words(range(0x0430, 0x0450), 2, 11),
  cyrillicLongWords: words(range(0x0430, 0x0450), 12, 40),
  greek: range(0x03b1, 0x03ca),
  hebrew: range(0x05d0, 0x05eb),
  arabicWords: words(range(0x0627, 0x064b), 2, 8),
  hindiWords: words(range(0x0905, 0x094d), 2, 8),
  accentedWords: words(from('aaaeeeiınnrrlldkkmmuyttssobüşzgcçhğvöpfj'), 3, 14),
  mixedScripts: (next) => words(range(0x0430, 0x0450), 1, 4)(next).trim() + words(from(LOWER), 1, 4)(next),
  camelCase: (next) => words(from(LOWER), 2, 7)(next).trim() + from(UPPER)(next) + words(from(LOWER), 2, 7)(next),
  minified: (next) => from(LOWER)(next) + from('.(,=;!)?:&|[]{}')(next) + words(from(LOWER), 1, 6)(next).trim(),
  uuids: (next) => `${[8, 4, 4, 4, 12].map((length) => words(from(`${DIGITS}abcdef`), length, length)(next).trim()).join('-')}\n`,
  csvNumbers: (next) => `${next(1_000_000)}.${next(10_000)},`,
  accented: range(0x00c0, 0x0180),
  emoji: range(0x1f300, 0x1f700),
  joinedEmoji: (next) => `${range(0x1f466, 0x1f480)(next)}\u200d`,
  combining: (next) => 'aeiou'.charAt(next(5)) + range(0x300, 0x370)(next) + range(0x300, 0x370)(next),
  anyBelow10000: (next) => range(0x20, 0xd7ff)(next),
  anyAbove10000: range(0x10000, 0x110000),
};

/** Kinds of text, and how to make `bytes` of one in a given round. */
export function textKinds(): Map<string, (bytes: number, round: number) => string> {
  const kinds = new Map<string, (bytes: number, round: number) => string>();
  for (const [kind, unit] of Object.entries(REPEATED)) kinds.set(kind, (bytes) => unit.repeat(Math.ceil(bytes / Buffer.byteLength(unit))));
  for (const [kind, piece] of Object.entries(RANDOM)) {
    kinds.set(kind, (bytes, round) => {
      const next = random(7 + round);
      const parts: string[] = [];
      for (let size = 0; size < bytes;) {
        const part = piece(next);
        parts.push(part);
        size += Buffer.byteLength(part);
      }
      return parts.join('');
    });
  }
  return kinds;
}

function from(alphabet: string): Piece {
  return (next) => alphabet.charAt(next(alphabet.length));
}

/** One word and a space. */
function words(letter: Piece, fewest: number, most: number): Piece {
  return (next) => `${Array.from({ length: fewest + next(most - fewest + 1) }, () => letter(next)).join('')} `;
}

function range(start: number, end: number): Piece {
  return (next) => String.fromCodePoint(start + next(end - start));
}
