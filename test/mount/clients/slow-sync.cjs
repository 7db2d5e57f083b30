// A disk whose syncs are slow: preloaded into the daemon, it makes each fsync take as long as the file says (in ms).
'use strict';
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');

const delayMs = () => {
  try {
    return Number(fs.readFileSync(process.env.SLOW_SYNC_FILE, 'utf8'));
  } catch {
    return 0;
  }
};
for (const name of ['fsync', 'fdatasync']) {
  const later = fs[name];
  fs[name] = (fd, done) => setTimeout(() => later(fd, done), delayMs());
  const now = fs[`${name}Sync`];
  fs[`${name}Sync`] = (fd) => {
    const ms = delayMs();
    if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    now(fd);
  };
}
syncBuiltinESMExports();
