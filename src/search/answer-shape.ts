// What form the answer to a question has, and whether a line has something of that form.

export type Shape = 'time' | 'number' | 'money' | 'person' | 'place';

const ASKS: readonly (readonly [Shape, RegExp])[] = [
  ['time', /\b(when|what (time|day|date|month|year)|how (long|often)|since when|until when|which (day|month|week|year))\b/i],
  ['money', /\bhow much\b|\b(price|cost|fee|sum|pay|paid|spend|rate|bill|amount|budget|fine)\b/i],
  ['number', /\bhow (many|much|far|big|large|old|long|tall|high|fast|often)\b|\b(number|percentage|share|proportion|quota|score|size)\b/i],
  ['person', /\b(who|whom|whose)\b/i],
  ['place', /\bwhere\b|\b(which|what) (city|town|place|country|street|address|room|building|location)\b/i],
];

const NUMBER_WORD =
  'one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|half|third|quarter|twice|dozen';
const HAS: Readonly<Record<Shape, RegExp>> = {
  time: new RegExp(
    `\\b(monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|may|june|july|august|september|october|november|december|today|tomorrow|yesterday|tonight|noon|midnight|morning|evening|afternoon|week|weeks|month|months|year|years|day|days|hour|hours|minutes?|spring|summer|autumn|winter|o'clock|easter|christmas|\\d{1,2}:\\d{2}|\\d+(st|nd|rd|th)|(19|20)\\d\\d)\\b`,
    'i',
  ),
  number: new RegExp(`\\d|\\b(${NUMBER_WORD})\\b`, 'i'),
  money: new RegExp(`\\d|[$€£¥]|\\b(${NUMBER_WORD}|euros?|dollars?|pounds?|cents?|percent)\\b`, 'i'),
  // A capital inside a sentence.
  person: /[a-z,;:] +[A-Z][a-z]+/,
  place: /\b(in|at|to|from|near|on|by|under|behind|into) (the |a |my |our )?[A-Za-z]/,
};

export function expects(question: string): readonly Shape[] {
  return ASKS.filter(([, pattern]) => pattern.test(question)).map(([shape]) => shape);
}

/** How many of the expected forms the line has. */
export function answerFit(shapes: readonly Shape[], line: string): number {
  let fit = 0;
  for (const shape of shapes) if (HAS[shape].test(line)) fit += 1;
  return fit;
}
