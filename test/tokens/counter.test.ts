import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LETTER, NUMBER, SPACE, classTable } from '../../src/tokens/classes.ts';
import { openCounter } from '../../src/tokens/counter.ts';
import { TOKENIZERS } from '../../src/tokens/types.ts';
import { LinearEncoder } from '../../src/tokens/linear.ts';
import { mergeRuns } from '../../src/tokens/runs.ts';
import { Vocabulary, loadVocabulary } from '../../src/tokens/vocabulary.ts';
import { WINDOW_BYTES, WindowEncoder } from '../../src/tokens/windows.ts';
import { oracle } from './oracle.ts';

/** Pieces of text on which the split patterns differ most. */
const ATOMS = [
  'a',
  'A',
  'é',
  'É',
  'ſ',
  "'",
  's',
  'S',
  "'re",
  "'LL",
  "'d",
  '文',
  'ǅ',
  'ʰ',
  '\u0301',
  '1',
  '٣',
  'Ⅷ',
  ' ',
  '  ',
  '\t',
  '\n',
  '\r\n',
  '/',
  '!',
  '#',
  '<',
  '>',
  '\ufeff',
  '\u0085',
  '\u00a0',
  '\u3000',
  '\ud800',
  '\udc00',
  '😀',
  '👩‍👩‍👧',
  '𝒜',
  '𝒶',
  '<|endoftext|>',
  '<|fim_prefix|>',
  '\u2028',
  '_',
  '-',
  '日本',
  'ing',
  ' the',
  'The',
  '\0',
  'ไทย',
  'کتاب',
  '\u{10940}',
  '{"role":"user"}',
];
const mixed = fc.oneof(
  fc.array(fc.constantFrom(...ATOMS), { maxLength: 24 }).map((atoms) => atoms.join('')),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc
    .tuple(fc.constantFrom(...ATOMS), fc.integer({ min: 1, max: 300 }), fc.constantFrom(...ATOMS))
    .map(([atom, times, end]) => atom.repeat(times) + end),
  fc.array(fc.constantFrom(...'etaoinshrdlu'.split('')), { minLength: 97, maxLength: 400 }).map((letters) => letters.join('')),
);

/** Alphabets that make pieces of many windows. */
const ALPHABETS = [
  'abcdefghijklmnopqrstuvwxyz',
  'etaoinshr',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  'ab',
  '=-',
  '!"#$%&()*+,-.:;<=>?@[]^_`{|}~',
  ' \t',
  'абвгдежзиклмнопрстуфхцчшщыьэюя',
  'กขคงจชดตนบปพมยรลวสหอะาิีเแโ',
  '的一是不了人我在有他这中大来上国文',
  '😀😂🥰👍👩\u200d🏽\ufe0f',
  'e\u0301\u0308\u0323',
];
/** Scripts of two bytes a letter, letters that are rare among them, and what stands between words. */
const SCRIPTS = [
  'абвгдежзийклмнопрстуфхцчшщъыьэюяёієґ',
  'АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЫЬЭЮЯ',
  'αβγδεζηθικλμνξοπρσςτυφχψωάέή',
  'אבגדהוזחטיכלמנסעפצקרשת\u05b0\u05b7',
  'ابتثجحخدذرزسشصضطظعغفقكلمنهوي\u064b\u0651',
  'աբգդեզէըթժիլխծկհձղճմյնշ',
  'äöüßéèêàçñåøæğışčžłęąőűđǅʰ',
  Array.from({ length: 40 }, (_, i) => String.fromCodePoint(0x80 + i * 47)).join(''),
].map((letters) => Array.from(letters));
const twoBytes = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...SCRIPTS).chain((letters) => fc.array(fc.constantFrom(...letters), { maxLength: 40 })) },
      { weight: 1, arbitrary: fc.constantFrom(...SCRIPTS.flat()).map((letter) => [letter]) },
      { weight: 2, arbitrary: fc.constantFrom(' ', '-', 'a', 'the', '«', '\u00a0', '文').map((other) => [other]) },
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.flat().join(''));
const WORDS = ['user', 'name', 'get', 'handler', 'request', 'config', 'value', 'index', 'of', 'state', 'machine', 'session', 'token'];
const long = fc.oneof(
  fc.constantFrom(...ALPHABETS).chain((alphabet) => fc.array(fc.constantFrom(...Array.from(alphabet)), { minLength: 60, maxLength: 700 })),
  fc.array(fc.constantFrom(...WORDS), { minLength: 12, maxLength: 150 }),
  fc.array(
    fc.tuple(fc.constantFrom('a', 'b', '=', ' ', '-', 'xyz'), fc.integer({ min: 1, max: 90 })).map(([unit, times]) => unit.repeat(times)),
    { minLength: 2, maxLength: 40 },
  ),
);
/** Texts of one piece: letters of one case, or signs. */
const single = fc
  .oneof(
    fc
      .constantFrom('abcdefghijklmnopqrstuvwxyz', 'etaoinshr', 'ab', '=-', '!"#$%&()*+,-.:;<>?@[]^_`{|}~', 'абвгдежзиклмнопрст')
      .chain((alphabet) => fc.array(fc.constantFrom(...Array.from(alphabet)), { minLength: 1, maxLength: 300 })),
    fc.array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 60 }),
    fc.array(
      fc.tuple(fc.constantFrom('=', '-', '#'), fc.integer({ min: 1, max: 90 })).map(([unit, times]) => unit.repeat(times)),
      { minLength: 1, maxLength: 20 },
    ),
  )
  .map((parts) => parts.join(''));

describe.each(TOKENIZERS)('%s', (name) => {
  const counter = openCounter(name);
  const reference = oracle(name);

  test('TOK-1 tokens and counts equal those of tiktoken on any text', () => {
    fc.assert(
      fc.property(mixed, (text) => {
        const wanted = reference(text);
        expect([...counter.encode(text)]).toEqual(wanted);
        expect(counter.count(text)).toBe(wanted.length);
      }),
      { numRuns: 1500 },
    );
  });

  test('TOK-1 counts equal those of tiktoken on whole files', () => {
    for (const root of ['../fixtures/recall/', '../../src/tokens/', '../../src/search/', '../../abi-spec/']) {
      const directory = fileURLToPath(new URL(root, import.meta.url));
      for (const file of readdirSync(directory, { withFileTypes: true })) {
        if (!file.isFile()) continue;
        const text = readFileSync(`${directory}${file.name}`, 'utf8');
        expect(counter.count(text), file.name).toBe(reference(text).length);
      }
    }
  });

  test('TOK-1 short pieces that no token has are counted as tiktoken counts them, also when more come than are kept', () => {
    let state = 5;
    const below = (limit: number): number => {
      state = (Math.imul(state, 0x41c64e6d) + 12_345) | 0;
      return ((state >>> 8) & 0xffff) % limit;
    };
    const alphabets = ['abcdefghijklmnopqrstuvwxyz', 'aeiou~é', '#%-_/=.', 'абв文ไ'];
    const pieces: string[] = [];
    for (let i = 0; i < 90_000; i += 1) {
      const alphabet = Array.from(alphabets[i % alphabets.length] ?? '');
      pieces.push(Array.from({ length: 1 + below(9) }, () => alphabet[below(alphabet.length)]).join(''));
    }
    const text = pieces.join(' ');
    const wanted = reference(text).length;
    // The second time, what was asked for before is kept.
    for (let round = 0; round < 3; round += 1) expect(counter.count(text)).toBe(wanted);
    expect(counter.encode(text).length).toBe(wanted);
  });

  test('TOK-1 letters of two bytes that are joined before all else are encoded as tiktoken encodes them', () => {
    fc.assert(
      fc.property(twoBytes, (text) => {
        const wanted = reference(text);
        expect([...counter.encode(text)]).toEqual(wanted);
        expect(counter.count(text)).toBe(wanted.length);
      }),
      { numRuns: 1000 },
    );
  });

  test('TOK-2 long runs are counted as tiktoken counts them', () => {
    for (const unit of ['a', 'A', ' ', '\n', '!', '=', '-', '\t', '0', '文', 'ab', '=-', 'é']) {
      for (const times of [97, 128, 257, 1023, 2500]) {
        for (const text of [unit.repeat(times), `${unit.repeat(times)}\n`, `x${unit.repeat(times)}!!${unit.repeat(times)}`]) {
          expect(counter.count(text), `${JSON.stringify(unit)} x ${times}`).toBe(reference(text).length);
        }
      }
    }
  });

  test('TOK-2 long pieces of many windows are encoded as tiktoken encodes them', () => {
    fc.assert(
      fc.property(long, (parts) => {
        const text = parts.join('');
        const wanted = reference(text);
        expect([...counter.encode(text)]).toEqual(wanted);
        expect(counter.count(text)).toBe(wanted.length);
      }),
      { numRuns: 700 },
    );
  });

  test('TOK-2 windows join to the same tokens as the longest-compatible-token method, or say that they cannot', () => {
    const vocabulary = loadVocabulary(name);
    const windows = new WindowEncoder(vocabulary);
    const linear = new LinearEncoder(vocabulary);
    const refused = [0, 0];
    fc.assert(
      fc.property(long, (parts) => {
        const bytes = Buffer.from(parts.join(''));
        const wanted: number[] = [];
        linear.encode(bytes, bytes.length, wanted);
        const got: number[] = [-1];
        const count = windows.encode(bytes, bytes.length, got);
        expect(windows.encode(bytes, bytes.length)).toBe(count);
        (refused as [number, number])[count < 0 ? 1 : 0] += 1;
        expect(got).toEqual(count < 0 ? [-1] : [-1, ...wanted]);
      }),
      { numRuns: 700 },
    );
    expect(refused.every((times) => times > 0)).toBe(true);
    // A token of more than a window.
    expect(windows.encode(new Uint8Array(WINDOW_BYTES * 4).fill(0x20), WINDOW_BYTES * 4)).toBe(-1);
  });

  test('TOK-2 the longest-compatible-token method encodes single pieces as tiktoken does', () => {
    const linear = new LinearEncoder(loadVocabulary(name));
    fc.assert(
      fc.property(single, (text) => {
        const bytes = Buffer.from(text);
        const got: number[] = [];
        expect(linear.encode(bytes, bytes.length, got)).toBe(got.length);
        expect(got).toEqual(reference(text));
      }),
      { numRuns: 400 },
    );
  });

  test('TOK-2 where few pairs of tokens come again the linear way is given up, and tried again after a while', () => {
    const linear = new LinearEncoder(loadVocabulary(name));
    const repetitive = Buffer.from(WORDS.join('').repeat(100));
    const wanted = linear.encode(repetitive, repetitive.length);
    let state = 9;
    const random = Buffer.from(
      Array.from({ length: 200_000 }, () => {
        state = (Math.imul(state, 0x41c64e6d) + 12_345) | 0;
        return 97 + (((state >>> 8) & 0xffff) % 26);
      }),
    );
    const into = [7];
    expect(linear.tryEncode(repetitive, repetitive.length)).toBe(wanted);
    expect(linear.tryEncode(random, random.length, into)).toBe(-1);
    expect(into).toEqual([7]);
    expect(linear.tryEncode(repetitive, repetitive.length)).toBe(-1);
    for (let passed = 0; passed < 1 << 20; passed += random.length) linear.tryEncode(random, random.length);
    expect(linear.tryEncode(repetitive, repetitive.length)).toBe(wanted);
  });

  test('TOK-2 runs of a million characters agree between the two ways to encode them', () => {
    const vocabulary = loadVocabulary(name);
    const linear = new LinearEncoder(vocabulary);
    let agreed = 0;
    for (const byte of [0x3d, 0x61, 0x2d, 0x20]) {
      const bytes = new Uint8Array(20_011).fill(byte);
      const runs = mergeRuns(vocabulary, bytes, bytes.length);
      if (runs < 0) continue;
      expect(runs).toBe(linear.encode(bytes, bytes.length));
      agreed += 1;
    }
    expect(agreed).toBeGreaterThan(1);
    const million = counter.count('='.repeat(1_000_000));
    expect(Math.abs(million - 100 * counter.count('='.repeat(10_000)))).toBeLessThanOrEqual(300);
  });

  test('TOK-3 parts that start with < or # after a newline have counts that add up', () => {
    const part = fc.tuple(fc.constantFrom('<', '#'), mixed).map(([mark, text]) => mark + text);
    fc.assert(
      fc.property(mixed, part, part, (head, first, second) => {
        const parts = [`${head}\n`, `${first}\n`, second];
        const whole = parts.join('');
        expect(parts.reduce((sum, text) => sum + counter.count(text), 0)).toBe(reference(whole).length);
      }),
      { numRuns: 1000 },
    );
  });

  test('TOK-6 a count does not depend on what was counted before', () => {
    const texts = fc.sample(mixed, { numRuns: 200, seed: 11 });
    const before = texts.map((text) => counter.count(text));
    // More different pieces than the cache holds.
    for (let i = 0; i < 70_000; i += 1) counter.count(` w${i.toString(36)}`);
    expect(texts.map((text) => counter.count(text))).toEqual(before);
  });
});

test('TOK-1 windows merge by the definition with any vocabulary, also one whose tokens cut letters apart', () => {
  const byte = fc.constantFrom(0xd0, 0xb0, 0x20, 0x61);
  const made = fc.uniqueArray(
    fc.array(byte, { minLength: 2, maxLength: 4 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    { minLength: 6, maxLength: 40 },
  );
  fc.assert(
    fc.property(made, fc.array(byte, { minLength: 1, maxLength: 40 }), (longer, text) => {
      const tokens = [...Array.from({ length: 256 }, (_, value) => String.fromCharCode(value)), ...longer];
      const offsets = tokens.reduce<number[]>((ends, token) => [...ends, (ends.at(-1) ?? 0) + token.length], [0]);
      const vocabulary = new Vocabulary(Buffer.from(tokens.join(''), 'latin1'), Int32Array.from(offsets));
      const got: number[] = [];
      // Where boundaries go back too often another way is taken: texts are shorter than a window.
      expect(new WindowEncoder(vocabulary).encode(Uint8Array.from(text), text.length, got)).toBe(got.length);
      expect(got).toEqual(mergedByDefinition(tokens, Buffer.from(text).toString('latin1')));
    }),
    // What two bytes are part of may come before the two.
    {
      numRuns: 1000,
      examples: [
        [
          ['\xd0\xb0a', 'a ', '\xd0\xb0'],
          [0xd0, 0xb0, 0x61, 0x20],
        ],
      ],
    },
  );
});

/** The lowest rank first, the leftmost among equals. */
function mergedByDefinition(tokens: readonly string[], text: string): number[] {
  const parts = Array.from(text);
  for (;;) {
    const ranks = parts.slice(1).map((part, i) => tokens.indexOf(`${parts[i] ?? ''}${part}`));
    const best = Math.min(...ranks.filter((rank) => rank >= 0));
    if (best === Infinity) return parts.map((part) => tokens.indexOf(part));
    parts.splice(ranks.indexOf(best), 2, tokens[best] ?? '');
  }
}

test('TOK-4 an unknown tokenizer is an error, never another one', () => {
  expect(() => openCounter('p50k_base')).toThrow(expect.objectContaining({ code: 'tokens.unknown', errno: 'EINVAL' }) as Error);
  expect(() => loadVocabulary('no_such_base')).toThrow(expect.objectContaining({ code: 'tokens.unavailable', errno: 'ENOENT' }) as Error);
  expect(openCounter().name).toBe('o200k_base');
});

test('TOK-5 the class table agrees with the runtime on every code point that Unicode 16 knows', () => {
  const table = classTable();
  const wrong: string[] = [];
  const kinds = [
    [LETTER, /\p{L}/u],
    [NUMBER, /\p{N}/u],
    [SPACE, /\p{White_Space}/u],
  ] as const;
  for (let point = 0; point < 0x110000; point += 1) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const text = String.fromCodePoint(point);
    const kind = table[point] as number;
    for (const [bit, pattern] of kinds) {
      // The runtime may know more (later) characters, never fewer.
      if ((kind & bit) !== 0 && !pattern.test(text)) wrong.push(point.toString(16));
      if ((kind & bit) === 0 && point < 0x250 && pattern.test(text)) wrong.push(point.toString(16));
    }
  }
  expect(wrong).toEqual([]);
});
