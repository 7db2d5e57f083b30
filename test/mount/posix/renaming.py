"""rename(2), renameat2(2)."""
import ctypes
import errno
import os

from suite import Unsupported, as_other, case, changes, fails, lend, libc, read_file, syscall, write_file

AT_FDCWD = -100
NOREPLACE = 1
EXCHANGE = 2


def renameat2(old, new, flags):
    """EINVAL also means that the filesystem does not know the flag."""
    return syscall(libc.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags))


@case('rename: moves a file, keeps its number and bytes')
def _():
    write_file('f', b'x')
    os.mkdir('d')
    number = os.stat('f').st_ino
    os.rename('f', 'd/g')
    assert os.stat('d/g').st_ino == number and read_file('d/g') == b'x' and os.listdir('.') == ['d']
    fails(errno.ENOENT, os.stat, 'f')


@case('rename: replaces a file')
def _():
    write_file('f', b'new')
    write_file('g', b'old')
    os.link('g', 'h')
    os.rename('f', 'g')
    assert read_file('g') == b'new' and read_file('h') == b'old' and os.stat('h').st_nlink == 1
    assert sorted(os.listdir('.')) == ['g', 'h']


@case('rename: between two links of one file does nothing')
def _():
    write_file('f', b'x')
    os.link('f', 'g')
    os.rename('f', 'g')
    assert sorted(os.listdir('.')) == ['f', 'g'] and os.stat('f').st_nlink == 2


@case('rename: a name onto itself does nothing')
def _():
    write_file('f', b'x')
    os.mkdir('d')
    os.rename('f', 'f')
    os.rename('d', 'd')
    assert sorted(os.listdir('.')) == ['d', 'f']


@case('rename: a directory replaces an empty directory only')
def _():
    os.makedirs('a/x')
    os.mkdir('empty')
    os.makedirs('full/y')
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, 'a', 'full')
    os.rename('a', 'empty')
    assert os.listdir('empty') == ['x'] and not os.path.exists('a')


@case('rename: a file over a directory is EISDIR, the reverse ENOTDIR')
def _():
    write_file('f')
    os.mkdir('d')
    fails(errno.EISDIR, os.rename, 'f', 'd')
    fails(errno.ENOTDIR, os.rename, 'd', 'f')


@case('rename: ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP')
def _():
    write_file('f')
    os.symlink('l', 'l')
    fails(errno.ENOENT, os.rename, 'none', 'g')
    fails(errno.ENOENT, os.rename, 'f', 'none/g')
    fails(errno.ENOENT, os.rename, 'f', '')
    fails(errno.ENOTDIR, os.rename, 'f/x', 'g')
    fails(errno.ENOTDIR, os.rename, 'f', 'f/x')
    fails(errno.ENAMETOOLONG, os.rename, 'f', 'n' * 256)
    fails(errno.ELOOP, os.rename, 'l/x', 'g')


@case('rename: a directory into itself is EINVAL; "." and ".." are EBUSY or EINVAL')
def _():
    os.makedirs('d/e')
    fails(errno.EINVAL, os.rename, 'd', 'd/e/f')
    fails((errno.EBUSY, errno.EINVAL), os.rename, 'd/.', 'x')
    fails((errno.EBUSY, errno.EINVAL, errno.ENOTEMPTY, errno.EEXIST), os.rename, 'd/e', 'd/..')


@case('rename: a moved directory has a new "..", and both parents count it')
def _():
    os.makedirs('a/d')
    os.mkdir('b')
    a, b = os.stat('a').st_nlink, os.stat('b').st_nlink
    os.rename('a/d', 'b/d')
    assert os.stat('b/d/..').st_ino == os.stat('b').st_ino
    assert (os.stat('a').st_nlink, os.stat('b').st_nlink) == (a - 1, b + 1)


@case('rename: files inside a moved directory are found under the new name only')
def _():
    os.makedirs('a/b')
    write_file('a/b/f', b'x')
    fd = os.open('a/b/f', os.O_RDWR)
    os.rename('a', 'c')
    assert read_file('c/b/f') == b'x'
    fails(errno.ENOENT, os.stat, 'a/b/f')
    os.pwrite(fd, b'yy', 0)
    assert read_file('c/b/f') == b'yy'
    write_file('c/b/g', b'z')
    assert sorted(os.listdir('c/b')) == ['f', 'g']


@case('rename: moves the times of both directories')
def _():
    os.mkdir('a')
    os.mkdir('b')
    write_file('a/f')
    write_file('a/g')
    changes('a', lambda: os.rename('a/f', 'b/f'), mtime=True, ctime=True)
    changes('b', lambda: os.rename('a/g', 'b/g'), mtime=True, ctime=True)


@case('rename: moves a link, not its target')
def _():
    write_file('f', b'x')
    os.symlink('f', 'l')
    os.rename('l', 'm')
    assert os.readlink('m') == 'f' and read_file('f') == b'x'
    write_file('g', b'y')
    os.rename('g', 'm')
    assert not os.path.islink('m') and read_file('f') == b'x'


@case('rename: without write permission on either directory is EACCES')
def _():
    os.mkdir('open')
    os.chmod('open', 0o777)
    os.mkdir('shut', 0o755)
    write_file('shut/f')
    write_file('open/g')
    fails(errno.EACCES, as_other, os.rename, 'shut/f', 'open/f')
    fails(errno.EACCES, as_other, os.rename, 'open/g', 'shut/g')


@case('rename: in a sticky directory someone else\'s file is EPERM')
def _():
    os.mkdir('t')
    os.chmod('t', 0o1777)
    write_file('t/f')
    write_file('t/mine')
    lend('t/mine')
    fails((errno.EPERM, errno.EACCES), as_other, os.rename, 't/f', 't/g')
    fails((errno.EPERM, errno.EACCES), as_other, os.rename, 't/mine', 't/f')
    as_other(os.rename, 't/mine', 't/own')


@case('rename: RENAME_NOREPLACE of an existing name is EEXIST')
def _():
    write_file('f', b'f')
    write_file('g', b'g')
    try:
        renameat2('f', 'new', NOREPLACE)
    except OSError as error:
        raise Unsupported(error.errno)
    fails(errno.EEXIST, renameat2, 'new', 'g', NOREPLACE)
    assert read_file('new') == b'f' and read_file('g') == b'g'


@case('rename: RENAME_EXCHANGE swaps two names, also of different kinds')
def _():
    write_file('f', b'f')
    write_file('g', b'g')
    os.makedirs('d/e')
    try:
        renameat2('f', 'g', EXCHANGE)
    except OSError as error:
        raise Unsupported(error.errno)
    assert read_file('f') == b'g' and read_file('g') == b'f'
    renameat2('f', 'd', EXCHANGE)
    assert os.listdir('f') == ['e'] and read_file('d') == b'g'
    fails(errno.ENOENT, renameat2, 'd', 'none', EXCHANGE)


@case('rename: RENAME_NOREPLACE with RENAME_EXCHANGE is EINVAL')
def _():
    write_file('f')
    fails(errno.EINVAL, renameat2, 'f', 'g', NOREPLACE | EXCHANGE)
