// What a compile that went well says in the manifest.
import type { RunResult } from './compile-run.ts';
import { compare, fingerprintHere } from './fingerprint.ts';
import { ready } from './manifest.ts';
import type { EngineName, Manifest, PackIdentity } from './manifest.ts';

export function readyManifest(
  from: Manifest,
  engine: EngineName,
  pack: PackIdentity,
  result: RunResult,
  budgetTokens: number | undefined,
): Manifest {
  const { artifact, fingerprint, description } = result;
  const notes = [...result.notes];
  if (budgetTokens !== undefined && budgetTokens >= description.contextTokens)
    notes.push(`context/budget (${budgetTokens}) is more than the context of ${description.id} holds (${description.contextTokens - 1})`);
  const here = fingerprintHere(fingerprint, { model: description.fingerprint, packDigest: pack.digest });
  return ready(
    { ...from, ...engine },
    {
      reason: notes.length === 0 ? null : notes.join('; '),
      tokens: result.tokens,
      reused_tokens: result.reusedTokens,
      evaluated_tokens: result.evaluatedTokens,
      bytes: artifact?.meta.bytes ?? null,
      key: artifact?.meta.key ?? null,
      digest: artifact?.meta.digest ?? null,
      pack,
      prefix_chain: result.chain,
      fingerprint,
      compatibility: compare(fingerprint, here),
    },
    Date.now(),
  );
}
