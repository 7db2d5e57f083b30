// Files that tool calls name in their arguments.
import type { ToolCall } from '../abi/records.ts';
import { clipLine, wellFormed } from './sentences.ts';
import type { ExtractedRef } from './types.ts';

/** Adds the paths of one call. One ref a path: its line is the first mention, its summary the tools in order of first use. */
export function collectRefs(line: number, call: ToolCall, refs: Map<string, ExtractedRef>): void {
  const text = call.arguments;
  if (text.length < 8) return;
  // Paths stand at the start or the end of the arguments; file contents in between are not searched.
  addPaths(text.length > SEARCHED_UNITS * 2 ? text.slice(0, SEARCHED_UNITS) : text, line, call.name, refs);
  if (text.length > SEARCHED_UNITS * 2) addPaths(text.slice(-SEARCHED_UNITS), line, call.name, refs);
}

/** Tool name and its main argument, in one short line: `Bash go test ./...`. */
export function callVerb(call: ToolCall): string {
  const name = call.name === '' ? 'tool' : clipLine(call.name, 40);
  const head = call.arguments.length > SEARCHED_UNITS ? call.arguments.slice(0, SEARCHED_UNITS) : call.arguments;
  const match = MAIN_ARGUMENT.exec(head);
  return match === null ? name : `${name} ${clipLine(unescape(match[1] as string), 80)}`;
}

const SEARCHED_UNITS = 1024;
const MOST_REFS = 96;
const PATH_ARGUMENT = /"(?:file_path|path|filename|file|notebook_path|target_file|filePath)"\s*:\s*"((?:[^"\\]|\\.){1,1024})"/g;
const MAIN_ARGUMENT = /"(?:command|cmd|file_path|path|filename|pattern|query|url|file)"\s*:\s*"((?:[^"\\]|\\.){1,200})/;
const CREATES = /^(?:write|create|save|create_file|write_file|notebookwrite)$/i;

function addPaths(text: string, line: number, tool: string, refs: Map<string, ExtractedRef>): void {
  if (!text.includes('ath"') && !text.includes('file')) return;
  PATH_ARGUMENT.lastIndex = 0;
  for (let match = PATH_ARGUMENT.exec(text); match !== null; match = PATH_ARGUMENT.exec(text)) {
    const path = unescape(match[1] as string);
    if (!isPath(path)) continue;
    const known = refs.get(path);
    const verb = tool === '' ? 'tool' : clipLine(tool, 40);
    if (known === undefined) {
      if (refs.size < MOST_REFS) refs.set(path, { line, path, kind: CREATES.test(tool) ? 'artifact' : 'file', summary: verb });
    } else if (!known.summary.split(', ').includes(verb) && known.summary.length < 120) {
      refs.set(path, { ...known, summary: `${known.summary}, ${verb}` });
    }
  }
}

function unescape(text: string): string {
  if (!text.includes('\\')) return wellFormed(text);
  try {
    return wellFormed(JSON.parse(`"${text}"`) as string);
  } catch {
    return wellFormed(text);
  }
}

/** One line, at most 1024 units, not a directory-less word such as `.`. */
function isPath(path: string): boolean {
  return (
    path.length > 1 &&
    path.length <= 1024 &&
    !/[\u0000-\u001f]/.test(path) &&
    !/^[a-z][a-z0-9+.-]*:\/\//i.test(path) &&
    /[./]/.test(path) &&
    path !== '..'
  );
}
