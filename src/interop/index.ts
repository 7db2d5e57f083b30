// The face of src/interop for the CLI and quickstart.
export { batchLines } from './batches.ts';
export type { Batch } from './batches.ts';
export { NO_RESULT } from './chat-messages.ts';
export { discoverTranscripts, isOwnTranscript } from './discover.ts';
export { exportMarkdown, exportOpenAi, exportOpenAiLines } from './export-chat.ts';
export { exportOriginal } from './export-original.ts';
export { follow } from './follow.ts';
export { JournalImportState, readImportState } from './import-state.ts';
export { fileLines } from './journal-lines.ts';
export { bytesSource, describeSource, fileSource, planImport, readHead } from './plan.ts';
export type { ImportOptions, SourceDescription } from './plan.ts';
export { episodeCount } from './plan-document.ts';
export { FORMATS } from './types.ts';
export type { Format, TranscriptSource } from './types.ts';
