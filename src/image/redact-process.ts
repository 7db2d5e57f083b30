// A process that searches texts for secrets, one after the other, and holds nothing else. It ends itself with whoever asked it.
import { secretsIn } from './redact-rules.ts';
import type { Found, Search } from './redact-scan.ts';

const say = (found: Found): void => {
  if (process.connected) process.send?.(found);
};

process.on('disconnect', () => process.exit());
process.on('message', ({ text, patterns }: Search) => {
  secretsIn(text, patterns).then(
    (hits) => say({ hits }),
    (error: unknown) => say({ failed: error instanceof Error ? error.message : String(error) }),
  );
});
say('ready');
