// Whether this machine lets the suite mount. Without it the mount tests are skipped, and the reason is printed once.
import { accessSync, constants } from 'node:fs';

export const canMount: boolean = (() => {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return process.geteuid?.() === 0;
  } catch {
    return false;
  }
})();

if (!canMount) console.warn('skipped: mounting needs root and an accessible /dev/fuse');
