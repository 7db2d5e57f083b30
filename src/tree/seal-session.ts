// `seal` and `digest` of the control channel: a session's immutable history as files of the store, for who makes images of it.
import type { SealReply } from '../abi/control.ts';
import type { ForkPlan } from '../journal/fork-plan.ts';
import { sealedHistory } from '../journal/index.ts';
import type { Session } from './sessions.ts';

/** The result seals what the plan has brought to the disk. No history is read. */
export function prepareSeal(session: Session, name: string): (plan: ForkPlan) => SealReply {
  const list = listSealed(session, name);
  return (plan) => {
    session.journals.seal(plan);
    return list();
  };
}

/** `elapsed_ms` counts from this call. */
export function listSealed(session: Session, name: string): () => SealReply {
  const beganMs = performance.now();
  return () => {
    const { directory } = session;
    const { blobs, inputs } = sealedHistory(directory);
    const file = (path: string): string => path.slice(directory.length + 1);
    return {
      session: name,
      blobs: blobs.map(({ journal, path, bytes, fileBytes, sha256, count }) => ({
        journal,
        file: file(path),
        bytes,
        file_bytes: fileBytes,
        sha256: sha256 ?? null,
        ...(count === undefined ? {} : { count }),
      })),
      inputs: inputs.map(({ path, bytes, sha256 }) => ({ file: file(path), bytes, sha256 })),
      elapsed_ms: Math.round((performance.now() - beganMs) * 100) / 100,
    };
  };
}
