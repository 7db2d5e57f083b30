// What must not leave, as ranges of a text: secretlint's recommended rules, a few of our own, and the policy's (IMG-86). Runs in
// the process of redact-process.ts: the rules of others are not all linear in what they read.
import { lintSource } from '@secretlint/core';
import { rules } from '@secretlint/secretlint-rule-preset-recommend';
import type { SecretLintCoreConfig } from '@secretlint/types';
import { RE2JS } from 're2js';

export interface Hit {
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

/** `patterns`: the policy's, in RE2 syntax. */
export async function secretsIn(text: string, patterns: readonly string[]): Promise<readonly Hit[]> {
  const own = [...OWN, ...patterns.map((source, at) => [`pattern-${at}`, RE2JS.compile(source)] as const)];
  return [...(await lint(text)), ...own.flatMap(([rule, pattern]) => matches(rule, pattern, text))].sort((a, b) => a.start - b.start);
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
