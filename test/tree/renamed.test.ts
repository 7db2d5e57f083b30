// A renamed session: for a second the kernel may hold the node of the old name under the new one.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';

import { CommitRing } from '../../mount/commit-ring.ts';
import { PortClient } from '../../mount/port-client.ts';
import { openSessionJournals } from '../../src/journal/index.ts';
import { ContextDirectory } from '../../src/tree/context-dir.ts';
import { SessionDirectory } from '../../src/tree/session-dir.ts';
import { Sessions } from '../../src/tree/sessions.ts';

test('TRE: what is left of a renamed session answers ESTALE, so that its new name is looked up again, never ENOENT', () => {
  const root = fs.mkdtempSync(join(tmpdir(), 'ctx-renamed-'));
  const { port1 } = new MessageChannel();
  onTestFinished(() => {
    port1.close();
    fs.rmSync(root, { recursive: true, force: true });
  });
  fs.mkdirSync(join(root, 's/context'), { recursive: true });
  const deriver = new PortClient(port1, new CommitRing());
  const sessions = new Sessions({ openJournals: openSessionJournals, deriver, maxLineBytes: 1 << 20, rebuildWaitMs: 1000 });
  const session = sessions.get(join(root, 's'));
  const nodes = [new SessionDirectory(session), new ContextDirectory(session)];
  sessions.remove(session);
  fs.renameSync(join(root, 's'), join(root, 't'));
  for (const node of nodes) expect(() => node.attr()).toThrow(expect.objectContaining({ errno: 'ESTALE' }));
});
