// Redacts YAML: every scalar as it is meant, keys too, and every comment. What has nothing to hide keeps its bytes.
import { isPair, isScalar, parseDocument, visit, type Document, type Node, type Pair, type Scalar } from 'yaml';
import { unscannable, type Leaf, type Scanner } from './redact-scan.ts';
import { parseYaml } from './yaml.ts';

export async function redactYaml(scanner: Scanner, where: string, text: string, count: (rule: string) => void): Promise<string> {
  // Bounds, and no aliases.
  parseYaml(Buffer.from(text), where);
  const document = parseDocument(text, { schema: 'core', uniqueKeys: false });
  const edits = leavesOf(document);
  await scanner.scan(
    edits.map(({ leaf }) => leaf),
    count,
    where,
  );
  const changed = edits.filter(({ leaf }) => leaf.redacted !== undefined);
  for (const { leaf, write } of changed) write(leaf.redacted ?? '');
  const result = changed.length === 0 ? text : document.toString();
  // Directives, anchors, tags, and what else is no scalar and no comment.
  const rest: Leaf = { before: '', value: result };
  const rules: string[] = [];
  await scanner.scan([rest], (rule) => rules.push(rule), where);
  const left = rules.length > 0 && (rest.redacted ?? '').split('[redacted:').length > result.split('[redacted:').length;
  if (left) throw unscannable(where, `has a secret (${rules.join(', ')}) in a place that is neither a value nor a comment`);
  return result;
}

interface Edit {
  readonly leaf: Leaf;
  write(text: string): void;
}

function leavesOf(document: Document): readonly Edit[] {
  const edits: Edit[] = [];
  const comments = (node: { comment?: string | null; commentBefore?: string | null }): void => {
    for (const field of ['comment', 'commentBefore'] as const) {
      const value = node[field];
      if (typeof value === 'string') edits.push({ leaf: { before: '', value }, write: (text) => void (node[field] = text) });
    }
  };
  comments(document);
  visit(document, {
    Node: (key, node, path) => {
      comments(node as Node);
      if (!isScalar(node)) return;
      const scalar = node as Scalar<string | number | boolean | null>;
      const pair = key === 'key' ? undefined : (path.findLast((above) => isPair(above)) as Pair | undefined);
      const name = pair !== undefined && isScalar(pair.key) ? `${String(pair.key.value)}="` : '';
      edits.push({ leaf: { before: name, value: String(scalar.value ?? '') }, write: (text) => void (scalar.value = text) });
    },
  });
  return edits;
}
