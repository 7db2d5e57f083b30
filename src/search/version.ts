// What the index is made of. Changes whenever terms, passages, layout or scores change: an index of another version is dropped.
export const SEARCH_VERSION = 6;
/** How the files are laid out, beside that. */
export const SEGMENT_FORMAT = 2;
/** Of a segment that grows. */
export const OPEN_FORMAT = 3;
/** Lines of the journal that a segment covers, whatever they hold: so segments can be built apart from each other. */
export const SEGMENT_LINES = 32_768;
