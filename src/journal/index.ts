// src/journal: append-only truth. The server thread writes lines; the deriver thread writes the order log and reads history.
// Rules of the store's files: abi-spec/journals.md, abi-spec/order-log.md. Nothing here knows FUSE or paths of the mount.
export { fsckSession } from './fsck.ts';
export { lockJournal, lockStore } from './flock.ts';
export { openHistory } from './history.ts';
export { HistoryMarks } from './history-marks.ts';
export { readableSegments } from './layout.ts';
export { openOrderLog } from './order-log.ts';
export type { OrderFinding } from './order-recovery.ts';
export { adoptHistory, sealedHistory } from './sealed-history.ts';
export { digestParts } from './segment-digests.ts';
export { openSessionJournals, type JournalOptions } from './session-journals.ts';
export type * from './types.ts';
