/** Names the history that has a line of messages as its end: equal marks mean equal history so far. Undefined: there is no such line. */
export type LineMark = (line: number) => string | undefined;
