// A control file in the store is replaced as a whole: the old value or the new one, never half of it.
import * as fs from 'node:fs';

/** `suffix`: of the temporary name; one for each thread that writes. Returns false when it says that already. */
export function writeControl(path: string, bytes: Buffer, suffix: string): boolean {
  const old = fs.lstatSync(path);
  if (old.size === bytes.length && fs.readFileSync(path).equals(bytes)) return false;
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
