// A control file in the store: read only when it is one, replaced as a whole (the old value or the new one, never half of it).
import * as fs from 'node:fs';
import { MAX_CONTROL_BYTES } from '../session/controls.ts';
import { fail } from './types.ts';

const READ = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

/** TRE-20: what lies in the store in place of a control file (a FIFO, a device, a link, gigabytes) is never read. Throws ENOENT, EIO. */
export function readControl(path: string): Buffer {
  refuseOther(fs.lstatSync(path));
  const fd = fs.openSync(path, READ);
  try {
    refuseOther(fs.fstatSync(fd));
    return fs.readFileSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** EIO unless it is a regular file of a size that a control file may have. */
export function refuseOther(stat: fs.Stats | fs.BigIntStats): void {
  if (!stat.isFile() || stat.size > MAX_CONTROL_BYTES)
    throw fail('EIO', 'no control file lies in its place in the store; take away what does, and its default comes back');
}

/** `suffix`: of the temporary name; one for each thread that writes. Returns false when it says that already. */
export function writeControl(path: string, bytes: Buffer, suffix: string): boolean {
  const old = fs.lstatSync(path);
  if (old.size === bytes.length && readControl(path).equals(bytes)) return false;
  const temporary = `${path}${suffix}`;
  try {
    fs.writeFileSync(temporary, bytes, { mode: old.mode & 0o777 });
    if (process.getuid?.() === 0) fs.chownSync(temporary, old.uid, old.gid);
    fs.renameSync(temporary, path);
  } catch (error) {
    // A full disk: the old value stays, and no half of the new one.
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  return true;
}
