// Finds what must not leave in many strings at once: secretlint's recommended rules, a few of our own, and the policy's (IMG-86).
import { lintSource } from '@secretlint/core';
import { rules } from '@secretlint/secretlint-rule-preset-recommend';
import type { SecretLintCoreConfig } from '@secretlint/types';
import { RE2JS } from 're2js';
import { CtxError } from '../abi/errors.ts';

/** A string as it is meant, and what stands before it where it was found (`password="`): many rules need that. */
export interface Leaf {
  readonly before: string;
  readonly value: string;
  redacted?: string;
}

export interface Scanner {
  /** Sets `redacted` on the leaves that change; counts each replacement under its rule. */
  scan(leaves: readonly Leaf[], count: (rule: string) => void): Promise<void>;
}

interface Hit {
  readonly start: number;
  readonly end: number;
  readonly rule: string;
}

// Text can switch secretlint's rules off by a comment: that rule is left out. Ids of AWS keys are looked for, too.
const CONFIG: SecretLintCoreConfig = {
  rules: rules
    .filter(({ meta }) => !meta.id.endsWith('filter-comments'))
    .map((rule) => ({ id: rule.meta.id, rule, options: rule.meta.id.endsWith('rule-aws') ? { enableIDScanRule: true } : {} })) as never,
};

/** The part that is replaced is group 1 where there is one. All are linear in the text (RE2). */
const OWN: readonly (readonly [string, RE2JS])[] = (
  [
    [
      'private-key',
      String.raw`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)`,
    ],
    ['age-identity', String.raw`(?i)AGE-SECRET-KEY-[0-9A-Z-]{20,}`],
    ['jwt', String.raw`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`],
    ['bearer', String.raw`(?i)\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{16,})`],
    [
      'credential',
      String.raw`(?i)(?:passwd|password|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization)["']?\s*[:=]\s*["']?([^\s"',;]{6,})`,
    ],
  ] as const
).map(([rule, source]) => [rule, RE2JS.compile(source)] as const);

const BREAK = '\n\u0000\n';

export function scannerOf(patterns: readonly RE2JS[]): Scanner {
  const own = [...OWN, ...patterns.map((pattern, at) => [`pattern-${at}`, pattern] as const)];
  return {
    async scan(leaves, count) {
      const text = leaves.map(({ before, value }) => before + value).join(BREAK);
      const hits = [...(await lint(text)), ...own.flatMap(([rule, pattern]) => matches(rule, pattern, text))].sort(
        (a, b) => a.start - b.start,
      );
      let at = 0;
      for (const leaf of leaves) {
        const start = at + leaf.before.length;
        const end = start + leaf.value.length;
        at = end + BREAK.length;
        const inside = hits.flatMap((hit) => (hit.end > start && hit.start < end ? [widened(hit, leaf.value, start)] : []));
        if (inside.length > 0) leaf.redacted = replaced(leaf.value, inside, count);
      }
    },
  };
}

async function lint(content: string): Promise<readonly Hit[]> {
  const source = { content, filePath: 'context.txt', ext: '.txt', contentType: 'text' as const };
  const { messages } = await lintSource({ source, options: { config: CONFIG, noPhysicFilePath: true } });
  return messages.map(({ ruleId, range: [start, end] }) => ({ start, end, rule: ruleId.replace(/^.*secretlint-rule-/, '') }));
}

function matches(rule: string, pattern: RE2JS, text: string): readonly Hit[] {
  const found: Hit[] = [];
  const matcher = pattern.matcher(text);
  while (matcher.find()) {
    const group = matcher.groupCount() > 0 && matcher.start(1) >= 0 ? 1 : 0;
    if (matcher.end(group) > matcher.start(group)) found.push({ start: matcher.start(group), end: matcher.end(group), rule });
  }
  return found;
}

/**
 * Within the leaf, out to the ends of the word. Some ranges of secretlint end before the secret does (its rule for AWS counts the
 * secret's length from the name in front of it): those go to the end of the line.
 */
function widened({ start, end, rule }: Hit, value: string, leafStart: number): Hit {
  let from = Math.max(0, start - leafStart);
  let to = Math.min(value.length, end - leafStart);
  if (rule === 'aws') {
    const line = value.indexOf('\n', to);
    return { start: from, end: line < 0 ? value.length : line, rule };
  }
  while (from > 0 && !isEdge(value, from - 1)) from--;
  while (to < value.length && !isEdge(value, to)) to++;
  return { start: from, end: to, rule };
}

function isEdge(text: string, at: number): boolean {
  return /[\s"'`,;(){}<>[\]=]/.test(text.charAt(at));
}

function replaced(value: string, hits: readonly Hit[], count: (rule: string) => void): string {
  let out = '';
  let at = 0;
  for (const { start, end, rule } of hits.toSorted((a, b) => a.start - b.start)) {
    if (end <= at) continue;
    if (start >= at) {
      out += `${value.slice(at, start)}[redacted:${rule}]`;
      count(rule);
    }
    at = end;
  }
  return out + value.slice(at);
}

/** What is not understood whole does not leave. */
export function unscannable(where: string, what: string, cause?: unknown): CtxError {
  return new CtxError('image.cannot_redact', 'EINVAL', `${what}: it cannot be scanned for secrets, so the image does not leave`, {
    where,
    next: 'name it in policy.private_documents, or take it out of the image',
    cause,
  });
}
