// The Porter stemmer (M. F. Porter, "An algorithm for suffix stripping", 1980), for lower-case ASCII words.
// Index and query share it, so only its constancy matters: change it together with SEARCH_VERSION.

export function stem(word: string): string {
  if (word.length < 3) return word;
  let w = step1a(word);
  w = step1b(w);
  if (w.endsWith('y') && hasVowel(w.slice(0, -1))) w = `${w.slice(0, -1)}i`;
  w = replaceSuffix(w, STEP2);
  w = replaceSuffix(w, STEP3);
  w = step4(w);
  return step5(w);
}

type Suffixes = readonly (readonly [suffix: string, by: string])[];

/** Suffixes in their order by their last letter: most words end in none of them. */
function byLast(suffixes: Suffixes): readonly (Suffixes | undefined)[] {
  const lists: (readonly [string, string])[][] = [];
  for (const entry of suffixes) (lists[entry[0].charCodeAt(entry[0].length - 1)] ??= []).push(entry);
  return Array.from(lists);
}

const STEP2 = byLast([
  ['ational', 'ate'],
  ['tional', 'tion'],
  ['enci', 'ence'],
  ['anci', 'ance'],
  ['izer', 'ize'],
  ['bli', 'ble'],
  ['alli', 'al'],
  ['entli', 'ent'],
  ['eli', 'e'],
  ['ousli', 'ous'],
  ['ization', 'ize'],
  ['ation', 'ate'],
  ['ator', 'ate'],
  ['alism', 'al'],
  ['iveness', 'ive'],
  ['fulness', 'ful'],
  ['ousness', 'ous'],
  ['aliti', 'al'],
  ['iviti', 'ive'],
  ['biliti', 'ble'],
  ['logi', 'log'],
]);
const STEP3 = byLast([
  ['icate', 'ic'],
  ['ative', ''],
  ['alize', 'al'],
  ['iciti', 'ic'],
  ['ical', 'ic'],
  ['ful', ''],
  ['ness', ''],
]);
const STEP4 = byLast(
  [
    'ement',
    'ment',
    'ent',
    'ance',
    'ence',
    'able',
    'ible',
    'ant',
    'ism',
    'ate',
    'iti',
    'ous',
    'ive',
    'ize',
    'ion',
    'al',
    'er',
    'ic',
    'ou',
  ].map((suffix) => [suffix, ''] as const),
);

function isConsonant(w: string, i: number): boolean {
  switch (w.charCodeAt(i)) {
    case 0x61: // a
    case 0x65: // e
    case 0x69: // i
    case 0x6f: // o
    case 0x75: // u
      return false;
    case 0x79: // y
      return i === 0 || !isConsonant(w, i - 1);
    default:
      return true;
  }
}

/** Number of vowel-consonant sequences. */
function measure(w: string): number {
  let count = 0;
  let vowel = false;
  for (let i = 0; i < w.length; i += 1) {
    const consonant = isConsonant(w, i);
    if (consonant && vowel) count += 1;
    vowel = !consonant;
  }
  return count;
}

function hasVowel(w: string): boolean {
  for (let i = 0; i < w.length; i += 1) if (!isConsonant(w, i)) return true;
  return false;
}

function endsDouble(w: string): boolean {
  return w.length > 1 && w.at(-1) === w.at(-2) && isConsonant(w, w.length - 1);
}

/** consonant, vowel, consonant, the last not w, x or y */
function endsCvc(w: string): boolean {
  const n = w.length;
  if (n < 3 || !isConsonant(w, n - 3) || isConsonant(w, n - 2) || !isConsonant(w, n - 1)) return false;
  const last = w[n - 1];
  return last !== 'w' && last !== 'x' && last !== 'y';
}

function step1a(w: string): string {
  if (w.endsWith('sses') || w.endsWith('ies')) return w.slice(0, -2);
  return w.endsWith('s') && !w.endsWith('ss') ? w.slice(0, -1) : w;
}

function step1b(w: string): string {
  if (w.endsWith('eed')) return measure(w.slice(0, -3)) > 0 ? w.slice(0, -1) : w;
  const cut = w.endsWith('ed') ? 2 : w.endsWith('ing') ? 3 : 0;
  if (cut === 0) return w;
  const base = w.slice(0, -cut);
  if (!hasVowel(base)) return w;
  if (base.endsWith('at') || base.endsWith('bl') || base.endsWith('iz')) return `${base}e`;
  if (endsDouble(base) && !/[lsz]$/.test(base)) return base.slice(0, -1);
  return measure(base) === 1 && endsCvc(base) ? `${base}e` : base;
}

function replaceSuffix(w: string, table: readonly (Suffixes | undefined)[]): string {
  const suffixes = table[w.charCodeAt(w.length - 1)];
  if (suffixes === undefined) return w;
  for (const [suffix, by] of suffixes) {
    if (!w.endsWith(suffix)) continue;
    const base = w.slice(0, -suffix.length);
    return measure(base) > 0 ? base + by : w;
  }
  return w;
}

function step4(w: string): string {
  const suffixes = STEP4[w.charCodeAt(w.length - 1)];
  if (suffixes === undefined) return w;
  for (const [suffix] of suffixes) {
    if (!w.endsWith(suffix)) continue;
    const base = w.slice(0, -suffix.length);
    if (measure(base) <= 1 || (suffix === 'ion' && !/[st]$/.test(base))) return w;
    return base;
  }
  return w;
}

function step5(word: string): string {
  let w = word;
  if (w.endsWith('e')) {
    const base = w.slice(0, -1);
    const m = measure(base);
    if (m > 1 || (m === 1 && !endsCvc(base))) w = base;
  }
  return w.endsWith('ll') && measure(w.slice(0, -1)) > 1 ? w.slice(0, -1) : w;
}
