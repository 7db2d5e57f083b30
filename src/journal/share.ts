// One immutable file under a second name: a hard link, or a reflink or copy where the owner or the filesystem differs.
import { constants } from 'node:fs';
import { errnoOf, type Disk } from './disk.ts';

/** `owner`: a file or directory of whom the new name is to be. Cost of a link: one stat and one link(2). */
export function share(disk: Disk, from: string, to: string, owner: Owner): void {
  if (disk.existsSync(to)) return;
  if (disk.statSync(from).uid === owner.uid) {
    try {
      disk.linkSync(from, to);
      return;
    } catch (error) {
      if (!['EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  const temporary = `${to}.new`;
  disk.copyFileSync(from, temporary, constants.COPYFILE_FICLONE);
  if (process.getuid?.() === 0) disk.chownSync(temporary, owner.uid, owner.gid);
  const fd = disk.openSync(temporary, 'r');
  try {
    disk.fsyncSync(fd);
  } finally {
    disk.closeSync(fd);
  }
  disk.renameSync(temporary, to);
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}
