// The policy of an image's manifest: what may leave this machine, and what is taken out before (IMG-70, IMG-71).
import { RE2JS } from 're2js';
import { CtxError } from '../abi/errors.ts';
import type { ImageConfig, ImagePolicy } from './config.ts';

export interface ExportVerdict {
  /** The source manifest, its config and its layers. */
  readonly source: boolean;
  readonly compiled: boolean;
  /** One sentence for each thing that may not leave, naming the field. */
  readonly reasons: readonly string[];
}

/** IMG-70. `allow_source_export: true` beside `exportable: false` lets the source leave, and nothing else. */
export function exportVerdict(policy: ImagePolicy): ExportVerdict {
  const { exportable, allow_source_export: source, allow_compiled_state_export: compiled, redact_on_export: redact } = policy;
  const reasons: string[] = [];
  if (!source) reasons.push('policy.allow_source_export is false');
  if (!exportable) reasons.push('policy.exportable is false: compiled state stays here');
  else if (!compiled) reasons.push('policy.allow_compiled_state_export is false: compiled state stays here');
  else if (redact.length > 0) reasons.push('policy.redact_on_export: compiled state was made from what is taken out, and stays here');
  return { source, compiled: source && exportable && compiled && redact.length === 0, reasons };
}

/** Throws `image.not_exportable` when the source may not leave. */
export function requireExportable(policy: ImagePolicy, where: string): ExportVerdict {
  const verdict = exportVerdict(policy);
  if (verdict.source) return verdict;
  throw new CtxError('image.not_exportable', 'EPERM', `may not leave this machine: ${verdict.reasons.join('; ')}`, {
    where,
    next: 'build it with a policy that allows it',
  });
}

/** IMG-71: patterns and globs of the policy in a syntax in which no text makes them slow; one that is not understood is refused. */
export function policyPatterns(policy: ImagePolicy, where: string): { readonly secrets: readonly RE2JS[]; readonly documents: RE2JS[] } {
  const compile = (field: string, texts: readonly string[] | undefined, source: (text: string) => string): RE2JS[] =>
    (texts ?? []).map((text, at) => {
      try {
        if (text === '') throw new Error('is empty');
        return RE2JS.compile(source(text));
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new CtxError('image.policy', 'EINVAL', `policy.${field}.${at} ${JSON.stringify(text.slice(0, 80))}: ${why}`, {
          where,
          next: 'redact_patterns are in RE2 syntax, private_documents are globs',
          cause,
        });
      }
    });
  return {
    secrets: compile('redact_patterns', policy.redact_patterns, (text) => text),
    documents: compile('private_documents', policy.private_documents, globSource),
  };
}

/** Beyond the schema: what `ctx build`, import and pull ask of a policy. */
export function checkPolicy({ policy }: Pick<ImageConfig, 'policy'>, where: string): void {
  policyPatterns(policy, where);
  const { keys, threshold = keys?.length } = policy.require_signatures ?? {};
  if (keys !== undefined && (keys.length === 0 || (threshold ?? 1) > new Set(keys).size))
    throw new CtxError('image.policy', 'EINVAL', `policy.require_signatures asks ${threshold} of ${keys.length} keys`, {
      where,
      next: 'name at least as many keys as must sign',
    });
}

/** `*` and `?` stay in one directory, `**` does not; a name in front covers what is below it. Names with a dot are not special. */
function globSource(glob: string): string {
  const source = glob.replaceAll(/\*\*\/|\*\*|\*|\?|[^*?]+/g, (part) => {
    if (part === '**/') return '(?:.*/)?';
    if (part === '**') return '.*';
    if (part === '*') return '[^/]*';
    return part === '?' ? '[^/]' : RE2JS.quote(part);
  });
  return `(?s)^${source.replace(/\/$/, '')}(?:/.*)?$`;
}

export function globPattern(glob: string): RE2JS {
  return RE2JS.compile(globSource(glob));
}
