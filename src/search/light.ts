// Common English words say little about what a question is after: they count for less in it, and stand for little.
import { wordTerms } from './terms.ts';

/** Words of grammar in all but name, and the emptiest verbs. */
const FAINT: readonly string[] = [
  'get go come take give put make happen let seem many much lot lots few us someone somebody something anything anyone everything everyone nothing nobody anybody',
  'thing stuff kind sort type way part bit around back away still already even ever always also too rather each every any another first last next',
  'same different exactly actually currently later now yet again else able well one ones two both several whole all some instead together without within between',
  'across along upon towards since though although unless whether otherwise however therefore thus hence almost nearly enough less least',
  'want need use try keep become stay turn bring start stop begin end finish leave look find see know think say tell ask call mean feel like seem work run set move',
  'good bad new old big small great little long short high low right wrong sure real true full certain possible various general main particular special usual',
  'today tomorrow yesterday soon often sometimes usually never once twice far near here there up down out in',
];
/** Ordinary words of many meanings. */
const LIGHT: readonly string[] = [
  'man woman people person guy time day year week month hour minute place name number point case reason problem question answer idea plan result change',
  'world life hand eye head side line group fact word example matter issue state area form level order list item piece set pair top bottom front middle',
  'show help play pay meet include continue learn lead understand watch follow create speak read allow add spend grow open walk win offer remember love consider appear buy wait serve die send',
  'expect build fall cut reach remain suggest raise pass sell require report decide pull hold write provide sit stand lose happen hear live believe hope',
  'important large early young different public late hard major better strong free easy clear recent close single half third second quarter only other',
  'sound notice touch check deal hit cover stick catch drop rest return share care join save fit face drive carry break draw push throw fill sign act lift wear mark cause cost rate',
];

/** In sixteenths of an ordinary word: what it counts as a word of the question, and as one that stands for another. */
export interface Lightness {
  readonly asked: number;
  readonly instead: number;
}

const ORDINARY: Lightness = { asked: 16, instead: 16 };
const LIGHTNESS: ReadonlyMap<string, Lightness> = new Map<string, Lightness>([
  ...termsOf(LIGHT).map((term): [string, Lightness] => [term, { asked: 13, instead: 9 }]),
  ...termsOf(FAINT).map((term): [string, Lightness] => [term, { asked: 6, instead: 2 }]),
]);

/** A faint word of a question: nothing is looked for in its place. */
export function isFaint(term: string): boolean {
  return lightnessOf(term).asked < 8;
}

export function lightnessOf(term: string): Lightness {
  return LIGHTNESS.get(term) ?? ORDINARY;
}

function termsOf(lines: readonly string[]): readonly string[] {
  return lines.flatMap((line) => line.split(' ').flatMap((word) => wordTerms(word)));
}
