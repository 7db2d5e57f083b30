// src/journal: append-only truth. The server thread writes lines; the deriver thread writes the order log and reads history.
// Rules of the store's files: abi-spec/journals.md, abi-spec/order-log.md. Nothing here knows FUSE or paths of the mount.
export { fsckSession, type FsckFinding } from './fsck.ts';
export { JOURNAL_LOCK_FILE, lockJournal, lockStore, STORE_LOCK_FILE, type Lock } from './flock.ts';
export { openHistory } from './history.ts';
export { readableSegments } from './layout.ts';
export { openOrderLog, type OrderLogOptions } from './order-log.ts';
export type { OrderFinding } from './order-recovery.ts';
export { openSessionJournals, type JournalOptions } from './session-journals.ts';
export type * from './types.ts';
