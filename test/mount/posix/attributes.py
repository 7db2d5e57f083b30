"""stat(2), chmod(2), chown(2), utimensat(2), statvfs(3)."""
import errno
import os
import stat
import time

from suite import as_other, case, changes, fails, in_child, lend, mode_of, tick, write_file

OTHER = 54321


@case('chmod: sets all twelve bits, moves ctime and not mtime')
def _():
    write_file('f')
    for mode in (0o000, 0o777, 0o4755, 0o2755, 0o1644, 0o640):
        os.chmod('f', mode)
        assert mode_of('f') == mode, oct(mode)
    changes('f', lambda: os.chmod('f', 0o600), mtime=False, ctime=True)
    os.mkdir('d')
    os.chmod('d', 0o3711)
    assert mode_of('d') == 0o3711


@case('chmod: through a link changes the target; fchmod the open file')
def _():
    write_file('f', mode=0o644)
    os.symlink('f', 'l')
    os.chmod('l', 0o600)
    assert mode_of('f') == 0o600
    os.fchmod(os.open('f', os.O_RDONLY), 0o640)
    assert mode_of('f') == 0o640


@case('chmod: by someone else is EPERM; ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG')
def _():
    write_file('f')
    os.symlink('l', 'l')
    fails(errno.EPERM, as_other, os.chmod, 'f', 0o777)
    fails(errno.ENOENT, os.chmod, 'none', 0o777)
    fails(errno.ENOTDIR, os.chmod, 'f/x', 0o777)
    fails(errno.ELOOP, os.chmod, 'l', 0o777)
    fails(errno.ENAMETOOLONG, os.chmod, 'n' * 256, 0o777)


@case('chmod: by an owner outside the group of the file drops set-group-ID')
def _():
    write_file('f')
    os.chown('f', OTHER, 777)
    as_other(os.chmod, 'f', 0o2755)
    assert mode_of('f') == 0o755, oct(mode_of('f'))


@case('chown: sets owner and group, -1 keeps one, ctime moves')
def _():
    write_file('f')
    os.chown('f', 100, 200)
    assert (os.stat('f').st_uid, os.stat('f').st_gid) == (100, 200)
    os.chown('f', -1, 300)
    os.chown('f', 400, -1)
    assert (os.stat('f').st_uid, os.stat('f').st_gid) == (400, 300)
    changes('f', lambda: os.chown('f', 500, 500), mtime=False, ctime=True)


@case('chown: a large id is kept whole')
def _():
    write_file('f')
    os.chown('f', 4_000_000_000, 3_000_000_000)
    assert (os.stat('f').st_uid, os.stat('f').st_gid) == (4_000_000_000, 3_000_000_000)


@case('chown: lchown changes the link, chown its target')
def _():
    write_file('f')
    os.symlink('f', 'l')
    os.chown('l', 10, 10, follow_symlinks=False)
    assert os.lstat('l').st_uid == 10 and os.stat('f').st_uid == os.getuid()
    os.chown('l', 20, 20)
    assert os.stat('f').st_uid == 20 and os.lstat('l').st_uid == 10


@case('chown: clears set-user-ID and set-group-ID of a program')
def _():
    write_file('f', mode=0o777)
    os.chmod('f', 0o6755)
    os.chown('f', 1, 1)
    assert mode_of('f') == 0o755, oct(mode_of('f'))


@case('chown: an ordinary user may give a file to a group of hers, not away')
def _():
    write_file('f')
    lend('f')
    as_other(os.chown, 'f', -1, 777, groups=(777,))
    assert os.stat('f').st_gid == 777
    fails(errno.EPERM, as_other, os.chown, 'f', -1, 888, groups=(777,))
    fails(errno.EPERM, as_other, os.chown, 'f', 1, -1)


@case('utimens: sets nanoseconds exactly, and moves ctime')
def _():
    write_file('f')
    for times in ((1_000_000_001, 2_000_000_002), (1_600_000_000_123_456_789, 1_700_000_000_987_654_321)):
        os.utime('f', ns=times)
        found = os.stat('f')
        assert (found.st_atime_ns, found.st_mtime_ns) == times
    changes('f', lambda: os.utime('f', ns=times), ctime=True)


@case('utimens: times before 1970 and after 2038')
def _():
    write_file('f')
    for seconds in (-1_000_000_000, 5_000_000_000, 10_000_000_000):
        os.utime('f', ns=(seconds * 10**9 + 5, seconds * 10**9 + 7))
        assert os.stat('f').st_mtime_ns == seconds * 10**9 + 7, seconds


@case('utimens: now sets the present time')
def _():
    write_file('f')
    os.utime('f', ns=(0, 0))
    before = time.time()
    os.utime('f')
    assert before - 2 < os.stat('f').st_mtime < time.time() + 2


@case('utimens: of a link itself, of a directory, of an open file')
def _():
    write_file('f')
    os.symlink('f', 'l')
    os.mkdir('d')
    os.utime('l', ns=(1, 11), follow_symlinks=False)
    os.utime('d', ns=(2, 22))
    os.utime(os.open('f', os.O_RDONLY), ns=(3, 33))
    assert (os.lstat('l').st_mtime_ns, os.stat('d').st_mtime_ns, os.stat('f').st_mtime_ns) == (11, 22, 33)


@case('utimens: an exact time by someone else is EPERM; now needs write permission')
def _():
    write_file('f', mode=0o644)
    fails(errno.EPERM, as_other, lambda: os.utime('f', ns=(1, 1)))
    fails(errno.EACCES, as_other, lambda: os.utime('f'))
    os.chmod('f', 0o666)
    as_other(lambda: os.utime('f'))
    fails(errno.EPERM, as_other, lambda: os.utime('f', ns=(1, 1)))


@case('utimens: a time set after a write stays when the file is closed')
def _():
    fd = os.open('f', os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(fd, b'x' * 10000)
    os.utime('f', ns=(5, 123_000_000_000))
    os.close(fd)
    assert os.stat('f').st_mtime_ns == 123_000_000_000


@case('stat: size, blocks, type and times of a new file')
def _():
    before = time.time()
    write_file('f', b'x' * 5000)
    found = os.stat('f')
    assert found.st_size == 5000 and stat.S_ISREG(found.st_mode) and found.st_blksize >= 512
    for moment in (found.st_atime, found.st_mtime, found.st_ctime):
        assert before - 2 < moment < time.time() + 2
    os.fsync(os.open('f', os.O_RDONLY))
    assert os.stat('f').st_blocks * 512 >= 5000


@case('stat: sees at once what another process changed')
def _():
    write_file('f', b'1')
    for n in range(2, 30):
        in_child(lambda: (os.write(os.open('f', os.O_WRONLY | os.O_APPEND), b'x'), None)[1])
        assert os.stat('f').st_size == n
        in_child(lambda: os.chmod('f', 0o600 + n % 8))
        assert mode_of('f') == 0o600 + n % 8


@case('access: asks with the real user')
def _():
    write_file('f', mode=0o640)
    assert as_other(lambda: [os.access('f', how) for how in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)]) == [True, False, False, False]
    assert os.access('f', os.R_OK | os.W_OK) and not os.access('f', os.X_OK) and not os.access('none', os.F_OK)


@case('statvfs: counts that fit together, names of 255 bytes')
def _():
    found = os.statvfs('.')
    assert found.f_bsize > 0 and found.f_blocks >= found.f_bfree >= found.f_bavail and found.f_namemax == 255
    assert os.fstatvfs(os.open('.', os.O_RDONLY)).f_bsize == found.f_bsize


@case('times: a rename moves ctime or nothing, never mtime')
def _():
    write_file('f')
    before = os.stat('f').st_mtime_ns
    tick()
    os.rename('f', 'g')
    assert os.stat('g').st_mtime_ns == before
