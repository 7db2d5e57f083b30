// A disk whose syncs take as long as one likes: preloaded into the daemon, it lets no fsync begin while the file says `held`,
// and tells of each that waits by a byte in `<file>.waiting`.
'use strict';
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');

const file = process.env.SLOW_SYNC_FILE;
const held = () => {
  try {
    return fs.readFileSync(file, 'utf8') === 'held';
  } catch {
    return false;
  }
};
const tell = () => fs.appendFileSync(`${file}.waiting`, '.');
for (const name of ['fsync', 'fdatasync']) {
  const later = fs[name];
  fs[name] = (fd, done) => {
    if (held()) tell();
    const look = () => (held() ? setTimeout(look, 10) : later(fd, done));
    look();
  };
  const now = fs[`${name}Sync`];
  fs[`${name}Sync`] = (fd) => {
    if (held()) tell();
    while (held()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    now(fd);
  };
}
syncBuiltinESMExports();
