// Small English tables: words that carry no content, and irregular forms. General language, nothing else.

/** Not indexed and not searched. Lower case; the pieces left by an apostrophe (s, t, ll, …) are here too. */
export const STOP_WORDS: ReadonlySet<string> = new Set(
  (
    'a about above after again against all also am an and any are aren as at be because been before being below between both but by ' +
    'can cannot could couldn d did didn do does doesn doing don down during each few for from further had hadn has hasn have haven having ' +
    'he her here hers herself him himself his how i if in into is isn it its itself just ll m me more most my myself no nor not now o of ' +
    'off on once only or other our ours ourselves out over own re s same she should shouldn so some such t than that the their theirs them ' +
    'themselves then there these they this those through to too under until up ve very was wasn we were weren what when where which while ' +
    'who whom whose why will with won would wouldn you your yours yourself yourselves ' +
    'yes yeah ok okay oh hi hello hey um well really quite please thanks thank let maybe perhaps'
  ).split(' '),
);

/** Irregular form → base form. */
export const IRREGULAR: ReadonlyMap<string, string> = new Map(
  (
    'went go gone go goes go bought buy sold sell told tell said say made make took take taken take gave give given give got get gotten get ' +
    'came come became become began begin begun begin broke break broken break brought bring built build caught catch chose choose chosen choose ' +
    'cost cost cut cut dealt deal drew draw drawn draw drove drive driven drive ate eat eaten eat fell fall fallen fall felt feel fought fight ' +
    'found find flew fly flown fly forgot forget forgotten forget froze freeze frozen freeze grew grow grown grow heard hear held hold hid hide ' +
    'hidden hide hit hit hurt hurt kept keep knew know known know laid lay led lead left leave lent lend lost lose meant mean met meet paid pay ' +
    'ran run rang ring rung ring rose rise risen rise rode ride ridden ride sang sing sung sing sat sit saw see seen see sent send shook shake ' +
    'shaken shake shot shoot shown show shut shut slept sleep slid slide spent spend spoke speak spoken speak stole steal stolen steal stood stand ' +
    'stuck stick swam swim swum swim swept sweep taught teach thought think threw throw thrown throw understood understand woke wake woken wake ' +
    'wore wear worn wear wrote write written write won win wound wind bit bite bitten bite bled bleed blew blow blown blow bred breed burnt burn ' +
    'crept creep dug dig drank drink drunk drink dreamt dream fed feed fled flee forgave forgive forgiven forgive ground grind hung hang knelt kneel ' +
    'leapt leap learnt learn lit light rebuilt rebuild sank sink sunk sink sought seek shone shine sprang spring spun spin spread spread swore swear ' +
    'sworn swear swung swing tore tear torn tear withdrew withdraw withdrawn withdraw ' +
    'children child men man women woman people person mice mouse feet foot teeth tooth geese goose lives life wives wife knives knife leaves leaf ' +
    'shelves shelf halves half data datum criteria criterion indices index better good best good worse bad worst bad ' +
    'dying die lying lie tying tie'
  )
    .split(' ')
    .reduce<[string, string][]>((pairs, word, i, all) => {
      if (i % 2 === 0) pairs.push([word, all[i + 1] as string]);
      return pairs;
    }, []),
);
