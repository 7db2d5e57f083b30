// What kind of speech a line is. A person asks about what was told; a line that asks, or that advises, seldom holds it.

const ADDRESSES = /\b(?:you|your|yours)\b/i;
const FIRST_PERSON = /\b(?:I|me|my|mine|we|us|our|ours)\b/i;
const ENDS_ASKING = /\?["')*]*\s*$/;
/** A figure, or a name inside a sentence. */
const SPECIFIC = /\d|[a-z,;:] [A-Z][a-z]/;

/** Of 16 for a statement of no particular kind. */
const PRIOR = { plain: 16, specific: 2, advice: -2, question: -10 };

/** The most that `tells` says. */
export const MOST_TELLS: number = PRIOR.plain + PRIOR.specific;

/** How likely a line is to tell something, in sixteenths. */
export function tells(line: string): number {
  let prior = PRIOR.plain;
  if (SPECIFIC.test(line)) prior += PRIOR.specific;
  if (ADDRESSES.test(line)) prior += PRIOR.advice;
  if (ENDS_ASKING.test(line)) prior += PRIOR.question;
  return prior;
}

/** What a line of a person's own has beside that: most where the question is about "my" or "our" things, nothing where it is put to "you". */
export function ownShare(question: string): number {
  if (ADDRESSES.test(question)) return 0;
  return FIRST_PERSON.test(question) ? 12 : 6;
}
