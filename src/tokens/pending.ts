// A count that takes longer than a thread may stand still for. Whoever meets it gives the thread to others until the answer
// is there, and counts again: what was counted before is remembered, so each time goes further.

export class CountPending extends Error {
  /** Fulfilled when the same question is answered at once; rejected with why it is not. Never unhandled. */
  readonly answered: Promise<void>;

  constructor(answered: Promise<void>) {
    super('the count is not there yet');
    this.name = 'CountPending';
    this.answered = answered;
    answered.catch(() => undefined);
  }
}
