// The thesaurus by topic: general English, written by hand for this project. In every file a group of words that stand
// for one another ends with ` | ` or with its line; `kind ... > member ...` names a kind (or what often goes with a word);
// `phrase >> words` gives what goes with the words of a phrase, loosely; a line that opens with # is a title. The words are lower case ASCII.
import { ASKING_LIFE } from './asking-life.ts';
import { ASKING_WORK } from './asking-work.ts';
import { ASSOCIATIONS } from './associations.ts';
import { BODY } from './body.ts';
import { CALLINGS } from './callings.ts';
import { CRAFTING } from './crafting.ts';
import { EVERYDAY } from './everyday.ts';
import { FAMILIES } from './families.ts';
import { FAMILIES_MORE } from './families-more.ts';
import { FOOD } from './food.ts';
import { GENERAL } from './general.ts';
import { HOME } from './home.ts';
import { KINDS_LIFE } from './kinds-life.ts';
import { KINDS_WORK } from './kinds-work.ts';
import { LEARNING } from './learning.ts';
import { LEISURE } from './leisure.ts';
import { LETTERS_A_D } from './letters-a-d.ts';
import { LETTERS_A_D_MORE } from './letters-a-d-more.ts';
import { LETTERS_E_L } from './letters-e-l.ts';
import { LETTERS_E_L_MORE } from './letters-e-l-more.ts';
import { LETTERS_M_R } from './letters-m-r.ts';
import { LETTERS_R_Z } from './letters-r-z.ts';
import { LETTERS_S_Z } from './letters-s-z.ts';
import { LINKS } from './links.ts';
import { MEMBERS } from './members.ts';
import { MONEY } from './money.ts';
import { NATURE } from './nature.ts';
import { PEOPLE } from './people.ts';
import { REST } from './rest.ts';
import { SHADES } from './shades.ts';
import { SOCIETY } from './society.ts';
import { SOFTWARE } from './software.ts';
import { TRAVEL } from './travel.ts';
import { VERBS } from './verbs.ts';

export { FAMILIES, FAMILIES_MORE };

/** Each line is a small field as well: its words are loosely related. */
export const TOPICS: readonly string[] = [HOME, BODY, FOOD, TRAVEL, MONEY, PEOPLE, LEARNING, LEISURE, NATURE, SOCIETY, SOFTWARE];

/** Groups and kinds only. */
export const PLAIN: readonly string[] = [
  GENERAL,
  KINDS_LIFE,
  KINDS_WORK,
  ASSOCIATIONS,
  VERBS,
  EVERYDAY,
  LETTERS_A_D,
  LETTERS_A_D_MORE,
  LETTERS_E_L,
  LETTERS_E_L_MORE,
  LETTERS_M_R,
  LETTERS_R_Z,
  LETTERS_S_Z,
  ASKING_LIFE,
  ASKING_WORK,
  LINKS,
  MEMBERS,
  SHADES,
  REST,
  CRAFTING,
  CALLINGS,
];
