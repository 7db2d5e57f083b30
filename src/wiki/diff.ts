// A unified diff of two texts, by lines: what a person reviews. Shortest edit by Myers, bounded.

interface Edit {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

const CONTEXT = 3;
/** Beyond this many differing lines the middle is told as replaced: a review of that reads the file anyway. */
const MAX_EDITS = 2_000;

export function unifiedDiff(path: string, before: string | undefined, after: string): string {
  const old = before === undefined ? [] : lines(before);
  const edits = editsOf(old, lines(after));
  if (edits.every(({ sign }) => sign === ' ')) return '';
  const head = `--- ${before === undefined ? '/dev/null' : `a/${path}`}\n+++ b/${path}\n`;
  return head + hunks(edits);
}

function lines(text: string): string[] {
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  else all.push(`${all.pop() ?? ''}\n\\ No newline at end of file`);
  return all;
}

function editsOf(old: readonly string[], now: readonly string[]): readonly Edit[] {
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end += 1;
  const same = (from: readonly string[]): readonly Edit[] => from.map((text) => ({ sign: ' ', text }));
  const middle = myers(old.slice(start, old.length - end), now.slice(start, now.length - end));
  return [...same(old.slice(0, start)), ...middle, ...same(old.slice(old.length - end))];
}

function myers(old: readonly string[], now: readonly string[]): readonly Edit[] {
  const most = Math.min(MAX_EDITS, old.length + now.length);
  const trace: Map<number, number>[] = [];
  let furthest = new Map<number, number>([[1, 0]]);
  for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(furthest));
    const next = new Map(furthest);
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (next.get(k - 1) ?? -1) < (next.get(k + 1) ?? -1));
      let x = down ? (next.get(k + 1) ?? 0) : (next.get(k - 1) ?? 0) + 1;
      while (x < old.length && x - k < now.length && old[x] === now[x - k]) x += 1;
      next.set(k, x);
      if (x >= old.length && x - k >= now.length) return walkBack(trace, old, now, d);
    }
    furthest = next;
  }
  return [...old.map((text): Edit => ({ sign: '-', text })), ...now.map((text): Edit => ({ sign: '+', text }))];
}

function walkBack(
  trace: readonly ReadonlyMap<number, number>[],
  old: readonly string[],
  now: readonly string[],
  depth: number,
): readonly Edit[] {
  const edits: Edit[] = [];
  let x = old.length;
  let y = now.length;
  for (let d = depth; d > 0; d -= 1) {
    const before = trace[d] as ReadonlyMap<number, number>;
    const k = x - y;
    const down = k === -d || (k !== d && (before.get(k - 1) ?? -1) < (before.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = before.get(fromK) ?? 0;
    const fromY = fromX - fromK;
    while (x > fromX && y > fromY) {
      edits.push({ sign: ' ', text: old[x - 1] as string });
      x -= 1;
      y -= 1;
    }
    if (down) edits.push({ sign: '+', text: now[--y] as string });
    else edits.push({ sign: '-', text: old[--x] as string });
  }
  for (; x > 0; x -= 1) edits.push({ sign: ' ', text: old[x - 1] as string });
  return edits.reverse();
}

function hunks(edits: readonly Edit[]): string {
  let out = '';
  let oldLine = 1;
  let newLine = 1;
  for (let i = 0; i < edits.length;) {
    if (edits[i]?.sign === ' ') {
      const next = edits.findIndex((edit, j) => j >= i && edit.sign !== ' ');
      if (next < 0) break;
      const skip = Math.max(0, next - CONTEXT - i);
      oldLine += skip;
      newLine += skip;
      i += skip;
    }
    let end = i;
    for (let quiet = 0; end < edits.length && quiet <= CONTEXT * 2; end += 1) quiet = edits[end]?.sign === ' ' ? quiet + 1 : 0;
    const hunk = edits.slice(i, end);
    while (hunk.length > CONTEXT && hunk.slice(-CONTEXT - 1).every(({ sign }) => sign === ' ')) hunk.pop();
    const oldCount = hunk.filter(({ sign }) => sign !== '+').length;
    const newCount = hunk.filter(({ sign }) => sign !== '-').length;
    out += `@@ -${oldCount === 0 ? oldLine - 1 : oldLine},${oldCount} +${newCount === 0 ? newLine - 1 : newLine},${newCount} @@\n`;
    out += hunk.map(({ sign, text }) => `${sign}${text}\n`).join('');
    oldLine += oldCount;
    newLine += newCount;
    i += hunk.length;
  }
  return out;
}
